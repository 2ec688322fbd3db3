"""The recorder: writes what a `Tap` receives, masked, into one file per call.

On the event loop it only appends to a list. Once a second the list is passed to the writer's thread, which
masks, compresses and writes it. A slow or full disk ends the recording, never the call.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from audiosocket_gw.audio import AudioFormat
from audiosocket_gw.end_reasons import NORMAL_ENDS, EndReason
from audiosocket_gw.events import (
    AgentPinged,
    AgentSilent,
    AnswerLate,
    CallEnded,
    CallerUndecodable,
    CallEvent,
    CallStarted,
)
from audiosocket_gw.flight.capture import SUFFIX, UNFINISHED, FlightFile, Note
from audiosocket_gw.flight.format import RecordKind
from audiosocket_gw.protocol.audiosocket import Audio
from audiosocket_gw.recording.directory import Claim, claim
from audiosocket_gw.recording.failures import Failures
from audiosocket_gw.recording.retention import Limits, Retention
from audiosocket_gw.runtime.writer import Writer
from audiosocket_gw.tap import Tap

logger = logging.getLogger("audiosocket_gw.flight")

NOTE_BYTES = 200
"""Approximate size of a note without its content."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """When the notes of a call go to the disk, and how many may wait for it.

    ``seconds``: the most that a killed process loses. A block of ``size`` bytes is written before that.
    ``waiting``: bytes of all calls; the default is several seconds of 500 calls.
    """

    seconds: float = 1.0
    size: int = 2**20
    waiting: int = 64 * 2**20


class FlightRecorder:
    """Records every call into ``directory`` while its context is open; pass `open` to the calls."""

    def __init__(
        self, directory: Path, *, keep_all: bool, limits: Limits, blocks: Blocks | None = None
    ) -> None:
        """``keep_all``: also keep calls that ended normally, and in which nothing else was wrong either."""
        self._directory = directory
        self._keep_all = keep_all
        self._retention = Retention(directory, (SUFFIX, UNFINISHED), limits)
        self.failures = Failures()
        self._writer = Writer("flight recorder", self._sweep)
        self._unfinished: dict[str, FlightFile] = {}  # used only by the writer, like the files
        self.blocks = blocks or Blocks()
        self._waiting = 0
        self._lock = threading.Lock()
        self._resources = ExitStack()
        self._claim: Claim

    def __enter__(self) -> Self:
        """Start the writer.

        Raises:
            ConfigurationError: ``FLIGHT_DIR`` can't be used, or another gateway uses it.
        """
        self._claim = self._resources.enter_context(claim(self._directory, "FLIGHT_DIR"))
        self._resources.enter_context(self._writer)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish the files; wait for a hanging disk for only a few seconds."""
        self._writer.submit(self._finish_all)
        self._resources.close()

    def open(self, started: CallStarted) -> Tap:
        """Start recording a call: an `OpenTap`."""
        now = asyncio.get_running_loop().time()
        started_at = datetime.fromtimestamp(time.time() - (now - started.at), UTC)
        file = FlightFile(self._directory, started, started_at, self._claim.renew, self.failures)
        return _FlightTap(self, file, started)

    # Asked by the taps

    def write(self, file: FlightFile, notes: list[Note], size: int) -> bool:
        """Queue notes of ``size`` bytes for writing; return False if too much is waiting for the disk."""
        with self._lock:
            if self._waiting + size > self.blocks.waiting:
                return False
            self._waiting += size
        self._writer.submit(lambda: self._write(file, notes, size))
        return True

    def finish(self, file: FlightFile, *, keep: bool) -> None:
        """Queue the closing of the file; it is then kept or removed."""
        self._writer.submit(lambda: self._finish(file, keep))

    def is_kept(self, reason: EndReason) -> bool:
        """Return whether to keep a call that ended for this reason."""
        return self._keep_all or reason not in NORMAL_ENDS

    # Done by the writer

    def _write(self, file: FlightFile, notes: list[Note], size: int) -> None:
        try:
            self._unfinished[file.name] = file
            file.write(notes)
        finally:
            with self._lock:
                self._waiting -= size

    def _finish(self, file: FlightFile, keep: bool) -> None:
        self._unfinished.pop(file.name, None)
        file.finish(keep=keep)
        if keep:
            self._writer.chore_is_due()

    def _finish_all(self) -> None:
        for file in tuple(self._unfinished.values()):  # of calls that never ended
            self._finish(file, keep=True)

    def _sweep(self) -> None:
        self._retention.sweep(self._unfinished)


class _FlightTap(Tap):
    """The tap of one call: takes notes, and passes them on once a second."""

    def __init__(self, recorder: FlightRecorder, file: FlightFile, started: CallStarted) -> None:
        self._now = asyncio.get_running_loop().time
        self._recorder = recorder
        self._file = file
        self._given_up = self._is_bad = False
        self._uuid = started.uuid
        self._notes: list[Note] = []
        self._size = 0
        self._blocks = recorder.blocks
        self._due = started.at + self._blocks.seconds

    def on_frame_sent(self, frame: bytes) -> None:
        self._note(RecordKind.HEARD_FRAME, frame, len(frame))

    def on_frame_received(self, frame: Audio) -> None:
        self._note(RecordKind.CALLER_FRAME, frame, len(frame.payload))

    def on_caller_format(self, audio_format: AudioFormat | None) -> None:
        if audio_format is not None:  # a replay detects by itself that the frames can't be decoded
            self._note(RecordKind.CALLER_FORMAT, audio_format, 0)

    def on_agent_message(self, message: bytes) -> None:
        self._note(RecordKind.AGENT_MESSAGE, message, len(message))

    def on_client_message(self, message: bytes) -> None:
        self._note(RecordKind.GATEWAY_MESSAGE, message, len(message))

    def on_event(self, event: CallEvent) -> None:
        if isinstance(event, CallStarted | AgentPinged):
            return  # the file begins with the one, and has the other as a message
        self._note(RecordKind.EVENT, event, 0)
        if isinstance(event, AgentSilent | AnswerLate | CallerUndecodable):
            self._is_bad = True
        elif isinstance(event, CallEnded):
            self._hand_on()
            keep = self._is_bad or self._recorder.is_kept(event.reason)
            self._recorder.finish(self._file, keep=keep)

    def _note(self, kind: RecordKind, noted: Any, size: int) -> None:
        if self._given_up:
            return
        now = self._now()
        self._notes.append((kind, now, noted))
        self._size += size + NOTE_BYTES
        if now >= self._due or self._size >= self._blocks.size:
            self._hand_on()
            self._due = now + self._blocks.seconds

    def _hand_on(self) -> None:
        notes, size = self._notes, self._size
        self._notes, self._size = [], 0
        if not self._given_up and not self._recorder.write(self._file, notes, size):
            logger.warning(
                "call %s: the disk is too slow: its flight recording stopped, the call continues", self._uuid
            )
            self._given_up = True
            self._recorder.failures.add()
