"""Reads the frames of one connection from Asterisk, and passes those of audio to its call.

They are read as they arrive or, when the process is busy, when the call asks for them. In both cases a few
are handled at a time: calls share one thread, and one read may return thousands of frames, from a hostile
peer or after a network failure.
"""

from __future__ import annotations

import asyncio
import os
from abc import abstractmethod

from audiosocket_gw.call.call import Call
from audiosocket_gw.causes import Cause
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.errors import RemoteProtocolError
from audiosocket_gw.protocol.audiosocket import Audio, Decoder, Frame
from audiosocket_gw.protocol.strangers import stranger
from audiosocket_gw.runtime.loop_budget import LoopBudget
from audiosocket_gw.runtime.receive_buffer import RECEIVE_BUFFER

FRAMES_AT_ONCE = 8
"""Frames that are always handled in the loop iteration that read them. The rest is as well, as far as the
time of all connections in this iteration goes (`LoopBudget`), then waits for its turn. Normally there is one,
and up to six where audio is batched.
"""


class FrameReader(asyncio.BufferedProtocol):
    """The reading half of a connection, and of a call's `CallerLeg`.

    While frames wait for their turn nothing more is read, so the end of the stream comes after them.
    """

    _transport: asyncio.Transport

    def __init__(self, budget: LoopBudget) -> None:
        """``budget``: of all connections from Asterisk."""
        self._budget = budget
        self._decoder = Decoder()
        self._is_behind = False  # frames wait for their turn
        self._collects = False  # reads only when `collect` is called
        self._closing = False
        self._call: Call | None = None
        self.fd = -1

    @abstractmethod
    def _receive_control_frame(self, frame: Frame) -> None:
        """Handle a frame other than a call's audio."""

    @abstractmethod
    def _end(self, reason: EndReason, cause: Cause) -> None:
        """End the call, if any, and close."""

    @abstractmethod
    def _broke(self, error: OSError) -> None:
        """End the call, if any, because the connection failed."""

    @property
    def mid_frame(self) -> bool:
        return self._decoder.pending > 0

    def collect(self) -> None:
        if self._closing:
            return  # the descriptor may already belong to another connection
        # Pause: asyncio doesn't wake up for each frame, which costs more than the frame itself. A paused
        # transport can't read what has come meanwhile, so the descriptor is read directly.
        self._collects = True
        self._transport.pause_reading()
        if self._is_behind:
            return  # the frames that were read come first
        try:
            nbytes = os.readv(self.fd, (RECEIVE_BUFFER,))
        except BlockingIOError:
            return
        except OSError as error:
            self._broke(error)
            return
        if nbytes:
            self.buffer_updated(nbytes)
        else:
            self.listen()  # asyncio reads the end again itself, but not an error

    def listen(self) -> None:
        self._collects = False
        if not self._is_behind:
            self._transport.resume_reading()

    def _drop_frames(self) -> None:
        """Drop the frames that wait."""
        self._is_behind = False

    # Called by asyncio

    def get_buffer(self, sizehint: int) -> memoryview:
        return RECEIVE_BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        if self._closing:
            return
        self._handle(nbytes)
        if self._decoder.is_behind and not (self._is_behind or self._closing):
            self._is_behind = True
            self._transport.pause_reading()
            # After a stall all calls are behind. If each waited for a turn, they would stay so: more would
            # have come by then, and those that wait have a third of the time.
            if self._budget.has_time():
                self._catch_up()
            else:
                self._budget.defer(self._catch_up)

    def _handle(self, nbytes: int) -> None:
        """Handle some frames, with the ``nbytes`` that have just been read."""
        try:
            for frame in self._decoder.receive(RECEIVE_BUFFER[:nbytes], FRAMES_AT_ONCE):
                if type(frame) is Audio and self._call is not None:
                    self._call.caller_audio(frame)
                else:
                    self._receive_control_frame(frame)
        except RemoteProtocolError as error:
            who = stranger(bytes(RECEIVE_BUFFER[:nbytes]))
            self._end(EndReason.CALLER_PROTOCOL, f"{error}; {who}" if who else str(error))
        if self._call is not None:
            self._call.forward_audio()

    def _catch_up(self) -> None:
        """Handle the next frames, as many as the budget allows, then read again."""
        while self._decoder.is_behind and not self._closing:
            try:
                self._handle(0)
            except Exception as error:
                self._end(EndReason.INTERNAL_ERROR, f"reading from Asterisk failed: {error!r}")
                raise
            if not self._budget.has_time():
                self._budget.defer(self._catch_up)
                return
        self._is_behind = False
        if not (self._collects or self._closing):
            self._transport.resume_reading()
