"""The model of a call from its record alone, as `ledger.shown` writes it: CALL_LOG, the history. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeVar
from uuid import UUID

from audiosocket_gw.call_page.build import build_model
from audiosocket_gw.call_page.model import CallModel, Source
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.errors import GatewayError
from audiosocket_gw.events import SetupStep, TransferOutcome
from audiosocket_gw.ledger.record import (
    CallRecord,
    CallState,
    End,
    Frames,
    Interruption,
    ToolOutcome,
    ToolRun,
    Transfer,
    Turn,
)
from audiosocket_gw.ledger.reducer import MAX_LISTED

T = TypeVar("T")


class RecordError(GatewayError):
    """JSON isn't a call record."""


def model_of_record(shown: Mapping[str, Any]) -> CallModel:
    """Return the model of a call; its record is shown as it is: masked, or as ``CALLER_NUMBERS`` wants it.

    Raises:
        RecordError: it isn't a call record.
    """
    record = read_record(shown)
    return build_model(record, source=Source.RECORD, is_up=record.state is not CallState.ENDED)


def read_record(shown: Mapping[str, Any]) -> CallRecord:
    """Return the record that was written as JSON; ignore members that this gateway doesn't know.

    Raises:
        RecordError: it isn't a call record.
    """
    try:
        return _read(shown)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RecordError(f"it isn't a call record: {type(error).__name__}: {error}") from None


def _read(shown: Mapping[str, Any]) -> CallRecord:
    frames, end = shown.get("frames") or {}, shown.get("end")
    return CallRecord(
        uuid=UUID(shown["uuid"]),
        started_at=datetime.fromisoformat(shown["started_at"]).timestamp(),
        peer=_text(shown, "peer"),
        state=CallState(shown["state"]),
        pbx=_text(shown, "pbx"),
        caller_number=_text(shown, "caller_number"),
        caller_name=_text(shown, "caller_name"),
        dialled_number=_text(shown, "dialled_number"),
        channel=_text(shown, "channel"),
        agent=_text(shown, "agent"),
        conversation_id=_text(shown, "conversation_id"),
        setup_ms=_maybe(shown.get("setup_ms")),
        setup_steps=MappingProxyType(
            {SetupStep(step): _int(ms) for step, ms in (shown.get("setup_steps") or {}).items()}
        ),
        first_audio_ms=_maybe(shown.get("first_audio_ms")),
        turns=tuple(
            Turn(_int(turn["at_ms"]), _int(turn["latency_ms"])) for turn in _listed(shown.get("turns"))
        ),
        interruptions=tuple(
            Interruption(_int(each["at_ms"]), _int(each["discarded_ms"]), _maybe(each.get("silence_ms")))
            for each in _listed(shown.get("interruptions"))
        ),
        holds=_int(shown.get("holds") or 0),
        resumed=_int(shown.get("resumed") or 0),
        digits=_int(shown.get("digits") or 0),
        tools=tuple(map(_tool, _listed(shown.get("tools")))),
        transfers=tuple(map(_transfer, _listed(shown.get("transfers")))),
        silent_ms=_maybe(shown.get("silent_ms")),
        late_answers=_int(shown.get("late_answers") or 0),
        undecodable=bool(shown.get("undecodable")),
        frames=Frames(*(_int(frames.get(name) or 0) for name in ("late", "skipped", "missing"))),
        heard_ms=_int(shown.get("heard_ms") or 0),
        discarded_ms=_int(shown.get("discarded_ms") or 0),
        duration_ms=_maybe(shown.get("duration_ms")),
        end=None if end is None else End(EndReason(end["reason"]), str(end.get("detail") or "")),
    )


def _tool(shown: Mapping[str, Any]) -> ToolRun:
    return ToolRun(
        str(shown["name"]),
        str(shown.get("tool_call_id") or ""),
        _int(shown["at_ms"]),
        ToolOutcome(shown["outcome"]),
        _maybe(shown.get("ms")),
    )


def _transfer(shown: Mapping[str, Any]) -> Transfer:
    outcome = shown.get("outcome")
    return Transfer(
        str(shown["destination"]),
        str(shown.get("name") or ""),
        _int(shown["at_ms"]),
        None if outcome is None else TransferOutcome(outcome),
        str(shown.get("detail") or ""),
    )


def _listed(values: Iterable[T] | None) -> list[T]:
    return list(values or ())[-MAX_LISTED:]


def _text(shown: Mapping[str, Any], name: str) -> str:
    return str(shown.get(name) or "")


def _maybe(value: Any) -> int | None:
    return None if value is None else _int(value)


def _int(value: Any) -> int:
    number = int(value)
    if not 0 <= number < 2**53:
        raise ValueError(f"{number} is no figure of a call")
    return number
