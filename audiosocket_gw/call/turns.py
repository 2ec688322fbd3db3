"""The turns of a conversation: how long the caller waits for the agent, and the agent for its silence. Pure.

Once a second, and when a reply or an interruption comes, `Turns` looks back at what both sides have said.
`docs/performance.md` has the cost; of the audio only a small extract is kept. The same look finds an agent
that says nothing, and an answer that is late.

A turn begins with the caller's speech, as heard here, and ends with the first frame of the agent's next
reply. A reply without any speech of the caller's before it, such as the greeting, is none; nor is one that
begins while the caller speaks, unless it has been reported late.
"""

from __future__ import annotations

from math import inf

from audiosocket_gw import events
from audiosocket_gw.audio import FRAME_MS, AudioFormat, Encoding
from audiosocket_gw.audio.level_track import extract_of
from audiosocket_gw.audio.speech_times import SENT_TICKS, SpeechTimes
from audiosocket_gw.call.agent_audio import AgentAudio
from audiosocket_gw.call.agent_speech import AgentSpeech
from audiosocket_gw.call.caller_audio import CallerAudio
from audiosocket_gw.call.options import ConversationOptions
from audiosocket_gw.call.outputs import Output
from audiosocket_gw.protocol.audiosocket import SAMPLE_RATES, Kind

LOOK_TICKS = 48
"""Ticks between two looks, a multiple of `SENT_TICKS`: their audio is kept until then; fewer cost more."""

assert LOOK_TICKS % SENT_TICKS == 0

FRAME_S = FRAME_MS / 1000

OVERLAP_S = 0.5
"""An answer that begins before the reply has quite ended answers it."""

SEARCH_S = 4.0
"""Where the line is never quiet, speech is searched for after this long: perhaps it is only noise."""

SPEAKING_S = 0.1
"""Who was heard so shortly before a reply still speaks: no agent notices the end of speech so soon."""

RECENT_S = 2.0
"""Speech that interrupts ended at most this long before the agent's interruption."""


class Turns:
    """The turns of one conversation; all times are loop times in seconds. Events go to ``outputs``."""

    __slots__ = (
        "_active_at",
        "_agent",
        "_caller",
        "_extract",
        "_format",
        "_heard",
        "_is_asked",
        "_late_s",
        "_late_since",
        "_outputs",
        "_reply_at",
        "_reply_began",
        "_reply_ended",
        "_searched_at",
        "_sent",
        "_sent_extract",
        "_sent_kind",
        "_silent_s",
        "_silent_since",
        "_speech",
        "_times",
        "_turn_ended",
        "_uuid",
        "frames",
        "held_at",
    )

    def __init__(
        self,
        started: events.CallStarted,
        options: ConversationOptions,
        caller: CallerAudio,
        agent: AgentAudio,
        speech: AgentSpeech,
        outputs: list[Output],
    ) -> None:
        self.frames: list[bytes] = []
        """The caller's audio: append each frame. A few at a time are reduced to what is measured."""
        self.held_at: float | None = None
        """When the reply that plays now was held (``BARGE_IN=local``)."""
        self._uuid = started.uuid
        self._caller = caller
        self._format = caller.format
        self._agent = agent
        self._speech = speech
        self._extract = extract_of(caller.format)
        self._heard = bytearray()  # what the caller said since the last look: the extract
        self._outputs = outputs
        self._times = SpeechTimes(started.at)
        self._sent: list[bytes | None] = []
        self._sent_kind: Kind | None = None
        self._sent_extract = slice(None)
        self._silent_s = options.silent_agent_s
        self._late_s = options.late_answer_s
        self._silent_since: float | None = None  # the agent's first words are awaited since then
        self._reply_ended = started.at
        self._reply_at: float | None = None  # a reply that may prove to be background audio began then
        self._reply_began = started.at
        self._turn_ended: float | None = None  # the caller's speech before that reply
        self._late_since: float | None = None  # the end of the speech whose answer has been reported late
        self._active_at = self._searched_at = started.at  # the last audio that may be speech; the last search
        self._is_asked = False  # which found speech

    # What happens

    def audio_sent(self, audio: bytes | None) -> None:
        """Record the linear audio of every `SENT_TICKS`th frame to the caller; None is silence."""
        if audio is not None:
            if self._sent_kind is not self._agent.kind:
                self._sent_kind = self._agent.kind
                self._sent_extract = extract_of(AudioFormat(Encoding.PCM, SAMPLE_RATES[self._sent_kind]))
            audio = audio[self._sent_extract]
        self._sent.append(audio)
        self._reduce()

    def _reduce(self) -> None:
        """Reduce the frames to their extract: each by itself costs more than twice as much."""
        self._heard += b"".join(self.frames)[self._extract]
        self.frames.clear()

    def agent_connected(self, now: float) -> None:
        """Record that the agent may speak from now on."""
        self._silent_since = self._reply_ended = now

    def agent_queued(self, status: str, now: float) -> None:
        """Record that ElevenLabs queues the conversation: until it is admitted, the agent can't speak."""
        if self._silent_since is not None:
            self._silent_since = now if status == "admitted" else inf

    def reply_began(self, now: float, age_ticks: int, queued_ms: int) -> None:
        """Record the first audio of a reply, which will be heard after ``queued_ms``.

        ``age_ticks``: ticks since the last audio from the caller.
        """
        self._take(now, age_ticks)
        speech = self._times.last_speech(self._reply_ended - OVERLAP_S, now)
        if speech is not None and now - speech.ended < SPEAKING_S:
            self._turn_ended = self._late_since
        else:
            self._turn_ended = speech.ended if speech is not None else None
        self._searched_at, self._is_asked = now, False
        self._reply_began = now
        self._reply_at = now + (queued_ms + FRAME_MS / 2) / 1000  # the next tick is half a frame away
        self.held_at = None
        self._settle(now)

    def _settle(self, now: float) -> None:
        """Report the turn that a reply ends, once it is certain that it is a reply."""
        if self._reply_at is None or self._speech.in_doubt:
            return
        self._silent_since = None
        if self._turn_ended is not None:
            latency_s = max(0.0, self._reply_at - self._turn_ended)
            if self._late_s is not None and latency_s >= self._late_s:
                self._report_late(self._turn_ended, latency_s, now)
            self._outputs.append(events.TurnTaken(self._uuid, now, round(latency_s * 1000)))
        self._reply_at = None
        self._late_since = None

    def reply_ended(self, now: float) -> None:
        """Record that the caller has heard the reply, or that it proved to be background audio."""
        if self._speech.in_doubt and self._agent.is_heard:
            self._reply_at = None
            return
        self._reply_ended = now

    def silence_ms(self, event_id: int | None, now: float, age_ticks: int) -> int | None:
        """Return how long the caller has spoken when the interruption of ``event_id`` silences the agent.

        None: no speech was heard here, or the agent doesn't speak.
        """
        if not self._agent.is_speech or not self._speech.is_cut_by(event_id):
            return None
        self._take(now, age_ticks)
        # The question that the reply answers doesn't interrupt it.
        speech = self._times.last_speech(max(now - RECENT_S, self._reply_began), now)
        if speech is None:
            return None
        silent_at = self.held_at if self.held_at is not None else now + FRAME_S / 2
        return max(0, round((silent_at - speech.began) * 1000))

    # The look back

    def look(self, now: float, age_ticks: int, *, talking: bool) -> float | None:
        """Look back, `LOOK_TICKS` after the last time; return how long the agent has been silent from the
        beginning, when that is reported.

        ``talking``: neither a hand-over nor the end has begun.
        """
        loudest = self._take(now, age_ticks)
        if loudest > self._times.speech_level:
            self._active_at = now
        self._settle(now)
        if not talking or not self._speech.is_over:
            return None
        self._watch_answer(now)
        return self._watch_agent(now)

    def _watch_agent(self, now: float) -> float | None:
        if self._silent_s is None or self._silent_since is None or now - self._silent_since < self._silent_s:
            return None
        waited_s = now - self._silent_since
        self._silent_since = self._late_s = None  # an answer is late from the beginning
        self._outputs.append(events.AgentSilent(self._uuid, now, round(waited_s * 1000)))
        return waited_s

    def _watch_answer(self, now: float) -> None:
        if self._late_s is None or self._late_since is not None:
            return
        quiet_s = now - self._active_at
        if quiet_s < self._late_s - LOOK_TICKS * FRAME_S and now - self._searched_at < SEARCH_S:
            return
        if self._searched_at > self._active_at and not self._is_asked:
            return
        speech = self._times.last_speech(self._reply_ended - OVERLAP_S, now)
        self._searched_at = now
        self._is_asked = speech is not None
        if speech is not None and now - speech.ended >= self._late_s:
            self._report_late(speech.ended, now - speech.ended, now)

    def _report_late(self, since: float, waited_s: float, now: float) -> None:
        if self._late_since is None:
            self._late_since = since
            self._outputs.append(events.AnswerLate(self._uuid, now, round(waited_s * 1000)))

    def _take(self, now: float, age_ticks: int) -> float:
        """Measure what was heard and sent since the last time; return the caller's loudest level."""
        self._reduce()
        heard = bytes(self._heard)
        self._heard.clear()
        if self._format is not self._caller.format:  # it may have changed among these frames
            self._format = self._caller.format
            self._extract = extract_of(self._format)
            self._times.set_format(self._format)
            heard = b""
        loudest = self._times.take(heard, now - age_ticks * FRAME_S, self._sent, now)
        self._sent.clear()
        return loudest
