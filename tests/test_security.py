"""``docs/security.md`` names a test for each defence, and a setting by its name: both must exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from audiosocket_gw.settings import Settings

PROJECT = Path(__file__).parents[1]
PAGE = (PROJECT / "docs" / "security.md").read_text()
THREATS = [
    line
    for line in PAGE.partition("## Threats and defences")[2].splitlines()
    if re.match(r"\| (?!threat|-)", line)
]
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


@pytest.mark.parametrize("line", THREATS, ids=lambda line: line.split("|")[1].strip()[:40])
def test_each_threat_has_a_defence_and_a_test(line: str) -> None:
    _, threat, defence, test, _ = line.split("|")
    assert threat.strip()
    assert defence.strip()
    assert re.search(r"`tests/[\w/]+\.py(::\w+)?`", test), line


@pytest.mark.parametrize(("path", "name"), NAMED, ids=lambda part: part.rpartition("/")[2])
def test_each_named_test_exists(path: str, name: str) -> None:
    tree = ast.parse((PROJECT / path).read_text())
    functions = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    assert not name or (name.startswith("test_") and name in functions)


def test_each_named_setting_exists() -> None:
    named = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`", PAGE))
    assert len(named) > 15
    assert {name.lower() for name in named} <= set(Settings.model_fields)
