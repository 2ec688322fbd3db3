"""What listens in on a call: recordings, flight recorders."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from audiosocket_gw.audio import AudioFormat
from audiosocket_gw.events import CallEvent, CallStarted
from audiosocket_gw.protocol.audiosocket import Audio

logger = logging.getLogger("audiosocket_gw.tap")


class Tap:
    """Listens in on one call, and does nothing with it: override what is of interest.

    All of it is called on the event loop, some of it 50 times a second: it must return at once. The last
    call is `on_event` with `events.CallEnded`.
    """

    def on_frame_sent(self, frame: bytes) -> None:
        """Take an AudioSocket frame that has been sent to the caller: 20 ms, once in each tick."""

    def on_frame_received(self, frame: Audio) -> None:
        """Take a frame of the caller's audio, as it arrives."""

    def on_caller_format(self, audio_format: AudioFormat | None) -> None:
        """Learn the format of the caller's audio from the next frame on; at first ``pcm_8000``.

        None: it can't be decoded, and the agent hears silence. What the caller hears is linear audio in any
        case; the kind of each frame tells its rate.
        """

    def on_agent_message(self, message: bytes) -> None:
        """Take a text message of the agent's, unread."""

    def on_client_message(self, message: bytes) -> None:
        """Take a text message to the agent; the caller's audio is not among them."""

    def on_event(self, event: CallEvent) -> None:
        """Take an event of this call."""


OpenTap = Callable[[CallStarted], Tap]
"""Begins to listen in on a call."""


class Taps(Tap):
    """All the taps of one call. One that fails is taken off, and nobody else notices."""

    def __init__(self, openers: Sequence[OpenTap], started: CallStarted) -> None:
        self._uuid = started.uuid
        self._taps: tuple[Tap, ...] = ()
        for opener in openers:
            try:
                self._taps += (opener(started),)
            except Exception as error:  # noqa: BLE001 (listening in must never harm a call)
                self._report(error)

    def on_frame_sent(self, frame: bytes) -> None:
        self._tell(lambda tap: tap.on_frame_sent(frame))

    def on_frame_received(self, frame: Audio) -> None:
        self._tell(lambda tap: tap.on_frame_received(frame))

    def on_caller_format(self, audio_format: AudioFormat | None) -> None:
        self._tell(lambda tap: tap.on_caller_format(audio_format))

    def on_agent_message(self, message: bytes) -> None:
        self._tell(lambda tap: tap.on_agent_message(message))

    def on_client_message(self, message: bytes) -> None:
        self._tell(lambda tap: tap.on_client_message(message))

    def on_event(self, event: CallEvent) -> None:
        self._tell(lambda tap: tap.on_event(event))

    def _tell(self, tell: Callable[[Tap], None]) -> None:
        for tap in self._taps:
            try:
                tell(tap)
            except Exception as error:  # noqa: BLE001 (listening in must never harm a call)
                self._take_off(tap, error)

    def _take_off(self, failed: Tap, error: Exception) -> None:
        self._taps = tuple(tap for tap in self._taps if tap is not failed)
        self._report(error)

    def _report(self, error: Exception) -> None:
        logger.error("call %s: a recording failed and is given up", self._uuid, exc_info=error)
