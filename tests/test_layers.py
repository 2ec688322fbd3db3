"""Imports go strictly downwards: the table of ``docs/architecture.md``, held by a test."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import audiosocket_gw

PACKAGE = Path(audiosocket_gw.__file__).parent

ROOMS = [
    *("causes", "events", "errors", "redaction", "log", "protocol", "audio", "runtime", "tools", "ami"),
    *("tap", "elevenlabs", "recording", "control", "flight", "call", "server", "settings", "gateway"),
    *("testing", "commands", "__main__"),
]
"""The folders and flat modules of the package: each imports only from those before it."""

TO_BE_CUT: set[tuple[str, str]] = set()

PURE = [
    "causes",
    "events",
    "errors",
    "redaction",
    "log.limit",
    "log.text",
    "protocol",
    "audio",
    "elevenlabs.messages",
    "elevenlabs.close_codes",
    "ami.dialplan",
    "ami.registry",
    "ami.releases",
    "ami.text",
    "call.media",
    "call.playout",
    "call.barge_in",
    "call.stale_audio",
    "call.replies",
    "control.dtmf",
    "control.mcp_approval",
    "control.transfer_policy",
    "recording.track",
    "flight.recorded_cause",
]
"""Modules and folders that do no I/O, nor does anything that they import."""

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


def room(name: str) -> str:
    return name.partition(".")[0]


def test_every_folder_has_a_place_in_the_order() -> None:
    assert {room(name) for name in MODULES} == set(ROOMS)


@pytest.mark.parametrize("name", MODULES)
def test_every_folder_imports_only_from_those_before_it(name: str) -> None:
    mine = ROOMS.index(room(name))
    upwards = {
        imported
        for imported in OWN[name]
        if room(imported) != room(name) and ROOMS.index(room(imported)) >= mine
    }
    assert {imported for imported in upwards if (name, imported) not in TO_BE_CUT} == set()


def test_no_import_goes_round_in_circles() -> None:
    # Within a package the modules import each other directly, never through its __init__.
    assert list(TopologicalSorter(OWN).static_order())


def loaded_with(name: str) -> set[str]:
    """Return all modules of the package that are loaded when the module ``name`` is."""
    found: set[str] = set()
    todo = [name]
    while todo:
        module = todo.pop()
        parts = module.split(".")
        with_packages = {".".join(parts[:end]) for end in range(1, len(parts) + 1)} & MODULES.keys()
        new = with_packages - found
        found |= new
        todo += [imported for each in new for imported in OWN[each]]
    return found


def is_pure(name: str) -> bool:
    return any(name == pure or name.startswith(f"{pure}.") for pure in PURE)


@pytest.mark.parametrize("name", sorted(filter(is_pure, MODULES)))
def test_what_is_pure_loads_nothing_that_does_input_or_output(name: str) -> None:
    found = {module: imported & IO for module in loaded_with(name) if (imported := roots(module)) & IO}
    assert found == {}


def roots(name: str) -> set[str]:
    return {imported.partition(".")[0] for imported in imports(name)}


@pytest.mark.parametrize(
    ("library", "users"),
    [
        ("panoramisk", {"ami"}),
        ("pydantic_settings", {"settings"}),
        ("websockets", {"elevenlabs", "testing"}),
    ],
)
def test_each_library_has_its_place(library: str, users: set[str]) -> None:
    found = {
        name.partition(".")[0]
        for name in MODULES
        if any(imported.partition(".")[0] == library for imported in imports(name))
    }
    assert found <= users
