"""Which module of a package imports which, read from its source: what the tests of the layers look at."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

OPENS_FILES = {"open", "print", "input"}
"""Builtin functions that do input or output."""


@dataclass(frozen=True)
class Imports:
    """What one module imports, by absolute names: modules, and names in modules."""

    running: frozenset[str]
    """What is imported when the program runs, whether at the top of the module or in a function."""
    typing: frozenset[str]
    """What only a type checker reads (``if TYPE_CHECKING``)."""
    calls: frozenset[str]
    """The names of the plain functions that the module calls."""


@dataclass(frozen=True)
class ImportGraph:
    """The modules of a package. Their names lack the package's own: ``call.media``; it is ``""`` itself."""

    package: str
    modules: dict[str, Imports]

    @classmethod
    def of(cls, folder: Path) -> ImportGraph:
        """Read the package in ``folder``, which has the package's name."""
        paths = sorted(folder.rglob("*.py"))
        return cls(folder.name, {_name(path.relative_to(folder)): _read(path) for path in paths})

    def own(self, name: str, *, typing: bool = True) -> set[str]:
        """Return the modules of the package that the module ``name`` imports itself."""
        imports = self.modules[name]
        names = imports.running | imports.typing if typing else imports.running
        return {module for imported in names if (module := self._module_of(imported)) is not None} - {name}

    def foreign(self, name: str) -> set[str]:
        """Return what the module ``name`` imports itself from other packages, by full names."""
        return {imported for imported in self.modules[name].running if not _is_in(imported, self.package)}

    def loaded_with(self, name: str) -> set[str]:
        """Return all modules of the package that run when the module ``name`` is imported."""
        found: set[str] = set()
        todo = [name]
        while todo:
            parts = todo.pop().split(".")
            # Its packages run first: "", "call", "call.media".
            with_packages = {"", *(".".join(parts[:end]) for end in range(1, len(parts) + 1))}
            new = (with_packages & self.modules.keys()) - found
            found |= new
            todo += [imported for each in new for imported in self.own(each, typing=False)]
        return found

    def circle(self) -> list[str]:
        """Return modules that import each other in a circle, or nothing where there is none."""
        try:
            TopologicalSorter({name: self.own(name) for name in self.modules}).prepare()
        except CycleError as error:
            circle: list[str] = error.args[1]
            return circle
        return []

    def upwards(self, rooms: Sequence[str]) -> set[tuple[str, str]]:
        """Return the imports that go neither into the same room nor into one before it in ``rooms``."""
        place = {name: rooms.index(room_of(name, rooms) or "") for name in self.modules}
        return {
            (name, imported)
            for name in self.modules
            for imported in self.own(name)
            if place[imported] > place[name]
        }

    def impurities(self, name: str, allowed: Collection[str]) -> set[tuple[str, str]]:
        """Return what isn't pure of all that runs when the module ``name`` is imported.

        That is a library that isn't ``allowed``, or a call of a function that opens or prints; each with the
        module that does so.
        """
        return {
            (module, impure)
            for module in self.loaded_with(name)
            for impure in self.foreign(module) | (self.modules[module].calls & OPENS_FILES)
            if not any(_is_in(impure, library) for library in allowed)
        }

    def _module_of(self, imported: str) -> str | None:
        """Return the module of the package that a name is, or is in; None: it is another package's."""
        package, _, name = imported.partition(".")
        if package != self.package:
            return None
        if name not in self.modules:
            name = name.rpartition(".")[0]
        assert name in self.modules, f"there is no module {imported}"
        return name


def room_of(name: str, rooms: Sequence[str]) -> str | None:
    """Return the innermost of ``rooms`` that the module is, or is in."""
    return max((room for room in rooms if _is_in(name, room)), key=len, default=None)


def _is_in(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _read(path: Path) -> Imports:
    tree = ast.parse(path.read_text(), str(path))
    everything = frozenset(_imported(tree))
    calls = frozenset(
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    )
    running = frozenset(_imported(_WithoutTyping().visit(tree)))
    return Imports(running, everything - running, calls)


class _WithoutTyping(ast.NodeTransformer):
    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            return [statement for each in node.orelse if (statement := self.visit(each)) is not None]
        return self.generic_visit(node)


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write the relative import out"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
