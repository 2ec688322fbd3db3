"""Reports of a conversation in addition to its events: for the log, and for code that waits. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from audiosocket_gw.elevenlabs.messages import ServerMessage
from audiosocket_gw.end_reasons import CallEnd
from audiosocket_gw.events import CallEvent


@dataclass(frozen=True, slots=True)
class CallerFormatChanged:
    """The format from Asterisk has changed: `CallerAudio.heard_format`."""


@dataclass(frozen=True, slots=True)
class CallerAudioBegan:
    """The first audio has arrived from the caller."""


@dataclass(frozen=True, slots=True)
class StaleAudioDropped:
    """A chunk of a reply was stale and dropped. ``event_id`` is None if the agent sends no ids."""

    event_id: int | None


@dataclass(frozen=True, slots=True)
class EventIdsRestarted:
    """The agent's event ids restarted at ``first``, below ``stale_below``, so that they would count as
    stale.
    """

    first: int
    stale_below: int


@dataclass(frozen=True, slots=True)
class LastWordsOver:
    """The wait of `Lifecycle.await_last_words` is over. ``interrupted``: the caller interrupted.

    ``timed_out``: the agent didn't stop speaking.
    """

    interrupted: bool = False
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class EndDecided:
    """The conversation's end is decided; the caller may still hear what is queued."""

    end: CallEnd


@dataclass(frozen=True, slots=True)
class Drained:
    """Playback has finished. ``left_ms`` could not be played."""

    left_ms: int = 0


Notice = (
    CallerFormatChanged
    | CallerAudioBegan
    | StaleAudioDropped
    | EventIdsRestarted
    | LastWordsOver
    | EndDecided
    | Drained
)

Output = CallEvent | Notice | ServerMessage
"""The output of a conversation; a `ServerMessage` is one that the conversation itself doesn't use."""
