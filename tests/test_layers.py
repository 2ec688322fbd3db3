"""Imports go strictly downwards: the table of ``docs/architecture.md``, held by a test."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import audiosocket_gw

PACKAGE = Path(audiosocket_gw.__file__).parent

LAYERS = [
    {
        "events",
        "errors",
        "audio",
        "protocol.audiosocket",
        "protocol.strangers",
        "elevenlabs.messages",
        "elevenlabs.closing",
        "ami.registry",
        "ami.certificate",
        "ami.releases",
        "ami.text",
        "transfer",
        "keypad",
        "mcp_approval",
    },
    {
        "settings",
        "playout",
        "media",
        "fence",
        "barge_in",
        "passthrough",
        "replies",
        "tap",
        "turn",
        "agent_speech",
        "load",
        "log",
        "event_loop",
        "happy_eyeballs",
        "network_environment",
        "recording",
        "flight",
        "ticker",
        "observers",
        "elevenlabs",
        "ami",
        "tools",
        "builtin_tools",
        "caller_data",
        "outcome",
        "shutdown",
        "simulator",
        "caller",
    },
    {"actions", "originate"},
    {"call"},
    {"server"},
    {"gateway"},
    {"cli", "demo", "flight.replay", "flight.command", "health"},
    {"__main__"},
]
"""A package stands for those of its modules that aren't named themselves."""

PURE = LAYERS[0] | {
    "playout",
    "media",
    "barge_in",
    "fence",
    "replies",
    "agent_speech",
    "protocol",
    "log.limit",
    "log.text",
    "recording.track",
    "recording.stereo",
}
IO = {
    "asyncio",
    "socket",
    "ssl",
    "logging",
    "threading",
    "selectors",
    "subprocess",
    "httpx",
    "websockets",
    "os",
}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


class _Running(ast.NodeTransformer):
    """Leaves out what only the type checker reads."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


MODULES = {
    module_name(path): _Running().visit(ast.parse(path.read_text()))
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
}


def imports(name: str) -> set[str]:
    """Return the absolute names of the modules that the module ``name`` imports, anywhere in it."""
    found = set()
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import; write it out"
            assert node.module is not None
            found |= {
                f"{node.module}.{alias.name}"
                if f"{node.module}.{alias.name}".removeprefix("audiosocket_gw.") in MODULES
                else node.module
                for alias in node.names
            }
    return found


OWN = {
    name: {
        imported.removeprefix("audiosocket_gw.")
        for imported in imports(name)
        if imported.startswith("audiosocket_gw.")
    }
    for name in MODULES
}


def layer(name: str) -> int:
    """Return the layer of a module, or of the nearest package around it that has one."""
    while name:
        for number, names in enumerate(LAYERS):
            if name in names:
                return number
        name = name.rpartition(".")[0]
    raise AssertionError("not in the table")


def is_empty(name: str) -> bool:
    """Whether the module has no code but its docstring: a package that only holds modules."""
    return all(isinstance(node, ast.Expr) for node in MODULES[name].body)


@pytest.mark.parametrize("name", [name for name in MODULES if not is_empty(name)])
def test_every_module_imports_only_from_below_or_beside_itself(name: str) -> None:
    assert {imported for imported in OWN[name] if layer(imported) > layer(name)} == set()


def test_above_the_first_two_layers_nothing_is_beside_anything() -> None:
    beside = {
        (name, imported)
        for name in MODULES
        if not is_empty(name) and layer(name) > 1
        for imported in OWN[name]
        if layer(imported) == layer(name) and imported.partition(".")[0] != name.partition(".")[0]
    }
    assert beside == {("cli", "demo"), ("cli", "flight.command")}, "the command line starts the others"


def test_no_import_goes_round_in_circles() -> None:
    # Within a package the modules import each other directly, never through its __init__.
    assert list(TopologicalSorter(OWN).static_order())


def is_pure(name: str) -> bool:
    """Whether the module, or a package around it, is to be pure; but one of another layer isn't meant."""
    if name in PURE:
        return True
    package = name.rpartition(".")[0]
    return bool(package) and package in LAYERS[0] and layer(name) == 0


@pytest.mark.parametrize("name", sorted(filter(is_pure, MODULES)))
def test_pure_modules_do_no_input_or_output(name: str) -> None:
    assert {imported.partition(".")[0] for imported in imports(name)} & IO == set()


@pytest.mark.parametrize(
    ("library", "users"),
    [
        ("panoramisk", {"ami"}),
        ("pydantic_settings", {"settings"}),
        ("websockets", {"elevenlabs", "flight", "simulator"}),
    ],
)
def test_each_library_has_its_place(library: str, users: set[str]) -> None:
    found = {
        name.partition(".")[0]
        for name in MODULES
        if any(imported.partition(".")[0] == library for imported in imports(name))
    }
    assert found <= users


def test_only_the_composition_root_builds_from_settings() -> None:
    assert {name for name in MODULES if "gateway" in OWN[name]} <= {
        "cli",
        "demo",
        "demo.demo",
        "flight.replay",
    }
