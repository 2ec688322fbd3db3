"""What the agent said, and how much of it the caller heard. Pure.

The agent's words and its audio arrive separately, both faster than they are heard. A reply is closed when no
more of it can be heard; only then the end of its audio is known. All times are those of `Playout.heard_ms`,
which counts the agent's audio as the caller hears it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from uuid import UUID

from audiosocket_gw.elevenlabs.messages import Alignment
from audiosocket_gw.events import ReplyHeard

MAX_WORDS_AHEAD = 8
"""Texts that may wait for their audio; more would mean that the audio never comes."""

MAX_OPEN = 100
"""Replies that may be open: audio with further ids counts as part of the last one."""

MAX_ALIGNED = 20_000
"""Aligned characters that are kept, some 20 minutes of speech; what was heard beyond is estimated."""

MAX_NOTICE = 500
"""Characters in the notice to an interrupted agent, which needs only the end of what was heard."""


@dataclass(slots=True)
class _Reply:
    event_id: int
    start_ms: int
    end_ms: int
    text: str = ""
    spoken: list[tuple[int, str]] = field(default_factory=list)
    """Each aligned character, and when it ends."""

    def closed(self, uuid: UUID, now: float, heard_until_ms: int) -> ReplyHeard:
        length_ms = self.end_ms - self.start_ms
        heard_ms = max(0, min(heard_until_ms - self.start_ms, length_ms))
        aligned = "".join(character for _, character in self.spoken)
        text = self.text or aligned
        heard = text if heard_ms == length_ms else self._words_until(heard_ms, text, aligned, length_ms)
        return ReplyHeard(
            uuid, now, self.event_id, text, heard, heard_ms, length_ms, interrupted=heard_ms < length_ms
        )

    def _words_until(self, heard_ms: int, text: str, aligned: str, length_ms: int) -> str:
        """Return the part of ``text`` that was spoken by then.

        With the agent's alignment it is exact to the character. If that is missing, impossible or for other
        words (it may spell numbers out), it is estimated in proportion, in whole words.
        """
        share = heard_ms / length_ms
        if self.spoken and 2 * self.spoken[-1][0] > length_ms:
            count = sum(1 for _ in takewhile(lambda spoken: spoken[0] <= heard_ms, self.spoken))
            if text.startswith(aligned[:count]):
                return aligned[:count].rstrip()
            share = count / len(self.spoken)
        guess = text[: int(len(text) * share)]
        return guess.rpartition(" ")[0] if " " in text else guess


def interruption_notice(replies: Sequence[ReplyHeard]) -> str:
    """Return the notice to an agent that was interrupted in these replies."""
    heard = " ".join(reply.heard for reply in replies if reply.heard)
    if heard:
        end = heard if len(heard) <= MAX_NOTICE else f"... {heard[-MAX_NOTICE:]}"
        return f'The caller interrupted you, and heard only: "{end}"'
    heard_s = sum(reply.heard_ms for reply in replies) / 1000
    if heard_s >= 0.5:
        return f"The caller interrupted you, and heard only the first {heard_s:.0f} s of your reply."
    return "The caller interrupted you, and heard nothing of your last reply."


class Replies:
    """The agent's open replies, in order."""

    __slots__ = ("_open", "_uuid", "_words")

    def __init__(self, uuid: UUID) -> None:
        self._uuid = uuid
        self._open: list[_Reply] = []
        self._words: dict[int | None, str] = {}

    def words(self, event_id: int | None, text: str) -> None:
        """Add a reply's text. It may come before its first audio, after it, or without an id."""
        reply = next((reply for reply in reversed(self._open) if reply.event_id == event_id), None)
        if reply is None and event_id is None and self._open and not self._open[-1].text:
            reply = self._open[-1]
        if reply is None:
            self._words[event_id] = text
            if len(self._words) > MAX_WORDS_AHEAD:
                del self._words[next(iter(self._words))]
        else:
            reply.text = text

    def audio(self, event_id: int, start_ms: int, end_ms: int, alignment: Alignment) -> None:
        """Add a chunk of a reply, queued to be heard from ``start_ms`` to ``end_ms``."""
        if not self._open or (self._open[-1].event_id != event_id and len(self._open) < MAX_OPEN):
            text = self._words.pop(event_id, "") or self._words.pop(None, "")
            self._open.append(_Reply(event_id, start_ms, start_ms, text))
        reply = self._open[-1]
        offset_ms = reply.end_ms - reply.start_ms
        if alignment:
            room = MAX_ALIGNED - sum(len(each.spoken) for each in self._open)
            reply.spoken += [(offset_ms + end, character) for end, character in alignment[: max(0, room)]]
        reply.end_ms = end_ms

    def close(self, heard_ms: int, now: float) -> list[ReplyHeard]:
        """Close all replies at loop time ``now``: nothing of them is heard after ``heard_ms``."""
        return self._close(self._open, heard_ms, now)

    def close_earlier(self, heard_ms: int, now: float) -> list[ReplyHeard]:
        """Close all replies except the last, which may continue."""
        return self._close(self._open[:-1], heard_ms, now)

    def _close(self, over: list[_Reply], heard_ms: int, now: float) -> list[ReplyHeard]:
        self._open = self._open[len(over) :]
        if over:
            self._words.pop(None, None)  # without an id it belongs to an earlier reply
        return [reply.closed(self._uuid, now, heard_ms) for reply in over]
