"""The agent's audio on its way to the caller: conversion, queue, hold audio, and exact 20 ms frames. Pure.

The audio to the caller is always linear: Asterisk reads it as the kind says.
"""

from __future__ import annotations

from functools import cache

from audiosocket_gw.audio import AGENT_FORMATS, FRAME_MS, PCM_8000, AudioFormat, Converter, Encoding
from audiosocket_gw.audio.hold_audio import HoldAudio
from audiosocket_gw.audio.sample_aligner import SampleAligner
from audiosocket_gw.call.playout import Playout
from audiosocket_gw.protocol.audiosocket import SAMPLE_RATES, Kind, encode_audio

FADE_MS = 8
"""Length of the fade of a reply that is interrupted or held."""


class AgentAudio:
    """The audio of one call's agent. ``playout`` is the queue: linear, at the caller's rate."""

    __slots__ = (
        "_aligner",
        "_converter",
        "_format",
        "_has_tail",
        "_hold_audio",
        "_linear",
        "_silence_frame",
        "audio",
        "is_heard",
        "is_speech",
        "kind",
        "playout",
    )

    def __init__(self, hold_audio: HoldAudio | None = None) -> None:
        self.playout = Playout()
        self.kind = Kind.SLIN
        """The kind of the frames to the caller."""
        self.audio: bytes | None = None
        """The audio of the last frame, linear; None: silence."""
        self.is_heard = False
        """Whether the last frame had audio from the agent, or its audio is held in mid-word."""
        self.is_speech = False
        """Whether that audio is speech, not only background audio; set by `AgentSpeech`."""
        self._hold_audio = hold_audio
        self._linear = PCM_8000  # what goes to the caller
        self._has_tail = False  # the converter keeps the end of the reply
        self.set_format(PCM_8000)

    def set_format(self, audio_format: AudioFormat) -> None:
        """Set the format of the agent's audio."""
        if self._has_tail:
            self._finish_reply()  # of the audio so far
        self._format = audio_format
        self._aligner = SampleAligner(audio_format.sample_bytes)
        self._set_converter()

    def set_kind(self, kind: Kind) -> None:
        """Set the caller's rate; queued audio is converted."""
        if self._has_tail:
            self._finish_reply()  # of the audio so far
        self.kind = kind
        before, self._linear = self._linear, AudioFormat(Encoding.PCM, SAMPLE_RATES[kind])
        converter = Converter(before, self._linear)
        self.playout.change_rate(
            self._linear.frame_bytes, lambda audio: converter.convert(audio) + converter.drain()
        )
        if self._hold_audio is not None:
            self._hold_audio.change_rate(self._linear.rate)
        self._set_converter()

    def _set_converter(self) -> None:
        """Build the converter to the caller's format; None when formats match, so audio passes untouched."""
        matches = self._format == self._linear
        self._converter = None if matches else Converter(self._format, self._linear)
        self._silence_frame = _silence_frame(self.kind)

    def begin_reply(self) -> None:
        """Discard half a sample left over from the previous reply: it would turn all following audio into
        noise.
        """
        self._aligner.reset()

    def receive(self, audio: bytes) -> bytes:
        """Queue the agent's audio for the caller; a sample may be split between two chunks.

        Return what was queued: linear, at the caller's rate.
        """
        audio = self._aligner.align(audio)
        if self._converter is not None:
            audio = self._converter.convert(audio)
            self._has_tail = True
        self.playout.add(audio)
        return audio

    def next_frame(self) -> bytes:
        """Return the next frame for the caller, ready to send; `audio` is its content."""
        if self._has_tail and self.playout.runs_dry:
            self._finish_reply()
        audio = self.playout.next_frame()
        self.is_heard = audio is not None or self.playout.held
        if self._hold_audio is not None:
            audio = self._with_hold_audio(self._hold_audio, audio)
        self.audio = audio
        if audio is None:
            return self._silence_frame
        return encode_audio(self.kind, audio)

    def _with_hold_audio(self, hold_audio: HoldAudio, audio: bytes | None) -> bytes | None:
        audio = hold_audio.next(audio, agent_speaks=self.is_speech and audio is not None)
        if hold_audio.over:
            self._hold_audio = None
        return audio

    def _finish_reply(self) -> None:
        """Fetch the last milliseconds, which a resampler holds back until more audio follows."""
        assert self._converter is not None
        self.playout.add(self._converter.drain())
        self._has_tail = False

    def hold(self) -> None:
        """Fade to silence, until `resume` or `interrupt`."""
        self.playout.hold(FADE_MS)

    def resume(self) -> None:
        """Resume where `hold` paused."""
        self.playout.release(FADE_MS)

    def interrupt(self) -> int:
        """Fade to silence and clear the queue; return the discarded milliseconds."""
        self._aligner.reset()
        if self._converter is not None:
            self._converter.reset()
            self._has_tail = False
        return self.playout.clear(FADE_MS)


@cache  # all calls share them
def _silence_frame(kind: Kind) -> bytes:
    return encode_audio(kind, AudioFormat(Encoding.PCM, SAMPLE_RATES[kind]).silence(FRAME_MS))


def agent_format(name: str, setting: str) -> AudioFormat:
    """Parse the name of an agent's format; ``setting`` is the agent's setting that has it.

    Raises:
        ValueError: it is not a known format of ElevenLabs.
    """
    found = next((known for known in AGENT_FORMATS if str(known) == name), None)
    if found is None:
        known_names = ", ".join(map(str, AGENT_FORMATS))
        raise ValueError(f"the agent's {setting} is {name!r:.40}; set it to one of {known_names}")
    return found
