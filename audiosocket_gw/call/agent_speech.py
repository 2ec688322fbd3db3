"""The agent's speech in one call: what is accepted, when it is over, and what was heard. Pure.

Audio arrives faster than it is heard, in chunks, and separately from its words. This class combines them:
`StaleAudioFilter` decides what may be heard, `Playout` queues it, `Endpointer` separates speech from
background audio, and `Replies` matches words and audio.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from audiosocket_gw import events
from audiosocket_gw.audio.endpointing import Endpointer
from audiosocket_gw.call.agent_audio import AgentAudio
from audiosocket_gw.call.outputs import EventIdsRestarted, Output, StaleAudioDropped
from audiosocket_gw.call.replies import Replies
from audiosocket_gw.call.stale_audio import StaleAudioFilter
from audiosocket_gw.elevenlabs import messages


class AgentSpeech:
    """Follows one agent. All times are seconds of one clock; events and notices go to ``outputs``."""

    __slots__ = (
        "_audio",
        "_endpointer",
        "_filter",
        "_outputs",
        "_playout",
        "_replies",
        "_uuid",
        "has_spoken",
        "is_over",
    )

    def __init__(self, uuid: UUID, audio: AgentAudio, outputs: list[Output]) -> None:
        self._uuid = uuid
        self._audio = audio
        self._playout = audio.playout
        self._outputs = outputs
        self._filter = StaleAudioFilter()
        self._replies = Replies(uuid)
        self._endpointer = Endpointer()
        self.is_over = True
        """Whether the caller has heard all speech, or will hear no more."""
        self.has_spoken = False
        """Whether the agent has spoken since the caller last did."""

    @property
    def in_doubt(self) -> bool:
        """Whether what now counts as a reply may prove to be background audio."""
        return self._endpointer.in_doubt

    # What the agent sends

    def receive_audio(self, message: messages.Audio, now: float) -> None:
        """Queue a chunk of a reply for the caller, unless it is stale."""
        if message.audio and self._accepts(message.event_id, now):
            self._queue(message, now)
        if message.is_final and message.event_id in (None, self._filter.last_event_id):
            self._endpointer.final_piece()

    def receive_text(self, event_id: int | None, text: str) -> None:
        """Receive the words of a reply; they may come before or after its audio."""
        self._filter.named(event_id)
        self._report_restarted_ids()
        self._replies.words(event_id, text)

    def _accepts(self, event_id: int | None, now: float) -> bool:
        before = self._filter.last_event_id
        if not self._filter.accepts(event_id, now):
            self._outputs.append(StaleAudioDropped(event_id))
            return False
        if self._filter.last_event_id != before:
            self._audio.begin_reply()
            self._endpointer.reply_began()
            self._report_restarted_ids()
        return True

    def _queue(self, message: messages.Audio, now: float) -> None:
        playout, endpointer = self._playout, self._endpointer
        start_ms = playout.end_ms
        audio = self._audio.receive(message.audio)
        end_ms = playout.end_ms
        aligned_ms = message.alignment[-1][0] if message.alignment else 0
        frame_bytes = self._audio.linear_frame_bytes
        speaks = endpointer.take(audio, frame_bytes, playout.heard_ms, end_ms, aligned_ms=aligned_ms)
        if speaks or not self.is_over:
            self._replies.audio(self._filter.last_event_id, start_ms, end_ms, message.alignment)
        if not speaks:
            return
        if self.is_over:
            self._report_heard(self._replies.close_earlier(playout.heard_ms, now))
            self._outputs.append(events.ReplyStarted(self._uuid, now))
        self._audio.is_speech = True
        self.is_over = False
        if not endpointer.in_doubt:  # otherwise it may turn out to be background audio
            self.has_spoken = True
            self._filter.spoke()

    def _report_restarted_ids(self) -> None:
        if self._filter.restarted_from is not None:
            self._outputs.append(EventIdsRestarted(self._filter.last_event_id, self._filter.restarted_from))
            self._filter.restarted_from = None

    # What the caller does

    def tick(self, now: float) -> bool:
        """Return whether the reply ends here. Call it after each frame to the caller, until `is_over`."""
        endpointer = self._endpointer
        if not self._audio.is_heard:
            endpointer.ran_dry()
        elif endpointer.over_at_ms is None or self._playout.heard_ms < endpointer.over_at_ms:
            return False
        self._audio.is_speech = False
        self.is_over = True
        heard_ms = self._playout.heard_ms
        self._report_heard(self._replies.close_earlier(heard_ms, now))
        self._outputs.append(events.ReplyFinished(self._uuid, now, heard_ms))
        return True

    def caller_spoke(self, now: float) -> None:
        """Record that the caller has spoken: it is the agent's turn to answer."""
        self.has_spoken = False
        if self.is_over:
            self._report_heard(self._replies.close(self._playout.heard_ms, now))

    def is_cut_by(self, event_id: int | None) -> bool:
        """Return whether an interruption is the caller's. One with an older id ends the audio of a tool."""
        return event_id is None or event_id >= self._filter.last_event_id

    def interrupt(
        self, event_id: int | None, now: float, *, drop_own: bool, silence_ms: int | None
    ) -> list[events.ReplyHeard] | None:
        """Stop at once, ``silence_ms`` after the caller began to speak; only older audio is stale.

        Return what the caller had heard of the replies, if the caller interrupted the agent's speech.
        """
        cuts_in = self.is_cut_by(event_id) and self._audio.is_speech
        discarded_ms, heard = self._fall_silent(now)
        if event_id is not None:
            self._filter.interrupted(event_id, drop_own=drop_own)
        self._outputs.append(events.Interrupted(self._uuid, now, discarded_ms, silence_ms))
        self._report_heard(heard)
        return heard if cuts_in and discarded_ms else None

    def _fall_silent(self, now: float) -> tuple[int, list[events.ReplyHeard]]:
        discarded_ms = self._audio.interrupt()
        self._endpointer.cut_off(self._playout.end_ms)
        return discarded_ms, self._replies.close(self._playout.end_ms, now)

    # What hand-over and end ask for

    def refuse_new_replies(self) -> None:
        """Let the current reply end, or one goodbye begin, and reject all later audio."""
        self._filter.allow_no_more(but_one=not self.has_spoken)

    def finish_reply(self) -> None:
        """Let the current reply end, and reject all later audio."""
        self._filter.allow_no_more(but_one=False)

    def refuse_all(self) -> None:
        """Reject all audio; queued audio still plays."""
        self._filter.close()

    def silence(self, now: float) -> None:
        """Clear the queue, and reject all audio until `accept_replies`."""
        _, heard = self._fall_silent(now)
        self._report_heard(heard)
        self._filter.close()

    def accept_replies(self) -> None:
        """Undo the methods above."""
        self._filter.reopen()

    def close(self, now: float) -> None:
        """Report the open replies: the caller hears no more of them."""
        self.is_over = True
        self._report_heard(self._replies.close(self._playout.heard_ms, now))

    def _report_heard(self, replies: Iterable[events.ReplyHeard]) -> None:
        self._outputs.extend(replies)
