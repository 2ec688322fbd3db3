"""Sizes that a reader can hold: lines of a module, public members of a class, a sentence for each folder."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import audiosocket_gw

PACKAGE = Path(audiosocket_gw.__file__).parent

MAX_LINES = 350
MAX_MEMBERS = 20

MODULES = {str(path.relative_to(PACKAGE)): path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}
FOLDERS = [name for name in MODULES if name.endswith("__init__.py")]


def public_members(source: str) -> dict[str, set[str]]:
    """Return the public members that each class itself defines, by the class's name.

    These are its methods and properties, the attributes that its body assigns, and those that its methods
    assign to ``self``. Fields that are only annotated, as a dataclass has them, and the members of an enum
    are data: a table of settings may be as long as it has to be.
    """
    classes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)]
    return {node.name: {name for name in _members(node) if not name.startswith("_")} for node in classes}


def _members(defined: ast.ClassDef) -> Iterator[str]:
    is_enum = any("Enum" in ast.unparse(base) or "Flag" in ast.unparse(base) for base in defined.bases)
    for node in defined.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name
            yield from _assigned_to_self(node)
        elif isinstance(node, ast.Assign) and not is_enum:
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _assigned_to_self(method: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for node in ast.walk(method):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
        ):
            yield node.attr


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    found = {name for name, source in MODULES.items() if len(source.splitlines()) > MAX_LINES}
    assert found == set()


def test_no_class_has_more_public_members_than_a_reader_can_hold() -> None:
    found = {
        f"{module}:{name}"
        for module, source in MODULES.items()
        for name, members in public_members(source).items()
        if len(members) > MAX_MEMBERS
    }
    assert found == set()


@pytest.mark.parametrize("name", FOLDERS)
def test_each_folder_says_in_one_line_what_is_in_it(name: str) -> None:
    docstring = ast.get_docstring(ast.parse(MODULES[name]))
    assert docstring is not None
    assert docstring.splitlines()[0].endswith(".")


@pytest.mark.parametrize("name", MODULES)
def test_each_module_says_what_it_is_for(name: str) -> None:
    assert ast.get_docstring(ast.parse(MODULES[name]))


# The test of the test

WIDE = """
class Wide(Base):
    constant = 1
    field: int
    other: int = 2
    _hidden = 3

    def __init__(self, given):
        self.given = given
        self.known: int = 5
        self.left, (self.right, *self.rest) = given
        self._private = 6
        given.foreign = 7

    @property
    def shown(self): ...

    async def later(self):
        self.known = 8

    def _helper(self): ...

class Colour(StrEnum):
    RED = "red"

    def mix(self): ...
"""


def test_what_counts_as_a_public_member() -> None:
    assert public_members(WIDE) == {
        "Wide": {"constant", "given", "known", "left", "right", "rest", "shown", "later"},
        "Colour": {"mix"},
    }
