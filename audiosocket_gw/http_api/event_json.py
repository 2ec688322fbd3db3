"""What happens in calls, as JSON. Pure.

Each kind of event lists what is shown of it: nothing that is added to an event leaves the process by itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from audiosocket_gw import events
from audiosocket_gw.http_api.call_summary import summary
from audiosocket_gw.ledger.record import CallRecord
from audiosocket_gw.ledger.settings import CallerNumbers
from audiosocket_gw.ledger.shown import mask_channel, shown_troubles
from audiosocket_gw.redaction import mask_text

MAX_TEXT = 1_000
"""Characters of what was said. Masking a thousand may take a millisecond."""

MAX_NAME = 64
"""Characters of a tool's name, which the agent chooses."""

_MAY_BE_TROUBLE = (
    events.ReplyStarted,
    events.AgentSilent,
    events.AnswerLate,
    events.CallerUndecodable,
    events.ToolAnswered,
    events.TransferDecided,
)
"""After these, which come without the call's summary, other things may be wrong with it."""

_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class EventView:
    """How events are shown. ``transcripts``: with what was said, its numbers and secrets masked."""

    numbers: CallerNumbers
    transcripts: bool

    def show(self, event: events.CallEvent, record: CallRecord, at_ms: int) -> dict[str, Any]:
        """Return an event. ``record``: of its call after it; ``at_ms``: since the start of the call."""
        return {
            "type": type_of(event),
            "uuid": str(event.uuid),
            "at_ms": at_ms,
            "state": record.state.value,
            "speaker": record.speaker and record.speaker.value,
            **self.details(event, record, at_ms),
            **(shown_troubles(record, self.numbers) if isinstance(event, _MAY_BE_TROUBLE) else {}),
        }

    def details(self, event: events.CallEvent, record: CallRecord, at_ms: int | None) -> dict[str, Any]:
        """Return what an event of its kind has beyond the others."""
        match event:
            case (
                events.CallStarted()
                | events.CallerIdentified()
                | events.AgentConnected()
                | events.CallEnded()
            ):
                return {"call": summary(record, self.numbers, age_ms=at_ms)}
            case events.SetupStepDone(step=step, ms=ms):
                return {"step": step.value, "ms": round(ms)}
            case events.TurnTaken(latency_ms=latency_ms):
                return {"latency_ms": latency_ms, "turn_count": len(record.turns)}
            case events.AgentSilent(waited_ms=waited_ms):
                return {"waited_ms": waited_ms}
            case events.AnswerLate(waited_ms=waited_ms):
                return {"waited_ms": waited_ms, "late_answers": record.late_answers}
            case events.CallerUndecodable(codec=codec):
                return {"codec": codec[:MAX_NAME]}
            case events.CallerSaid(text=text) if self.transcripts:
                return {"text": _masked(text)}
            case events.AgentSaid(text=text, corrected=corrected) if self.transcripts:
                return {"text": _masked(text), "corrected": corrected}
            case events.ReplyHeard():
                heard = {"heard": _masked(event.heard)} if self.transcripts else {}
                return {
                    "heard_ms": event.heard_ms,
                    "length_ms": event.length_ms,
                    "interrupted": event.interrupted,
                    **heard,
                }
            case events.Interrupted(discarded_ms=discarded_ms, silence_ms=silence_ms):
                return {"discarded_ms": discarded_ms, "silence_ms": silence_ms}
            case events.ToolCalled(name=name):
                return {"name": name[:MAX_NAME]}
            case events.ToolAnswered(name=name, is_error=is_error):
                return {"name": name[:MAX_NAME], "is_error": is_error}
            case events.TransferRequested(destination=destination, name=name):
                return {"destination": self._destination(name, destination)}
            case events.TransferDecided(destination=destination, name=name, outcome=outcome):
                return {"destination": self._destination(name, destination), "outcome": outcome.value}
            case _:
                return {}

    def _destination(self, name: str, destination: str) -> str:
        if name or self.numbers is CallerNumbers.SHOWN:
            return name or destination
        return mask_channel(destination)


def type_of(event: events.CallEvent) -> str:
    """Return the kind of an event: ``turn_taken``."""
    return _WORDS.sub("_", type(event).__name__).lower()


def _masked(text: str) -> str:
    return mask_text(text[:MAX_TEXT])
