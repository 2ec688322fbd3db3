"""The documents list the gateway's settings and every way a call ends, and their links work."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path

import pytest

from audiosocket_gw.end_reasons import EndReason, result_of
from audiosocket_gw.settings import Settings

PROJECT = Path(__file__).parents[1]
DOCUMENTS = [*sorted(PROJECT.glob("*.md")), *sorted(PROJECT.glob("docs/*.md"))]


def rows(path: Path) -> list[list[str]]:
    """Return the cells of every row of the tables of a document; ``\\|`` in a cell is no border."""
    lines = [line for line in path.read_text().splitlines() if line.startswith("| ")]
    return [
        [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines
    ]


def shown(default: object) -> str:
    """Return a default as one would write it into ``.env``, in backticks; nothing is nothing."""
    match default:
        case None | () | {}:
            return ""
        case bool():
            text = str(default).lower()
        case float():
            text = f"{default:g}"
        case Enum():
            text = str(default.value)
        case tuple():
            text = ",".join(default)
        case re.Pattern():
            text = default.pattern
        case _:
            text = str(default)
    return f"`{text}`"


def documented(path: Path) -> dict[str, str]:
    """Return the settings in the tables of a document, with their defaults."""
    return {row[0].strip("`"): row[1] for row in rows(path) if re.fullmatch(r"`[A-Z0-9_]+`", row[0])}


def test_every_setting_is_documented_with_its_default() -> None:
    assert documented(PROJECT / "docs" / "settings.md") == {
        name.upper(): shown(field.default) for name, field in Settings.model_fields.items()
    }


def test_the_readme_has_a_few_of_them_with_the_same_defaults() -> None:
    few = documented(PROJECT / "README.md")
    assert len(few) == 10
    assert few.items() <= documented(PROJECT / "docs" / "settings.md").items()


def test_the_end_reasons_are_all_explained() -> None:
    told = [row[0].strip("`") for row in rows(PROJECT / "docs" / "end-reasons.md")[2:]]
    assert told == [reason.value for reason in EndReason]


def test_the_results_are_all_explained() -> None:
    told = {
        reason: row[0].strip("`")
        for row in rows(PROJECT / "docs" / "avr-result.md")
        for reason in re.findall(r"`([a-z-]+)`", row[1])
        if row[0].startswith("`")
    }
    assert told == {reason.value: result_of(reason) for reason in EndReason}


def test_the_shipped_dialplan_knows_only_results_that_there_are() -> None:
    dialplan = (PROJECT / "asterisk" / "extensions.conf").read_text()
    named = set(re.findall(r'AVR_RESULT}" = "([^"]+)"', dialplan))
    assert "completed" in named
    assert named <= {result_of(reason) for reason in EndReason}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if "://" in target:
            continue
        name, _, section = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        assert path.exists(), target
        assert not section or section in _anchors(path), target


def _anchors(path: Path) -> set[str]:
    """Return the sections of a document, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}
