"""The voices of a call as a stereo WAV, for a page that plays them: caller left, agent right."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from audiosocket_gw.audio import PCM_8000, AudioFormat
from audiosocket_gw.flight.call_trace import read_records
from audiosocket_gw.flight.format import CallerFormat, CallerFrame, HeardFrame, Record
from audiosocket_gw.protocol.audiosocket import HEADER, Kind
from audiosocket_gw.recording.stereo import LEAD_IN_S, Piece, Stereo, TimedFrame

MAX_SECONDS = 900
"""The longest call that a page plays: 15 minutes of 8 kHz are 40 MB of HTML."""

MAX_WAV = 64 * 2**20

PIECE_FRAMES = 250


def stereo_wav(samples: bytes, rate: int) -> bytes:
    """Return interleaved 16-bit samples of two channels as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(2)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(samples)
    return file.getvalue()


def wav_of_flight(path: Path) -> bytes | None:
    """Return the voices of a flight recording; None if the call is too long.

    Raises:
        FlightError: see `read_records`.
    """
    return wav_of_records(read_records(path))


def wav_of_recording(path: Path) -> bytes | None:
    """Return the WAV file of a recording; None if there is none, or the call is too long."""
    wav = path.with_suffix(".wav")
    try:
        return wav.read_bytes() if wav.stat().st_size <= MAX_WAV else None
    except OSError:
        return None


def wav_of_records(records: Iterable[Record]) -> bytes | None:
    """Return the voices in the records of a flight recording; None if the call is too long."""
    mixer = _Mixer()
    for record in records:
        if record.at_us > MAX_SECONDS * 1_000_000:
            return None
        match record:
            case CallerFormat():
                mixer.set_format(record.format)
            case CallerFrame(at_us, _, audio):
                mixer.add_said(at_us / 1e6, audio)
            case HeardFrame(at_us, kind, audio):
                mixer.add_heard(at_us / 1e6, kind, audio)
    return mixer.close()


class _Mixer:
    """Puts the frames of both directions on one clock, as a recording does."""

    def __init__(self) -> None:
        self._format = PCM_8000
        self._heard: list[TimedFrame] = []
        self._said: list[TimedFrame] = []
        self._stereo: Stereo | None = None
        self._rate = PCM_8000.rate
        self._samples: npt.NDArray[np.int16] = np.zeros((0, 2), "<i2")
        self._length = 0

    def set_format(self, audio_format: AudioFormat) -> None:
        self._cut()
        self._format = audio_format

    def add_said(self, at: float, audio: bytes) -> None:
        self._said.append((at, audio))

    def add_heard(self, at: float, kind: Kind, audio: bytes) -> None:
        self._heard.append((at, HEADER.pack(kind, len(audio)) + audio))
        if len(self._heard) >= PIECE_FRAMES:
            self._cut()

    def close(self) -> bytes:
        """Return the WAV file; it begins with the call."""
        self._cut()
        if self._stereo is not None:
            self._stereo.close()
            self._take(self._stereo)
        lead_in = round(LEAD_IN_S * self._rate)
        return stereo_wav(self._samples[lead_in : self._length].tobytes(), self._rate)

    def _cut(self) -> None:
        if not self._heard and not self._said:
            return
        if self._stereo is None:
            self._rate = self._format.rate
            self._stereo = Stereo(self._rate, -LEAD_IN_S)
        self._stereo.add(Piece(self._format, self._heard, self._said))
        self._heard, self._said = [], []
        self._take(self._stereo)

    def _take(self, stereo: Stereo) -> None:
        """Write what is new or has changed."""
        for position, block in stereo.take():
            end = position + len(block)
            if end > len(self._samples):
                room = np.zeros((max(end, 2 * len(self._samples)) - len(self._samples), 2), "<i2")
                self._samples = np.concatenate((self._samples, room))
            self._samples[position:end] = block
            self._length = max(self._length, end)
