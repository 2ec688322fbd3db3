"""The audio of one call: what the caller's side speaks, what the agent speaks, and the way between them.

Pure. The formats become known on the way: the agent's from its metadata, the caller's from the first frames,
whose kind tells the rate, and whose look tells whether Asterisk passes a telephone's codec through. What goes
to the caller is linear audio in any case: Asterisk takes it for what its kind says.
"""

from __future__ import annotations

from collections.abc import Callable

from audiosocket_gw.audio import (
    AGENT_FORMATS,
    FRAME_MS,
    PCM_8000,
    AudioFormat,
    Converter,
    Encoding,
    alaw_to_linear,
    ulaw_to_linear,
)
from audiosocket_gw.audio.codec_detector import CodecDetector
from audiosocket_gw.audio.codec_evidence import Verdict
from audiosocket_gw.audio.hold_audio import HoldAudio
from audiosocket_gw.audio.sample_aligner import SampleAligner
from audiosocket_gw.call.playout import Playout
from audiosocket_gw.protocol.audiosocket import SAMPLE_RATES, Audio, Kind, encode_audio

FADE_MS = 8
"""How a reply that is cut off, or held, ends."""

MIN_AUDIO_BYTES = 16
"""2 ms of G.711, 1 ms of linear audio: no telephone sends packets shorter than 2.5 ms."""

NOT_SETTLED = -1
"""No length of a frame, not even of an empty one."""

MIN_ODD_BYTES = 80
"""Linear audio of an odd length and under 5 ms is comfort noise with its spectrum (RFC 3389)."""

Clock = Callable[[], float]
"""Returns seconds."""

_DECODERS = {Encoding.ULAW: ulaw_to_linear, Encoding.ALAW: alaw_to_linear}


class Media:
    """Both directions of one call. ``playout`` is what waits for the caller, linear at the caller's rate."""

    def __init__(self, hold_audio: HoldAudio | None = None, clock: Clock | None = None) -> None:
        """``clock`` counts seconds: by it the rate is known that the caller's bytes have."""
        self._hold_audio = hold_audio
        self.playout = Playout()
        self.caller_format = PCM_8000
        """What Asterisk sends, as far as it is known."""
        self.audio: bytes | None = None
        """What was in the last frame, linear; None: silence."""
        self.agent_is_heard = False
        """Whether audio of the agent's was in the last frame, or is held in mid-word."""
        self.agent_speaks = False
        """Whether that audio is speech, and not only the agent's background; whoever can tell sets it."""
        self.agent_silence = b""
        """20 ms of silence for the agent; empty before `agree`."""
        self.kind = Kind.SLIN
        """That of the caller's frames."""
        self.settled_bytes = NOT_SETTLED
        """Frames of this length and `kind` need no look, and are understood as they are."""
        self._codec = CodecDetector(clock)
        self._verdict = self._codec.verdict
        self._sample_bytes = PCM_8000.sample_bytes  # of the caller's audio; 0: it can't be decoded
        self._by_kind = self._verdict
        self._linear = PCM_8000  # what goes to the caller
        self._agent_input: AudioFormat | None = None
        self._agent_output = PCM_8000
        self._to_agent: Converter | None = None
        self._from_agent: Converter | None = None
        self._aligner = SampleAligner(PCM_8000.sample_bytes)  # of the agent's audio
        self._has_tail = False
        self._lay_from_agent()
        self._lay_to_agent()

    # Formats

    def agree(self, agent_input: AudioFormat, agent_output: AudioFormat) -> None:
        """Take the agent's formats: what it listens to, and what it speaks."""
        self._agent_input = agent_input
        self._agent_output = agent_output
        self._aligner = SampleAligner(agent_output.sample_bytes)
        self._lay_from_agent()
        self._lay_to_agent()

    def look_at(self, frame: Audio) -> bool:
        """Learn from a frame of the caller's what the caller's side speaks; tell whether there is news of it.

        Another kind is another rate, and takes what is queued along.
        """
        size = len(frame.payload)
        if size < MIN_AUDIO_BYTES:
            return False
        if frame.kind is not self.kind:
            self._change_kind(frame.kind)
        verdict = self._codec.hear(frame.payload) if frame.kind is Kind.SLIN else self._by_kind
        is_news = verdict is not self._verdict and self._take(verdict)
        is_settled = frame.kind is not Kind.SLIN or self._codec.is_settled(size)
        is_whole = self._sample_bytes and size % self._sample_bytes == 0
        self.settled_bytes = size if is_settled and is_whole else NOT_SETTLED
        return is_news

    def expect(self, codec: str) -> bool:
        """Learn from Asterisk which codec it sends under kind 0x10; tell whether that is news."""
        told = self._codec.set_codec(codec)
        self.settled_bytes = NOT_SETTLED
        return self.kind is Kind.SLIN and told is not self._verdict and self._take(told)

    @property
    def codec_passes_through(self) -> bool:
        """Whether Asterisk is sure to send a telephone's codec under the label of linear audio."""
        heard = self._verdict.format
        return self._verdict.certain and (heard is None or heard.encoding is not Encoding.PCM)

    @property
    def codec_is_certain(self) -> bool:
        """Whether it is beyond doubt what Asterisk sends."""
        return self._verdict.certain

    @property
    def rate_is_mislabelled(self) -> bool:
        """Whether Asterisk is sure to send linear audio of another rate than its label says."""
        heard = self._verdict.format
        is_linear = heard is not None and heard.encoding is Encoding.PCM
        return self._verdict.certain and is_linear and heard != self._linear

    def look_again(self) -> None:
        """The caller's audio has paused: what comes now may be another codec."""
        if self.kind is Kind.SLIN:
            self.settled_bytes = NOT_SETTLED
            self._codec.look_again()

    @property
    def heard_format(self) -> AudioFormat | None:
        """What Asterisk sends, or None when it can't be decoded."""
        return self.caller_format if self.understands_caller else None

    @property
    def understands_caller(self) -> bool:
        """Whether what Asterisk sends can be decoded."""
        return self._verdict.format is not None

    def understood(self, payload: bytes) -> bytes:
        """Return a frame's audio in `caller_format`; nothing of what can't be decoded, or is no audio.

        No audio is comfort noise, whose parameters older releases of Asterisk send as if they were samples. A
        frame begins with a whole sample: half a one at its end would shift all that follows.
        """
        size = len(payload)
        if size < MIN_AUDIO_BYTES or not self._sample_bytes:
            return b""
        if size % self._sample_bytes:
            return b"" if size < MIN_ODD_BYTES else payload[:-1]
        return payload

    def _take(self, verdict: Verdict) -> bool:
        before, self._verdict = self._verdict, verdict
        self._sample_bytes = verdict.format.sample_bytes if verdict.format is not None else 0
        if verdict.format is not None and verdict.format != self.caller_format:
            self.caller_format = verdict.format
            self._lay_to_agent()
        return verdict != before

    def _change_kind(self, kind: Kind) -> None:
        if self._has_tail:
            self._finish_reply()  # of the audio so far
        self.kind = kind
        before, self._linear = self._linear, AudioFormat(Encoding.PCM, SAMPLE_RATES[kind])
        self._by_kind = Verdict(self._linear, certain=True)
        converter = Converter(before, self._linear)
        self.playout.change_rate(
            self._linear.frame_bytes, lambda audio: converter.convert(audio) + converter.drain()
        )
        if self._hold_audio is not None:
            self._hold_audio.change_rate(self._linear.rate)
        self._lay_from_agent()

    def _lay_from_agent(self) -> None:
        """Lay the way to the caller; between equal formats it is None, so that it costs nothing."""
        self._from_agent = _way(self._agent_output, self._linear)
        self._silence_frame = encode_audio(self.kind, self._linear.silence(FRAME_MS))

    def _lay_to_agent(self) -> None:
        self.frame_bytes = self.caller_format.frame_bytes
        """The length of 20 ms of the caller's audio."""
        if self._agent_input is not None:
            self._to_agent = _way(self.caller_format, self._agent_input)
            self.agent_silence = self._agent_input.silence(FRAME_MS)

    # Audio

    def to_agent(self, audio: bytes) -> bytes:
        """Turn the caller's audio into the agent's format."""
        return audio if self._to_agent is None else self._to_agent.convert(audio)

    def begin_reply(self) -> None:
        """Forget half a sample left over from the reply before: all that follows would be noise."""
        self._aligner.reset()

    def from_agent(self, audio: bytes) -> bytes:
        """Queue the agent's audio for the caller; a sample may be split between two pieces.

        Return what was queued: linear, at the caller's rate.
        """
        audio = self._aligner.align(audio)
        if self._from_agent is not None:
            audio = self._from_agent.convert(audio)
            self._has_tail = True
        self.playout.add(audio)
        return audio

    def next_frame(self) -> bytes:
        """Return the next frame for the caller, ready to be sent. `audio` is what is in it."""
        if self._has_tail and self.playout.runs_dry:
            self._finish_reply()
        audio = self.playout.next_frame()
        self.agent_is_heard = audio is not None or self.playout.held
        if self._hold_audio is not None:
            audio = self._with_hold_audio(self._hold_audio, audio)
        self.audio = audio
        if audio is None:
            return self._silence_frame
        return encode_audio(self.kind, audio)

    def _with_hold_audio(self, hold_audio: HoldAudio, audio: bytes | None) -> bytes | None:
        audio = hold_audio.next(audio, agent_speaks=self.agent_speaks and audio is not None)
        if hold_audio.over:
            self._hold_audio = None
        return audio

    def _finish_reply(self) -> None:
        """Fetch the last milliseconds, which a resampler keeps until it has heard what follows."""
        assert self._from_agent is not None
        self.playout.add(self._from_agent.drain())
        self._has_tail = False

    def hold(self) -> None:
        """Fall silent, softly, until `resume` or `interrupt`."""
        self.playout.hold(FADE_MS)

    def resume(self) -> None:
        """Go on where `hold` fell silent."""
        self.playout.release(FADE_MS)

    def linear(self, audio: bytes) -> bytes:
        """Return the caller's audio as linear audio."""
        decode = _DECODERS.get(self.caller_format.encoding)
        return audio if decode is None else decode(audio)

    def interrupt(self) -> int:
        """Fall silent, softly; return how many milliseconds of what was queued nobody will hear."""
        self._aligner.reset()
        if self._from_agent is not None:
            self._from_agent.reset()
            self._has_tail = False
        return self.playout.clear(FADE_MS)


def agent_format(name: str, setting: str) -> AudioFormat:
    """Read the name of an agent's format; ``setting`` is where the agent has it.

    Raises:
        ValueError: it is none that ElevenLabs is known to have.
    """
    found = next((known for known in AGENT_FORMATS if str(known) == name), None)
    if found is None:
        known_names = ", ".join(map(str, AGENT_FORMATS))
        raise ValueError(f"the agent's {setting} is {name!r:.40}; set it to one of {known_names}")
    return found


def _way(source: AudioFormat, target: AudioFormat) -> Converter | None:
    return None if source == target else Converter(source, target)
