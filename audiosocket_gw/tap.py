"""The interface of whatever records a call: recordings, flight recorder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from audiosocket_gw.audio import AudioFormat
from audiosocket_gw.events import CallEvent, CallStarted, Observer
from audiosocket_gw.protocol.audiosocket import Audio

logger = logging.getLogger("audiosocket_gw.tap")


class Tap:
    """Receives what happens in one call and does nothing with it: override the methods that you need.

    All methods are called on the event loop, some 50 times a second: they must return at once. The last one
    is `on_event` with `events.CallEnded`.
    """

    def on_frame_sent(self, frame: bytes) -> None:
        """Receive an AudioSocket frame that was sent to the caller: 20 ms, once per tick."""

    def on_frame_received(self, frame: Audio) -> None:
        """Receive a frame of the caller's audio, as it arrived."""

    def on_caller_format(self, audio_format: AudioFormat | None) -> None:
        """Receive the format of the caller's audio from the next frame on; the first is ``pcm_8000``.

        None: it can't be decoded, and the agent gets silence. The audio to the caller is always linear; the
        kind of each frame gives its rate.
        """

    def on_agent_message(self, message: bytes) -> None:
        """Receive a text message from the agent, unparsed."""

    def on_client_message(self, message: bytes) -> None:
        """Receive a text message to the agent, except the caller's audio."""

    def on_event(self, event: CallEvent) -> None:
        """Receive an event of this call."""


def with_tap(observe: Observer, tap: Tap | None) -> Observer:
    """Return an observer that passes each event to ``observe`` and to the call's tap, if any."""
    if tap is None:
        return observe

    def emit(event: CallEvent) -> None:
        observe(event)
        tap.on_event(event)

    return emit


OpenTap = Callable[[CallStarted], Tap]
"""Returns the tap of a call that starts."""


class Taps(Tap):
    """All taps of one call. A tap that raises is removed; the others and the call continue."""

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
        logger.error("call %s: a recording failed and was stopped", self._uuid, exc_info=error)
