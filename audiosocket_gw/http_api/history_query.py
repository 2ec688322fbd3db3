"""The query of ``GET /history``: which of the calls that have ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.http_api.endpoint import ApiError
from audiosocket_gw.ledger.database import Query

MAX_LIMIT = 500
"""Calls in one answer."""

MAX_CURSOR = 2**53

NAMES = ("limit", "before", "reason", "bad", "agent", "since")


def read_query(parameters: Mapping[str, str]) -> Query:
    """Read the parameters of a URL.

    Raises:
        ApiError: one of them is unknown, or has another form.
    """
    for name in parameters:
        if name not in NAMES:
            raise ApiError(422, f"{name[:40]!r} is none of {', '.join(NAMES)}")
    given = parameters.get
    return Query(
        limit=_number("limit", given("limit"), MAX_LIMIT) or Query().limit,
        before=_number("before", given("before"), MAX_CURSOR),
        reason=_reason(given("reason")),
        bad=_flag(given("bad")),
        agent=given("agent"),
        since=_time(given("since")),
    )


def _number(name: str, text: str | None, most: int) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and 1 <= int(text) <= most):
        raise ApiError(422, f"{name}={text[:40]!r} is not a number from 1 to {most}")
    return int(text)


def _reason(text: str | None) -> str | None:
    if text is not None and text not in tuple(EndReason):
        raise ApiError(422, f"reason={text[:40]!r} is none of {', '.join(EndReason)}")
    return text


def _flag(text: str | None) -> bool | None:
    if text not in (None, "true", "false"):
        raise ApiError(422, f"bad={text[:40]!r} is neither true nor false")
    return None if text is None else text == "true"


def _time(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ApiError(422, f"since={text[:40]!r} is no time, such as 2026-11-25T15:45:44Z") from None
