"""Call records as JSON, for all who read them: HTTP surface, ``CALL_LOG``, history, dashboard.

`docs/call-record.md` describes the members.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from audiosocket_gw.ledger.record import CallRecord, Interruption, ToolRun, Transfer, Turn
from audiosocket_gw.ledger.settings import CallerNumbers
from audiosocket_gw.ledger.trouble import is_bad, troubles
from audiosocket_gw.log.text import NUMBER, SENTENCE_LIMIT, escape, fit
from audiosocket_gw.redaction import MASK

SHOWN_DIGITS = 3
"""Last digits of a masked number that stay."""

MAX_SHORT = 6
"""Digits of a number that isn't masked: an extension."""

_SUFFIX = re.compile(r"-[0-9a-f]{8}(?:;[12])?\Z")
"""The end of a channel's name, which isn't a part of a number."""

Json = dict[str, Any]


def shown(record: CallRecord, numbers: CallerNumbers, *, age_ms: int | None = None) -> Json:
    """Return the record with the caller as ``CALLER_NUMBERS`` wants it.

    Texts are printable: what isn't is escaped. ``age_ms``: how long the call has been up (`Ledger.age_ms`),
    shown as the duration of a call that is up.
    """
    fields = _fields(record, age_ms)
    return fields if numbers is CallerNumbers.SHOWN else masked(fields)


def masked(fields: Json) -> Json:
    """Return what `shown` has returned, with the caller masked; twice is the same as once."""
    return fields | {
        "caller_number": mask_number(fields["caller_number"]),
        "caller_name": MASK if fields["caller_name"] else "",
        "channel": mask_channel(fields["channel"]),
        "transfers": [_masked_transfer(transfer) for transfer in fields["transfers"]],
        "end": fields["end"] and fields["end"] | {"detail": _masked_text(fields["end"]["detail"])},
        "trouble": list(map(_masked_text, fields.get("trouble", ()))),
    }


def shown_troubles(record: CallRecord, numbers: CallerNumbers, *, age_ms: int | None = None) -> Json:
    """Return the members that tell whether something is wrong with the call: a part of `shown`."""
    texts = [shown_text(trouble.text, numbers) for trouble in troubles(record, age_ms)]
    return {"trouble": texts, "is_bad": is_bad(record)}


def shown_text(text: str, numbers: CallerNumbers) -> str:
    """Return a sentence with texts of others: printable, its numbers as ``CALLER_NUMBERS`` wants them."""
    whole = fit(text, SENTENCE_LIMIT, numbers=True)
    return whole if numbers is CallerNumbers.SHOWN else _masked_text(whole)


def mask_number(number: str) -> str:
    """Return a telephone number of which only the last three digits can be read; a short one stays.

    All its digits count, whatever is between them.
    """
    digits = sum(map(str.isdecimal, number))
    if digits <= MAX_SHORT:
        return number
    hidden = iter(range(digits - SHOWN_DIGITS))
    return re.sub(r"\d", lambda digit: "#" if next(hidden, None) is not None else digit[0], number)


def mask_channel(channel: str) -> str:
    """Mask the numbers in the name of a channel, such as ``PJSIP/+49301234567-0000000a``."""
    suffix = _SUFFIX.search(channel)
    name = channel[: suffix.start()] if suffix else channel
    return "/".join(map(_mask_numbers, name.split("/"))) + channel[len(name) :]


def iso(seconds: float) -> str:
    """Return a time, in seconds since the epoch, in ISO 8601 with milliseconds, UTC."""
    utc = datetime.fromtimestamp(seconds, UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03}Z"


def _fields(record: CallRecord, age_ms: int | None) -> Json:
    return {
        "uuid": str(record.uuid),
        "started_at": iso(record.started_at),
        "peer": escape(record.peer),
        "state": record.state.value,
        "speaker": record.speaker and record.speaker.value,
        "pbx": escape(record.pbx),
        "caller_number": escape(record.caller_number),
        "caller_name": escape(record.caller_name),
        "dialled_number": escape(record.dialled_number),
        "channel": escape(record.channel),
        "agent": escape(record.agent),
        "conversation_id": escape(record.conversation_id),
        "setup_ms": record.setup_ms,
        "setup_steps": {step.value: ms for step, ms in record.setup_steps.items()},
        "first_audio_ms": record.first_audio_ms,
        "turns": [_turn(turn) for turn in record.turns],
        "interruptions": [_interruption(interruption) for interruption in record.interruptions],
        "holds": record.holds,
        "resumed": record.resumed,
        "digits": record.digits,
        "tools": [_tool(tool) for tool in record.tools],
        "transfers": [_transfer(transfer) for transfer in record.transfers],
        "silent_ms": record.silent_ms,
        "late_answers": record.late_answers,
        "undecodable": record.undecodable,
        "frames": {
            "late": record.frames.late,
            "skipped": record.frames.skipped,
            "missing": record.frames.missing,
        },
        "heard_ms": record.heard_ms,
        "discarded_ms": record.discarded_ms,
        "duration_ms": age_ms if record.duration_ms is None else record.duration_ms,
        "end": record.end
        and {
            "reason": record.end.reason.value,
            "detail": fit(record.end.detail, SENTENCE_LIMIT, numbers=True),
        },
        **shown_troubles(record, CallerNumbers.SHOWN, age_ms=age_ms),
    }


def _turn(turn: Turn) -> Json:
    return {"at_ms": turn.at_ms, "latency_ms": turn.latency_ms}


def _interruption(interruption: Interruption) -> Json:
    return {
        "at_ms": interruption.at_ms,
        "discarded_ms": interruption.discarded_ms,
        "silence_ms": interruption.silence_ms,
    }


def _tool(tool: ToolRun) -> Json:
    return {
        "name": escape(tool.name),
        "tool_call_id": escape(tool.tool_call_id),
        "at_ms": tool.at_ms,
        "outcome": tool.outcome.value,
        "ms": tool.ms,
    }


def _transfer(transfer: Transfer) -> Json:
    return {
        "destination": escape(transfer.destination),
        "name": escape(transfer.name),
        "at_ms": transfer.at_ms,
        "outcome": transfer.outcome and transfer.outcome.value,
        "detail": fit(transfer.detail, SENTENCE_LIMIT, numbers=True),
    }


def _masked_transfer(transfer: Json) -> Json:
    """Mask a transfer; a destination with a name is shown by it alone."""
    return transfer | {
        "destination": transfer["name"] or _mask_numbers(transfer["destination"]),
        "detail": _masked_text(transfer["detail"]),
    }


def _masked_text(text: str) -> str:
    """Mask what may be a telephone number; addresses, dates and ids stay."""
    return fit(text, 2 * SENTENCE_LIMIT)


def _mask_numbers(text: str) -> str:
    return NUMBER.sub(lambda found: mask_number(found[0]), text)
