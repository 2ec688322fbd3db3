"""The caller's audio: its format, and its conversion for the agent. Pure.

The format is detected during the call: the kind of a frame gives the rate, and its content shows whether
Asterisk passes a telephone's codec through, or mislabels the rate.
"""

from __future__ import annotations

from collections.abc import Callable

from audiosocket_gw.audio import (
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
from audiosocket_gw.protocol.audiosocket import SAMPLE_RATES, Audio, Kind

MIN_AUDIO_BYTES = 16
"""2 ms of G.711, 1 ms of linear audio: no telephone sends packets shorter than 2.5 ms."""

NOT_SETTLED = -1
"""Not the length of any frame, not even of an empty one."""

MIN_ODD_BYTES = 80
"""Linear audio of an odd length and under 5 ms is comfort noise with its spectrum (RFC 3389)."""

Clock = Callable[[], float]
"""Returns seconds."""

_DECODERS = {Encoding.ULAW: ulaw_to_linear, Encoding.ALAW: alaw_to_linear}


class CallerAudio:
    """The audio of one call's caller, as Asterisk sends it."""

    __slots__ = (
        "_agent_format",
        "_by_kind",
        "_codec",
        "_sample_bytes",
        "_verdict",
        "agent_silence",
        "converter",
        "format",
        "frame_bytes",
        "kind",
        "settled_bytes",
    )

    def __init__(self, clock: Clock | None = None) -> None:
        """``clock`` returns seconds, to measure the caller's byte rate."""
        self.format = PCM_8000
        """The format that Asterisk sends, as far as known."""
        self.frame_bytes = PCM_8000.frame_bytes
        """The length of 20 ms in it."""
        self.kind = Kind.SLIN
        """The kind of the frames."""
        self.settled_bytes = NOT_SETTLED
        """Frames of this length and `kind` need no inspection and no decoding."""
        self.agent_silence = b""
        """20 ms of silence in the agent's format; empty before `set_agent_format`."""
        self._codec = CodecDetector(clock)
        self._verdict = self._codec.verdict
        self._by_kind = self._verdict  # the format by the kind alone
        self._sample_bytes = PCM_8000.sample_bytes  # 0: it can't be decoded
        self._agent_format: AudioFormat | None = None
        self.converter: Converter | None = None
        """Converts to the agent's format, from the one now; None: the formats are equal."""

    def set_agent_format(self, audio_format: AudioFormat) -> None:
        """Set the format of audio to the agent."""
        self._agent_format = audio_format
        self.agent_silence = audio_format.silence(FRAME_MS)
        self._set_converter()

    def look_at(self, frame: Audio) -> bool:
        """Inspect a frame; return whether the format of the caller's audio has changed."""
        size = len(frame.payload)
        if size < MIN_AUDIO_BYTES:
            return False
        if frame.kind is not self.kind:
            self._set_kind(frame.kind)
        verdict = self._codec.hear(frame.payload) if frame.kind is Kind.SLIN else self._by_kind
        has_changed = verdict is not self._verdict and self._take(verdict)
        is_settled = frame.kind is not Kind.SLIN or self._codec.is_settled(size)
        is_whole = self._sample_bytes and size % self._sample_bytes == 0
        self.settled_bytes = size if is_settled and is_whole else NOT_SETTLED
        return has_changed

    def set_codec(self, codec: str) -> bool:
        """Set the codec that Asterisk says it sends under kind 0x10; return whether that is a change."""
        named = self._codec.set_codec(codec)
        self.settled_bytes = NOT_SETTLED
        return self.kind is Kind.SLIN and named is not self._verdict and self._take(named)

    @property
    def codec_passes_through(self) -> bool:
        """Whether Asterisk certainly sends a telephone's codec labelled as linear audio."""
        heard = self._verdict.format
        return self._verdict.certain and (heard is None or heard.encoding is not Encoding.PCM)

    @property
    def codec_is_certain(self) -> bool:
        """Whether the format is certain."""
        return self._verdict.certain

    @property
    def rate_is_mislabelled(self) -> bool:
        """Whether Asterisk certainly sends linear audio at another rate than its label says."""
        heard = self._verdict.format
        is_linear = heard is not None and heard.encoding is Encoding.PCM
        return self._verdict.certain and is_linear and heard != self._by_kind.format

    def look_again(self) -> None:
        """Inspect again after a pause: the next audio may have another codec."""
        if self.kind is Kind.SLIN:
            self.settled_bytes = NOT_SETTLED
            self._codec.look_again()

    @property
    def heard_format(self) -> AudioFormat | None:
        """The format that Asterisk sends, or None if it can't be decoded."""
        return self.format if self.is_understood else None

    @property
    def is_understood(self) -> bool:
        """Whether the caller's audio can be decoded."""
        return self._verdict.format is not None

    def understood(self, payload: bytes) -> bytes:
        """Return a frame's audio in `format`; nothing if it can't be decoded or isn't audio.

        Comfort noise isn't audio: older releases of Asterisk send its parameters as if they were samples.
        Half a sample at the end is dropped: it would shift all following audio.
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
        if verdict.format is not None and verdict.format != self.format:
            self.format = verdict.format
            self.frame_bytes = verdict.format.frame_bytes
            self._set_converter()
        return verdict != before

    def _set_kind(self, kind: Kind) -> None:
        self.kind = kind
        self._by_kind = Verdict(AudioFormat(Encoding.PCM, SAMPLE_RATES[kind]), certain=True)

    def _set_converter(self) -> None:
        if self._agent_format is not None:
            equal = self.format == self._agent_format
            self.converter = None if equal else Converter(self.format, self._agent_format)

    def linear(self, audio: bytes) -> bytes:
        """Convert audio to linear audio."""
        decode = _DECODERS.get(self.format.encoding)
        return audio if decode is None else decode(audio)
