"""The transcript of a call, as JSON Lines; `docs/recording.md` describes the fields."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from audiosocket_gw import events

Entry = dict[str, Any]


class Transcript:
    """Turns the events of one call into lines. Pure.

    ``started_on`` is the wall-clock time, UTC, of the call's start; ``begins_at`` the loop time at which the
    recording begins. The first line names the conversation, so it waits for the agent, or for the first other
    event.
    """

    def __init__(self, started: events.CallStarted, started_on: datetime, begins_at: float) -> None:
        self._started = started
        self._started_on = started_on
        self._begins_at = begins_at
        self._has_begun = False

    def lines(self, event: events.CallEvent) -> bytes:
        """Return the lines for ``event``: none, one, or two."""
        entry = _entry(event)
        if entry is None:
            return b""
        line = _line(self._times(event) | entry)
        if self._has_begun:
            return line
        self._has_begun = True
        return self._first_line(event) + line

    def _first_line(self, event: events.CallEvent) -> bytes:
        conversation_id = event.conversation_id if isinstance(event, events.AgentConnected) else None
        return _line(
            self._times(self._started)
            | {
                "role": "system",
                "type": "call",
                "uuid": str(self._started.uuid),
                "conversation_id": conversation_id,
                "peer": self._started.peer,
            }
        )

    def _times(self, event: events.CallEvent) -> Entry:
        on = self._started_on + timedelta(seconds=event.at - self._started.at)
        time = on.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"time": time, "at": round(event.at - self._begins_at, 3)}


def _entry(event: events.CallEvent) -> Entry | None:
    match event:
        case events.AgentConnected(conversation_id=conversation_id, setup_ms=setup_ms):
            return {
                "role": "system",
                "type": "connected",
                "conversation_id": conversation_id,
                "setup_ms": round(setup_ms),
            }
        case events.CallerSaid(text=text):
            return {"role": "caller", "type": "said", "text": text}
        case events.AgentSaid(text=text, corrected=corrected):
            return {"role": "agent", "type": "corrected" if corrected else "said", "text": text}
        case events.ReplyStarted():
            return {"role": "agent", "type": "speaks"}
        case events.ReplyHeard():
            return {
                "role": "agent",
                "type": "heard",
                "reply": event.reply,
                "text": event.text,
                "heard": event.heard,
                "heard_ms": event.heard_ms,
                "length_ms": event.length_ms,
                "interrupted": event.interrupted,
            }
        case events.Interrupted(discarded_ms=discarded_ms):
            return {"role": "caller", "type": "interrupted", "discarded_ms": discarded_ms}
        case events.DigitPressed():  # without the key: it may be part of a PIN or a card number
            return {"role": "caller", "type": "key"}
        case events.ToolCalled(name=name, tool_call_id=tool_call_id):
            return {"role": "agent", "type": "tool-call", "tool": name, "tool_call_id": tool_call_id}
        case events.ToolAnswered(name=name, tool_call_id=tool_call_id, is_error=is_error):
            return {
                "role": "system",
                "type": "tool-result",
                "tool": name,
                "tool_call_id": tool_call_id,
                "is_error": is_error,
            }
        case events.CallEnded():
            return {
                "role": "system",
                "type": "end",
                "reason": event.reason.value,
                "detail": event.detail,
                "duration_ms": event.duration_ms,
                "heard_ms": event.heard_ms,
            }
        case _:
            return None


def _line(entry: Entry) -> bytes:
    # Half a surrogate pair, which is valid in JSON but not in UTF-8, is written as a JSON escape.
    return json.dumps(entry, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


class TranscriptFile:
    """A new file of whole lines; only its owner can read it.

    Raises:
        OSError: it can't be made, or exists.
    """

    def __init__(self, path: Path) -> None:
        self._size = 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, lines: bytes) -> None:
        """Append whole lines, at once.

        Raises:
            OSError: the disk is full or fails. No part of a line remains.
        """
        rest = memoryview(lines)
        try:
            while rest:
                written = os.pwrite(self._file, rest, self._size + len(lines) - len(rest))
                rest = rest[written:]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise
        self._size += len(lines)

    def close(self) -> None:
        os.close(self._file)
