"""What a conversation reports beside the events of its call: for the log, and for who waits. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from audiosocket_gw.elevenlabs.messages import ServerMessage
from audiosocket_gw.events import CallEnd, CallEvent


@dataclass(frozen=True, slots=True)
class CallerFormatChanged:
    """Asterisk sends another format than before: `CallerAudio.heard_format`."""


@dataclass(frozen=True, slots=True)
class StaleAudioDropped:
    """A piece of a reply came too late to be heard. ``event_id`` is None where the agent sends no ids."""

    event_id: int | None


@dataclass(frozen=True, slots=True)
class EventIdsRestarted:
    """The agent's event ids began anew at ``first``, though all below ``stale_below`` would be stale."""

    first: int
    stale_below: int


@dataclass(frozen=True, slots=True)
class LastWordsOver:
    """The wait that `Progress.await_last_words` began is over. ``interrupted``: the caller cut in.

    ``timed_out``: the agent would not stop speaking.
    """

    interrupted: bool = False
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class EndDecided:
    """The conversation ends like this; the caller may still have to hear what is queued."""

    end: CallEnd


@dataclass(frozen=True, slots=True)
class Drained:
    """The caller has heard all that will be heard. ``left_ms`` of it could not be played."""

    left_ms: int = 0


Notice = CallerFormatChanged | StaleAudioDropped | EventIdsRestarted | LastWordsOver | EndDecided | Drained

Output = CallEvent | Notice | ServerMessage
"""What a conversation hands to its owner; a `ServerMessage` is one that the conversation has no use for."""
