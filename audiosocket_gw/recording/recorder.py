"""The recordings of all calls: the event loop takes notes, the writer's thread writes files."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from audiosocket_gw import events
from audiosocket_gw.audio import FRAME_MS, PCM_8000, AudioFormat
from audiosocket_gw.protocol.audiosocket import Audio
from audiosocket_gw.recording.directory import Claim, call_name, claim
from audiosocket_gw.recording.failures import Failures
from audiosocket_gw.recording.retention import Limits, Retention
from audiosocket_gw.recording.stereo import LEAD_IN_S, Piece, Stereo, TimedFrame
from audiosocket_gw.recording.transcript import Transcript, TranscriptFile
from audiosocket_gw.recording.wav import WavFile
from audiosocket_gw.runtime.writer import Writer, WriterLimits
from audiosocket_gw.tap import Tap

logger = logging.getLogger("audiosocket_gw.recording")

T = TypeVar("T")

SUFFIXES = (".wav", ".jsonl")

TICKS_TO_WRITE = 1_000 // FRAME_MS
"""Audio is passed to the writer once a second."""

MAX_UNWRITTEN_S = 10
"""If a call is this far ahead of its disk, its recording ends: audio would fill the memory."""

MAX_UNWRITTEN_EVENTS = 1_000


class Recorder:
    """Records calls into ``RECORD_DIR`` while its context is open; pass `open` to the calls."""

    def __init__(self, directory: Path, limits: Limits, writer: WriterLimits | None = None) -> None:
        self.failures = Failures()
        self._directory = directory
        self._up: set[str] = set()
        self._retention = Retention(directory, SUFFIXES, limits)
        self._writer = Writer("recordings", self._sweep, writer)
        self._resources = ExitStack()
        self._claim: Claim

    def __enter__(self) -> Self:
        """Start the writer.

        Raises:
            ConfigurationError: ``RECORD_DIR`` can't be used, or another gateway uses it.
        """
        self._claim = self._resources.enter_context(claim(self._directory, "RECORD_DIR"))
        self._resources.enter_context(self._writer)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish the files; wait for a hanging disk for only a few seconds."""
        self._resources.close()

    def open(self, started: events.CallStarted) -> Tap:
        """Start recording a call. Call it on the event loop."""
        if self._writer.overloaded:
            self.failures.add()
            logger.warning(
                "call %s: not recorded: the disk of RECORD_DIR=%s hangs", started.uuid, self._directory
            )
            return Tap()
        now = datetime.now(UTC)
        name = call_name(started.uuid, now)
        self._up.add(name)
        files = CallFiles(
            self._directory / name, started, now, self._claim.renew, self._closed, self.failures
        )
        return CallRecorder(files, self._writer, asyncio.get_running_loop().time)

    def _closed(self, name: str) -> None:
        self._up.discard(name)
        self._writer.chore_is_due()

    def _sweep(self) -> None:
        self._retention.sweep(self._up)


class CallRecorder(Tap):
    """The tap of one call: notes frames with their times, and passes them to the writer."""

    def __init__(self, files: CallFiles, writer: Writer, clock: Callable[[], float]) -> None:
        self._files = files
        self._writer = writer
        self._clock = clock
        self._format = PCM_8000
        self._decodable = True
        self._heard: list[TimedFrame] = []
        self._said: list[TimedFrame] = []
        self._pieces: list[Piece] = []

    def on_frame_sent(self, frame: bytes) -> None:
        self._heard.append((self._clock(), frame))
        if len(self._heard) >= TICKS_TO_WRITE:
            self._hand_over()

    def on_frame_received(self, frame: Audio) -> None:
        if self._decodable:
            self._said.append((self._clock(), frame.payload))

    def on_caller_format(self, audio_format: AudioFormat | None) -> None:
        self._cut()
        self._decodable = audio_format is not None
        self._format = audio_format or self._format

    def on_event(self, event: events.CallEvent) -> None:
        files = self._files
        if isinstance(event, events.CallEnded):
            self._cut()
            files.end(event, self._pieces)
        elif files.given_up:
            return
        elif len(files.events) < MAX_UNWRITTEN_EVENTS:
            files.events.append(event)
        else:
            files.give_up("the disk hangs")
        self._writer.submit(files.write)

    def _cut(self) -> None:
        if self._heard or self._said:
            self._pieces.append(Piece(self._format, self._heard, self._said))
            self._heard, self._said = [], []

    def _hand_over(self) -> None:
        self._cut()
        pieces, self._pieces = self._pieces, []
        files = self._files
        if files.given_up:
            return
        if len(files.audio) < MAX_UNWRITTEN_S:
            files.audio.append(pieces)
        else:
            files.give_up(f"the disk accepted nothing for {MAX_UNWRITTEN_S} s")
        self._writer.submit(files.write)


class CallFiles:
    """The two files of one call.

    The event loop adds ``events`` and ``audio``, once a second; `write`, in the writer's thread, takes them
    out. After `give_up`, called by either, nothing more is written.
    """

    def __init__(
        self,
        path: Path,
        started: events.CallStarted,
        started_on: datetime,
        prepare: Callable[[], None],
        closed: Callable[[str], None],
        failures: Failures,
    ) -> None:
        """``prepare`` is called before a file is created, ``closed`` with the files' name when both are
        complete. ``failures`` counts a recording that stops.
        """
        self._path = path
        self._uuid = started.uuid
        self._begins_at = started.at - LEAD_IN_S
        self._prepare = prepare
        self._closed = closed
        self._failures = failures
        self._transcript = Transcript(started, started_on, self._begins_at)
        self._transcript_file: TranscriptFile | None = None
        self._stereo: Stereo | None = None
        self._wav: WavFile | None = None
        self._is_full = False
        self._ended = False
        self.events: deque[events.CallEvent] = deque()
        self.audio: deque[Sequence[Piece]] = deque()
        self.given_up = False

    def end(self, event: events.CallEnded, rest: Sequence[Piece]) -> None:
        """Add the last events and audio."""
        if not self.given_up:
            self.events.append(event)
            self.audio.append(rest)
        self._ended = True

    def give_up(self, why: str) -> None:
        """Stop recording this call, with a warning."""
        if not self.given_up:
            self.given_up = True
            self._failures.add()
            logger.warning(
                "call %s: recording stopped, the call continues: %s. Check the disk of RECORD_DIR=%s",
                self._uuid,
                why,
                self._path.parent,
            )
        self.audio.clear()
        self.events.clear()

    def write(self) -> None:
        """Write the waiting events and audio, and close the files after the last."""
        ended = self._ended  # read first: what is added later is written later
        try:
            if not self.given_up:
                self._write_events()
                self._write_audio(ended)
        except OSError as error:
            self.give_up(error.strerror or str(error))
        except Exception:
            self.give_up("an internal error")
            raise
        finally:
            if ended:
                self._see_whether_it_is_there()
            if ended or self.given_up:
                self._close()
            if ended:
                self._closed(self._path.name)

    def _see_whether_it_is_there(self) -> None:
        """Warn if the files were removed: writing to removed files succeeds."""
        path = self._path.with_name(f"{self._path.name}.wav")
        if not self.given_up and self._wav is not None and not path.exists():
            logger.warning("call %s: its recording was removed before the call ended: %s", self._uuid, path)

    def _write_events(self) -> None:
        for event in _taken(self.events):
            lines = self._transcript.lines(event)
            if lines:
                if self._transcript_file is None:
                    self._prepare()
                    self._transcript_file = TranscriptFile(self._path.with_name(f"{self._path.name}.jsonl"))
                self._transcript_file.write(lines)

    def _write_audio(self, ended: bool) -> None:
        for pieces in _taken(self.audio):
            if not self._is_full:
                self._write_pieces(pieces, last=ended and not self.audio)

    def _write_pieces(self, pieces: Sequence[Piece], *, last: bool) -> None:
        if self._stereo is None:
            rate = pieces[-1].audio_format.rate if pieces else PCM_8000.rate
            self._stereo = Stereo(rate, self._begins_at)
            self._prepare()
            self._wav = WavFile(self._path.with_name(f"{self._path.name}.wav"), rate)
        assert self._wav is not None
        for piece in pieces:
            self._stereo.add(piece)
        if last:
            self._stereo.close()
        for position, block in self._stereo.take():
            if not self._wav.write(position, block):
                self._is_full = True
                logger.warning("call %s: its recording has reached 2 GiB and ends there", self._uuid)
                return

    def _close(self) -> None:
        for file in (self._transcript_file, self._wav):
            if file is not None:
                file.close()
        self._transcript_file = self._wav = None


def _taken(waiting: deque[T]) -> Iterator[T]:
    """Take out what there is. The other thread may clear it at any time."""
    while True:
        try:
            item = waiting.popleft()
        except IndexError:
            return
        yield item
