"""The sound of one call: what the caller's side speaks, what the agent speaks, and the way between them.

Pure. The formats become known on the way: the agent's from its metadata, the caller's from the first frames,
whose kind tells the rate, and whose look tells whether Asterisk passes a telephone's codec through.
"""

from __future__ import annotations

from audiosocket_gw.audio import AGENT_FORMATS, FRAME_MS, PCM_8000, AudioFormat, Converter, Encoding
from audiosocket_gw.audio.sentinel import Sentinel
from audiosocket_gw.playout import Playout
from audiosocket_gw.protocol.audiosocket import SAMPLE_RATES, Audio, Kind, encode_audio

FADE_MS = 8
"""How a reply that is cut off ends."""

G711_FRAME_BYTES = frozenset({80, 160, 240})
"""10, 20 and 30 ms of a telephone's codec under the kind of linear sound: `Dial(AudioSocket/...)` without a
codec passes it through."""


class Media:
    """Both directions of one call. ``playout`` is what waits for the caller, linear at the caller's rate."""

    def __init__(self) -> None:
        self.playout = Playout()
        self.caller_format = PCM_8000
        """What Asterisk sends, and expects back."""
        self.agent_silence = b""
        """20 ms of silence for the agent; empty before `agree`."""
        self._kind = Kind.SLIN
        self._sentinel: Sentinel | None = None
        self._payload_bytes = PCM_8000.frame_bytes
        self._agent_input: AudioFormat | None = None
        self._agent_output = PCM_8000
        self._to_agent: Converter | None = None
        self._from_agent: Converter | None = None
        self._to_caller: Converter | None = None
        self._has_tail = False
        self._lay()

    # Formats

    def agree(self, agent_input: AudioFormat, agent_output: AudioFormat) -> None:
        """Take the agent's formats: what it listens to, and what it speaks."""
        self._agent_input = agent_input
        self._agent_output = agent_output
        self._lay()

    def look_at(self, frame: Audio) -> bool:
        """Learn from a frame of the caller's what the caller's side speaks; tell whether that changed.

        A change takes what is queued along.
        """
        if frame.kind is not self._kind:
            self._kind = frame.kind
            self._sentinel = None
            return self._change_caller(AudioFormat(Encoding.PCM, SAMPLE_RATES[frame.kind]))
        if len(frame.payload) != self._payload_bytes and frame.kind is Kind.SLIN:
            self._payload_bytes = len(frame.payload)
            # Only a size that linear sound hardly has is a reason to doubt what Asterisk says.
            self._sentinel = Sentinel() if self._payload_bytes in G711_FRAME_BYTES else None
        if self._sentinel is None:
            return False
        verdict = self._sentinel.hear(frame.payload)
        if verdict.final:
            self._sentinel = None
        return verdict.format is not None and self._change_caller(verdict.format)

    def _change_caller(self, heard: AudioFormat) -> bool:
        if heard == self.caller_format:
            return False
        before = _linear(self.caller_format)
        self.caller_format = heard
        after = _linear(heard)
        if before != after:
            converter = Converter(before, after)
            self.playout.change_rate(
                after.frame_bytes, lambda sound: converter.convert(sound) + converter.flush()
            )
        self._lay()
        return True

    def _lay(self) -> None:
        """Lay the ways between the formats; one between equal formats is None, so that it costs nothing."""
        linear = _linear(self.caller_format)
        self._from_agent = _way(self._agent_output, linear)
        self._to_caller = _way(linear, self.caller_format)
        if self._agent_input is not None:
            self._to_agent = _way(self.caller_format, self._agent_input)
            self.agent_silence = self._agent_input.silence(FRAME_MS)
        self.frame_bytes = self.caller_format.frame_bytes
        """The length of 20 ms of the caller's sound."""
        self.silence_frame = encode_audio(self._kind, self.caller_format.silence(FRAME_MS))
        """20 ms of silence for the caller, ready to be sent."""

    # Sound

    def to_agent(self, sound: bytes) -> bytes:
        """Turn the caller's sound into the agent's format; may be empty, when a converter keeps it."""
        return sound if self._to_agent is None else self._to_agent.convert(sound)

    def from_agent(self, sound: bytes) -> None:
        """Queue the agent's sound for the caller."""
        if self._from_agent is None:
            self.playout.add(sound)
        else:
            self.playout.add(self._from_agent.convert(sound))
            self._has_tail = True

    def next_frame(self) -> bytes | None:
        """Return the next frame for the caller, ready to be sent, or None when there is only silence."""
        if self._has_tail and self.playout.runs_dry:
            self._finish_reply()
        sound = self.playout.next_frame()
        if sound is None:
            return None
        return encode_audio(self._kind, sound if self._to_caller is None else self._to_caller.convert(sound))

    def _finish_reply(self) -> None:
        """Fetch the last milliseconds, which a resampler keeps until it has heard what follows."""
        assert self._from_agent is not None
        self.playout.add(self._from_agent.flush())
        self._has_tail = False

    def interrupt(self) -> int:
        """Fall silent, softly; return how many milliseconds of what was queued nobody will hear."""
        if self._from_agent is not None:
            self._from_agent.reset()
            self._has_tail = False
        return self.playout.flush(FADE_MS)


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


def _linear(audio_format: AudioFormat) -> AudioFormat:
    return AudioFormat(Encoding.PCM, audio_format.rate)


def _way(source: AudioFormat, target: AudioFormat) -> Converter | None:
    return None if source == target else Converter(source, target)
