"""Records as lines: our words stay whole, others' are made fit."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.errors import ControlError
from audiosocket_gw.log.current_call import _call, enter_call, outside_calls
from audiosocket_gw.log.formatter import LineFormatter, LogFormat
from audiosocket_gw.log.text import Sentence
from audiosocket_gw.log.traceback_lines import MAX_CHAIN, MAX_FRAMES

CALL = UUID("40325ec2-5efd-4bd3-805f-53576e581d13")
HOSTILE = "x\n2026-01-01T00:00:00.000Z INFO forged\x1b[2J\u202e"
ESCAPED = "x\\n2026-01-01T00:00:00.000Z INFO forged\\x1b[2J\\u202e"


def line(
    message: object,
    *values: object,
    logger: str = "audiosocket_gw.call",
    error: BaseException | None = None,
) -> str:
    record = logging.LogRecord(
        logger, logging.WARNING, __file__, 1, message, values, (type(error), error, None) if error else None
    )
    if error is not None:
        record.exc_info = (type(error), error, error.__traceback__)
    record.created = 1_795_621_545.0625
    text = LineFormatter().format(record)
    assert text.startswith("2026-11-25T15:45:45.062Z WARNING ")
    return text.removeprefix("2026-11-25T15:45:45.062Z WARNING ")


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def test_our_words_stay_whole_and_values_are_cut() -> None:
    words = "what to do: " * 50
    assert line(f"{words}%s", "y" * 300) == f"{words}{'y' * 200}... (300 characters)"


@pytest.mark.parametrize(
    ("template", "value", "shown"),
    [
        ("%s", CALL, str(CALL)),
        ("%d", 491711234567, "491711234567"),
        ("%.1f", 12345678.25, "12345678.2"),
        ("%d", np.int64(7), "7"),
        ("%s", None, "None"),
        ("%s", EndReason.CALLER_HANGUP, "caller-hangup"),
        ("%s", Path("/srv/20261125000/recordings"), "/srv/20261125000/recordings"),
        ("%s", ip_network("192.168.100.0/24"), "192.168.100.0/24"),
        ("%.32r", "queue", "'queue'"),
        ("%.4s", "abcdef", "abcd"),
        ("%s", b"raw\n", "b'raw\\n'"),
        ("%s", HOSTILE, ESCAPED),
        ("%s", ControlError(HOSTILE), ESCAPED),
        ("%s", ControlError("Asterisk: " + "z" * 480), "Asterisk: " + "z" * 480),
        ("%s", Sentence("z" * 500), "z" * 500),
        ("%s", "100 %s", "100 %s"),
    ],
)
def test_values(template: str, value: object, shown: str) -> None:
    assert line(template, value) == shown


def test_values_by_name() -> None:
    assert line("%(who)s: %(port)d", {"who": "01711234567", "port": 40_000}) == "###########: 40000"


def test_a_message_without_values_is_ours_and_still_one_line() -> None:
    assert line("100 % of it\nis ours") == "100 % of it\\nis ours"


def test_lines_of_other_libraries_are_foreign() -> None:
    shown = line(f"Task {HOSTILE} of 01711234567 with token=abc %s", "!", logger="asyncio")
    assert shown == f"asyncio: Task {ESCAPED} of ########### with token=*** !"
    assert len(line("x" * 10_000, logger="httpx")) < 600
    assert line("x 01711234567", logger="audiosocket_gwx") == "audiosocket_gwx: x ###########"


def test_the_audit_log_shows_whom_somebody_wanted_to_reach() -> None:
    audit = "audiosocket_gw.audit"
    assert line("call %s: transfer %s: %s", CALL, "refused", "'00900123456'@''", logger=audit) == (
        f"call {CALL}: transfer refused: '00900123456'@''"
    )
    assert line("%s", "pin=1234 \x1b", logger=audit) == "pin=*** \\x1b"


def test_a_value_that_cannot_be_shown() -> None:
    class Bad:
        def __str__(self) -> str:
            raise KeyError

    assert line("%s!", Bad()).endswith("Bad that can't be shown: KeyError>!")


def test_a_traceback_keeps_its_lines_and_no_other() -> None:
    error = raised(ValueError(HOSTILE), raised(KeyError("sk_0123456789abcdef0123")))
    error.add_note(f"note {HOSTILE}")
    first, *lines = line("call %s: internal error", CALL, error=error).split("\n")
    assert first == f"call {CALL}: internal error"
    assert [text for text in lines if not text.startswith(" ")] == [
        "Traceback (most recent call last):",
        "KeyError: '***'",
        "Which led to:",
        "Traceback (most recent call last):",
        f"ValueError: {ESCAPED}",
        f"note {ESCAPED}",
    ]
    assert any("in raised" in text for text in lines)
    assert any("raise error from cause" in text for text in lines)


def test_an_error_that_is_false_is_an_error() -> None:
    class Empty(Exception):
        def __len__(self) -> int:
            return 0

    lines = line("failed", error=raised(ValueError("second"), raised(Empty("first")))).split("\n")
    assert [text.partition("Empty")[2] for text in lines if "Empty" in text] == [": first"]
    assert "Which led to:" in lines


def test_a_traceback_of_what_happened_together_and_while_handling() -> None:
    inner = raised(OSError("inner"))
    try:
        try:
            raise inner
        except OSError:
            raise ExceptionGroup("both", [ValueError("one"), TypeError("two")])  # noqa: B904
    except ExceptionGroup as group:
        lines = line("failed", error=group).split("\n")
    assert [text for text in lines if not text.startswith((" ", "Trace"))] == [
        "failed",
        "OSError: inner",
        "While that was handled:",
        "ExceptionGroup: both (2 sub-exceptions)",
        "Error 1 of 2:",
        "ValueError: one",
        "Error 2 of 2:",
        "TypeError: two",
    ]


def test_a_traceback_is_of_a_bounded_length() -> None:
    def dive(depth: int) -> None:
        if depth:
            dive(depth - 1)
        raise ValueError("x" * 10_000_000)

    error: BaseException = ValueError()
    for _ in range(100):
        try:
            dive(200)
        except ValueError as caught:
            error = raised(caught, error)
    error.__cause__.__cause__ = error  # type: ignore[union-attr]
    shown = line("failed", error=error)
    assert len(shown.split("\n")) < MAX_CHAIN * (MAX_FRAMES * 4 + 3)
    assert len(shown) < 100_000


def test_an_error_of_a_tool_looks_as_python_shows_it() -> None:
    try:
        _ = int("x")
    except ValueError as error:
        lines = line("failed", error=error)
    _, head, where, code, *_, last = lines.split("\n")
    assert (head, last) == (
        "Traceback (most recent call last):",
        "ValueError: invalid literal for int() with base 10: 'x'",
    )
    assert where.startswith(f'  File "{__file__}", line ')
    assert code == '    _ = int("x")'


# As JSON


def as_json(message: object, *values: object, error: BaseException | None = None, **more: Any) -> Any:
    record = logging.LogRecord(
        more.pop("logger", "audiosocket_gw.call"), logging.WARNING, __file__, 1, message, values, None
    )
    record.created = 1_795_621_545.0625
    vars(record).update(more)
    if error is not None:
        record.exc_info = (type(error), error, error.__traceback__)
    text = LineFormatter(LogFormat.JSON).format(record)
    assert text.isprintable()
    shown = json.loads(text)
    assert (shown.pop("time"), shown.pop("level")) == ("2026-11-25T15:45:45.062Z", "WARNING")
    return shown


def test_a_line_of_a_call_is_an_object_with_the_values_that_it_names() -> None:
    ended = "call %s: ended, reason=%s duration_s=%.1f heard_s=%.1f turn_ms_p50=%s tools=%d: %s"
    why = Sentence("Asterisk closed the connection")
    assert as_json(ended, CALL, EndReason.CALLER_HANGUP, 77.123, 41.6, None, 3, why) == {
        "logger": "audiosocket_gw.call",
        "call": str(CALL),
        "message": "ended, reason=caller-hangup duration_s=77.1 heard_s=41.6 turn_ms_p50=None tools=3: "
        "Asterisk closed the connection",
        "reason": "caller-hangup",
        "duration_s": 77.1,
        "heard_s": 41.6,
        "turn_ms_p50": None,
        "tools": 3,
    }


@pytest.mark.parametrize(
    ("template", "value", "shown"),
    [
        ("x=%s", HOSTILE, ESCAPED),
        ("x=%s", "y" * 300, "y" * 200 + "... (300 characters)"),
        ("x=%s", "01711234567", "###########"),
        ("x=%.3s", "token=abcdef", "tok"),
        ("x=%r", "queue", "'queue'"),
        ("x=%d", 7.9, 7),
        ("x=%.2f", 0.126, 0.13),
        ("x=%.0f%%", 12.6, 13.0),
        ("x=%g", float("inf"), "inf"),
        ("x=%.1f", float("nan"), "nan"),
        ("x=%s", True, True),
        ("x=%08d", 7, 7),
        ("x=%x", 255, 255),
        ("x=%s", np.int64(7), "7"),
        ("x=%s", CALL, str(CALL)),
    ],
)
def test_named_values(template: str, value: object, shown: object) -> None:
    assert as_json(template, value)["x"] == shown


def test_names_that_a_line_has_itself_are_not_replaced() -> None:
    shown = as_json("call %s: message=%s call=%s time=%s MAX_CALLS=%d", CALL, "a", "b", "c", 5)
    assert shown["message"] == "message=a call=b time=c MAX_CALLS=5"
    assert (shown["call"], shown["MAX_CALLS"]) == (str(CALL), 5)


def test_a_traceback_is_one_value() -> None:
    shown = as_json("call %s: internal error", CALL, error=raised(ValueError(HOSTILE)))
    assert shown["traceback"].startswith("Traceback (most recent call last):\n  File ")
    assert shown["traceback"].endswith(f"\nValueError: {ESCAPED}")


def test_other_libraries_and_what_is_printed() -> None:
    shown = as_json("Task of 01711234567 %s", "!", logger="asyncio")
    assert shown == {"logger": "asyncio", "message": "asyncio: Task of ########### !"}
    shown = as_json("printed: %s", Sentence('{"a": 1}'), logger="audiosocket_gw.printed")
    assert shown["message"] == 'printed: {"a": 1}'


# Which call a line is about


@pytest.fixture
def in_call() -> Iterator[None]:
    before = _call.set(None)
    enter_call(CALL)
    yield
    _call.reset(before)


@pytest.mark.usefixtures("in_call")
def test_a_line_without_a_call_gets_the_one_that_the_code_works_for() -> None:
    assert line("printed: %s", "x") == f"call {CALL}: printed: x"
    assert line("Task failed", logger="asyncio") == f"call {CALL}: asyncio: Task failed"
    assert as_json("Task failed", logger="asyncio")["call"] == str(CALL)


@pytest.mark.usefixtures("in_call")
def test_what_a_line_says_of_its_call_goes_before() -> None:
    other = UUID(int=7)
    assert line("call %s: %s", other, "x") == f"call {other}: x"
    assert as_json("%s: rejected", "peer", call=other)["call"] == str(other)


@pytest.mark.usefixtures("in_call")
def test_what_calls_share_runs_outside_of_them() -> None:
    assert outside_calls().run(line, "the process") == "the process"
    assert line("still in the call").startswith(f"call {CALL}: ")
