"""The reducer: from a call's events to its record. Pure."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar

from audiosocket_gw import events
from audiosocket_gw.ledger.record import (
    CallRecord,
    CallState,
    End,
    Frames,
    Interruption,
    Speaker,
    ToolOutcome,
    ToolRun,
    Transfer,
    Turn,
)

T = TypeVar("T")

MAX_LISTED = 1_000
"""Turns, and interruptions, of a call that its record lists; the oldest go first."""

MAX_TOOLS = 200
MAX_TRANSFERS = 20
"""The same of tools and transfers, whose texts come from the agent."""

MAX_TEXT = 200
"""Characters of a text of others: the agent, the agent URL, Asterisk, a telephone."""


def begin(started: events.CallStarted, started_at: float) -> CallRecord:
    """Return the record of a call that starts; ``started_at``: seconds since the epoch."""
    return CallRecord(uuid=started.uuid, started_at=started_at, peer=started.peer)


def reduce(record: CallRecord, event: events.CallEvent, started: float) -> CallRecord:
    """Return the record after ``event``; ``started``: the loop time at which the call started."""
    at_ms = round((event.at - started) * 1000)
    match event:
        case events.CallerIdentified():
            return replace(
                record,
                pbx=event.pbx,
                caller_number=event.caller_number[:MAX_TEXT],
                caller_name=event.caller_name[:MAX_TEXT],
                dialled_number=event.dialled_number[:MAX_TEXT],
                channel=event.channel[:MAX_TEXT],
            )
        case events.SetupStepDone(step=step, ms=ms, agent=agent):
            steps = MappingProxyType({**record.setup_steps, step: round(ms)})
            return replace(record, setup_steps=steps, agent=agent[:MAX_TEXT] or record.agent)
        case events.AgentConnected():
            setup_ms = round(event.setup_ms)
            return replace(
                record,
                state=CallState.TALKING,
                conversation_id=event.conversation_id,
                setup_ms=setup_ms,
            )
        case events.ReplyStarted():
            first_audio_ms = at_ms if record.first_audio_ms is None else record.first_audio_ms
            return replace(record, speaker=Speaker.AGENT, first_audio_ms=first_audio_ms)
        case events.ReplyFinished(heard_ms=heard_ms):
            return replace(record, speaker=_unless(record.speaker, Speaker.AGENT), heard_ms=heard_ms)
        case events.CallerSaid():
            return replace(record, speaker=_unless(record.speaker, Speaker.CALLER))
        case events.TurnTaken(latency_ms=latency_ms):
            return replace(record, turns=_add(record.turns, Turn(at_ms, latency_ms)))
        case events.AgentSilent(waited_ms=waited_ms):
            return replace(record, silent_ms=max(waited_ms, record.silent_ms or 0))
        case events.AnswerLate():
            return replace(record, late_answers=record.late_answers + 1)
        case events.CallerUndecodable():
            return replace(record, undecodable=True)
        case events.ReplyHeld():
            return replace(record, speaker=Speaker.CALLER, holds=record.holds + 1)
        case events.ReplyResumed():
            return replace(record, speaker=Speaker.AGENT, resumed=record.resumed + 1)
        case events.Interrupted(discarded_ms=discarded_ms, silence_ms=silence_ms):
            return replace(
                record,
                speaker=Speaker.CALLER,
                interruptions=_add(record.interruptions, Interruption(at_ms, discarded_ms, silence_ms)),
                discarded_ms=record.discarded_ms + discarded_ms,
            )
        case events.DigitPressed():
            return replace(record, digits=record.digits + 1)
        case events.ToolCalled(name=name, tool_call_id=tool_call_id):
            run = ToolRun(name[:MAX_TEXT], tool_call_id, at_ms)
            return replace(record, tools=_add(record.tools, run, MAX_TOOLS))
        case events.ToolAnswered():
            return replace(record, tools=_answered(record.tools, event, at_ms))
        case events.TransferRequested(destination=destination, name=name):
            transfer = Transfer(destination[:MAX_TEXT], name, at_ms)
            transfers = _add(record.transfers, transfer, MAX_TRANSFERS)
            return replace(record, state=CallState.TRANSFERRING, transfers=transfers)
        case events.TransferDecided(outcome=events.TransferOutcome.REFUSED):  # another one may be under way
            return replace(record, transfers=_add(record.transfers, _over(event, at_ms), MAX_TRANSFERS))
        case events.TransferDecided():
            return replace(
                record, state=CallState.TALKING, transfers=_decided(record.transfers, event, at_ms)
            )
        case events.FrameFigures(late=late, skipped=skipped, missing=missing):
            return replace(record, frames=Frames(late, skipped, missing))
        case events.CallEnded():
            return replace(
                record,
                state=CallState.ENDED,
                speaker=None,
                heard_ms=event.heard_ms,
                duration_ms=event.duration_ms,
                end=End(event.reason, event.detail),
            )
        case _:
            return record


def _add(listed: tuple[T, ...], item: T, limit: int = MAX_LISTED) -> tuple[T, ...]:
    return (*listed, item)[-limit:]


def _unless(speaker: Speaker | None, finished: Speaker) -> Speaker | None:
    return None if speaker is finished else speaker


def _answered(tools: tuple[ToolRun, ...], event: events.ToolAnswered, at_ms: int) -> tuple[ToolRun, ...]:
    outcome = ToolOutcome.ERROR if event.is_error else ToolOutcome.OK
    for place in range(len(tools) - 1, -1, -1):
        tool = tools[place]
        if tool.tool_call_id == event.tool_call_id and tool.outcome is ToolOutcome.RUNNING:
            done = replace(tool, outcome=outcome, ms=at_ms - tool.at_ms)
            return (*tools[:place], done, *tools[place + 1 :])
    return tools


def _decided(
    transfers: tuple[Transfer, ...], event: events.TransferDecided, at_ms: int
) -> tuple[Transfer, ...]:
    """Decide the transfer that waits for it."""
    for place in range(len(transfers) - 1, -1, -1):
        if transfers[place].outcome is None:
            detail = event.detail[:MAX_TEXT]
            decided = replace(transfers[place], outcome=event.outcome, detail=detail)
            return (*transfers[:place], decided, *transfers[place + 1 :])
    return _add(transfers, _over(event, at_ms), MAX_TRANSFERS)


def _over(event: events.TransferDecided, at_ms: int) -> Transfer:
    """Return a transfer that was decided without having been requested."""
    destination, detail = event.destination[:MAX_TEXT], event.detail[:MAX_TEXT]
    return Transfer(destination, event.name, at_ms, event.outcome, detail)
