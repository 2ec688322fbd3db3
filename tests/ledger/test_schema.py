"""``audiosocket_gw/ledger/call-record.schema.json`` and ``docs/call-record.md`` say what records are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from audiosocket_gw.events import SetupStep, TransferOutcome
from audiosocket_gw.ledger.record import (
    CallRecord,
    CallState,
    Frames,
    Interruption,
    Speaker,
    ToolOutcome,
    ToolRun,
    Transfer,
    Turn,
)
from audiosocket_gw.ledger.reducer import MAX_LISTED, MAX_TOOLS, MAX_TRANSFERS
from audiosocket_gw.ledger.settings import CallerNumbers
from audiosocket_gw.ledger.shown import shown
from tests.ledger.calls import WHOLE_CALL, record_of

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SCHEMA: dict[str, Any] = json.loads((ROOT / "audiosocket_gw/ledger/call-record.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
MEMBERS = SCHEMA["properties"]


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("count", range(1, len(WHOLE_CALL) + 1))
@pytest.mark.parametrize("numbers", CallerNumbers)
def test_a_record_is_valid_at_every_moment_of_a_call(count: int, numbers: CallerNumbers) -> None:
    VALIDATOR.validate(shown(record_of(WHOLE_CALL[:count]), numbers))


def test_it_has_every_field_and_no_other() -> None:
    assert (
        list(MEMBERS)
        == SCHEMA["required"]
        == [field.name for field in fields(CallRecord)] + ["trouble", "is_bad"]
    )


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        (MEMBERS["turns"]["items"], Turn),
        (MEMBERS["interruptions"]["items"], Interruption),
        (MEMBERS["tools"]["items"], ToolRun),
        (MEMBERS["transfers"]["items"], Transfer),
        (MEMBERS["frames"], Frames),
    ],
)
def test_its_parts_have_every_field_and_no_other(part: dict[str, Any], kind: Any) -> None:
    assert list(part["properties"]) == part["required"] == [field.name for field in fields(kind)]


def values(kind: Iterable[Enum]) -> list[str]:
    return [member.value for member in kind]


def test_its_values_are_all_there_are() -> None:
    assert MEMBERS["state"]["enum"] == values(CallState)
    assert MEMBERS["speaker"]["enum"] == [*values(Speaker), None]
    assert list(MEMBERS["setup_steps"]["properties"]) == values(SetupStep)
    assert MEMBERS["tools"]["items"]["properties"]["outcome"]["enum"] == values(ToolOutcome)
    assert MEMBERS["transfers"]["items"]["properties"]["outcome"]["enum"] == [*values(TransferOutcome), None]
    limits = {name: part["maxItems"] for name, part in MEMBERS.items() if "maxItems" in part}
    assert limits == {
        "turns": MAX_LISTED,
        "interruptions": MAX_LISTED,
        "tools": MAX_TOOLS,
        "transfers": MAX_TRANSFERS,
    }


def test_the_page_explains_every_member() -> None:
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", (DOCS / "call-record.md").read_text(), re.MULTILINE)
    assert [name for row in rows for name in re.findall(r"\w+", row)] == list(MEMBERS)


def test_the_example_of_the_page_is_a_record() -> None:
    example = (DOCS / "call-record.md").read_text().partition("```json\n")[2].partition("```")[0]
    VALIDATOR.validate(json.loads(example))
