"""Local barge-in: the agent pauses when the caller begins to speak, before ElevenLabs has noticed.

ElevenLabs decides whether it was an interruption, which takes half a second or more. Until then the agent
would talk over the caller, so the reply is held. If there is no interruption in time, it was a cough, an
"mhm" or the agent's own echo, and the reply resumes where it paused. Nothing is lost.

Pure: the call's clock calls `LocalBargeIn.tick`.
"""

from __future__ import annotations

from audiosocket_gw.audio import FRAME_MS
from audiosocket_gw.audio.vad import SpeechDetector
from audiosocket_gw.call.agent_audio import AgentAudio
from audiosocket_gw.call.caller_audio import CallerAudio

QUIET_FRAMES = 200 // FRAME_MS
"""After speech that was no interruption, the caller must be quiet for this long before the reply is held
again."""


MISTAKES_OF_AN_ECHO = 2
"""One false detection may be an "mhm"; the second in a row is the agent's echo."""


class LocalBargeIn:
    """Holds the replies of one call while the caller speaks and ElevenLabs has not decided yet."""

    def __init__(self, caller: CallerAudio, agent: AgentAudio, deadline_s: float) -> None:
        self._caller = caller
        self._agent = agent
        self._deadline_ticks = round(deadline_s * 1000 / FRAME_MS)
        self._format = caller.format
        self._detector = SpeechDetector(self._format.rate)
        self._audio = b""  # less than a frame of 20 ms
        self._held_ticks: int | None = None
        self._mistakes = 0
        self._overruled = False
        self._quiet_frames = 0

    def caller_said(self, audio: bytes) -> bool:
        """Take a frame from the caller; return whether the reply is held because of it.

        The detector looks at 20 ms at least: shorter frames cost as much as long ones.
        """
        if self._caller.format is not self._format:
            self._format = self._caller.format
            self._detector = SpeechDetector(self._format.rate)
            self._audio = b""
        audio = self._audio + audio
        if len(audio) < self._caller.frame_bytes:
            self._audio = audio
            return False
        self._audio = b""
        if not self._detector.is_speech(self._caller.linear(audio)):
            self._quiet_frames += 1
            if self._quiet_frames >= QUIET_FRAMES:
                self._overruled = False
            return False
        self._quiet_frames = 0
        if self._overruled or self._agent.playout.held or not self._agent.is_speech:
            return False
        self._agent.hold()
        self._held_ticks = 0
        return True

    def tick(self) -> int | None:
        """Resume after the deadline; return for how many milliseconds the reply was held.

        Called after each frame to the caller.
        """
        self._detector.add_sent(self._agent.audio)
        if self._held_ticks is None:
            return None
        if not self._agent.playout.held:  # it was an interruption
            self._held_ticks = None
            self._mistakes = 0
            return None
        self._held_ticks += 1
        return self._go_on(self._held_ticks) if self._held_ticks >= self._deadline_ticks else None

    def _go_on(self, held_ticks: int) -> int:
        self._held_ticks = None
        self._overruled = True
        self._mistakes += 1
        if self._mistakes >= MISTAKES_OF_AN_ECHO:
            self._detector.report_false_alarm()
        self._agent.resume()
        return held_ticks * FRAME_MS
