"""The agent's audio on its way to the caller: queue, conversion, hold audio, and exact 20 ms frames. Pure.

The audio to the caller is always linear: Asterisk reads it as the kind says.
"""

from __future__ import annotations

from functools import cache

from audiosocket_gw.audio import AGENT_FORMATS, FRAME_MS, PCM_8000, AudioFormat, Encoding, ulaw_to_linear
from audiosocket_gw.audio.hold_audio import HoldAudio
from audiosocket_gw.audio.sample_aligner import SampleAligner
from audiosocket_gw.call.playout import Playout
from audiosocket_gw.protocol.audiosocket import SAMPLE_RATES, Kind, encode_audio

FADE_MS = 8
"""Length of the fade of a reply that is interrupted or held."""


class AgentAudio:
    """The audio of one call's agent. ``playout`` is the queue."""

    __slots__ = (
        "_aligner",
        "_decode",
        "_hold_audio",
        "_silence_frame",
        "audio",
        "is_heard",
        "is_speech",
        "kind",
        "linear_frame_bytes",
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
        self._silence_frame = _silence_frame(self.kind)
        self.set_format(PCM_8000)

    def set_format(self, audio_format: AudioFormat) -> None:
        """Set the format of the agent's audio."""
        self.linear_frame_bytes = AudioFormat(Encoding.PCM, audio_format.rate).frame_bytes
        """The length of 20 ms of what `receive` returns."""
        self._decode = ulaw_to_linear if audio_format.encoding is Encoding.ULAW else None
        self._aligner = SampleAligner(audio_format.sample_bytes)
        self.playout.source = audio_format

    def set_kind(self, kind: Kind) -> None:
        """Set the caller's rate. Queued audio is converted when it is played."""
        self.kind = kind
        self._silence_frame = _silence_frame(kind)
        self.playout.set_rate(SAMPLE_RATES[kind])
        if self._hold_audio is not None:
            self._hold_audio.change_rate(SAMPLE_RATES[kind])

    def begin_reply(self) -> None:
        """Discard half a sample left over from the previous reply: it would turn all following audio into
        noise.
        """
        self._aligner.reset()

    def receive(self, audio: bytes) -> bytes:
        """Queue the agent's audio for the caller; a sample may be split between two chunks.

        Return what was queued: linear, at the agent's rate.
        """
        audio = self._aligner.align(audio)
        self.playout.add(audio)
        return audio if self._decode is None else self._decode(audio)

    def next_frame(self) -> bytes:
        """Return the next frame for the caller, ready to send; `audio` is its content."""
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

    def hold(self) -> None:
        """Fade to silence, until `resume` or `interrupt`."""
        self.playout.hold(FADE_MS)

    def resume(self) -> None:
        """Resume where `hold` paused."""
        self.playout.release(FADE_MS)

    def interrupt(self) -> int:
        """Fade to silence and clear the queue; return the discarded milliseconds."""
        self._aligner.reset()
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
