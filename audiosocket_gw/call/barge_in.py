"""Local barge-in: the agent falls silent when the caller begins to speak, before ElevenLabs has noticed.

ElevenLabs decides whether it was an interruption: its verdict takes half a second and more, and until then
the agent would talk over the caller. So the reply is held meanwhile. No verdict in time means that it was a
cough, an "mhm" or the agent's own echo, and the reply goes on where it fell silent. Nothing of it is lost.

Pure: the call's clock calls `LocalBargeIn.tick`.
"""

from __future__ import annotations

from audiosocket_gw.audio import FRAME_MS
from audiosocket_gw.audio.vad import SpeechDetector
from audiosocket_gw.call.agent_audio import AgentAudio
from audiosocket_gw.call.caller_audio import CallerAudio

QUIET_FRAMES = 200 // FRAME_MS
"""A caller whose speech was no interruption must be quiet for so long before the reply is held again."""


MISTAKES_OF_AN_ECHO = 2
"""One reply that was held in vain may have met an "mhm"; when it happens again, it is the agent's echo."""


class LocalBargeIn:
    """Holds the replies of one call while the caller speaks and ElevenLabs has not decided."""

    def __init__(self, caller: CallerAudio, agent: AgentAudio, deadline_s: float) -> None:
        self._caller = caller
        self._agent = agent
        self._deadline_ticks = round(deadline_s * 1000 / FRAME_MS)
        self._rate = caller.format.rate
        self._detector = SpeechDetector(self._rate)
        self._held_ticks: int | None = None
        self._mistakes = 0
        self._overruled = False
        self._quiet_frames = 0

    def caller_said(self, audio: bytes) -> bool:
        """Take a frame of the caller's; return whether the reply is held from now on because of it."""
        if self._caller.format.rate != self._rate:
            self._rate = self._caller.format.rate
            self._detector = SpeechDetector(self._rate)
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
        """Go on after the deadline; return for how many milliseconds the reply was held then.

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
