"""The options of a conversation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConversationOptions:
    """``barge_in_deadline_s``: hold the agent's reply for this long when the caller begins to speak.

    ``interruptible``: obey the agent's interruptions. ``drop_interrupted_audio``: audio with the
    interruption's own event id is stale. ``report_heard``: report to an interrupted agent what was heard.
    ``no_input_s``: end the conversation when no audio has come from the caller for this long.
    ``silent_agent_s``, ``late_answer_s``: report an agent that hasn't said anything for this long after it
    connected, and one that hasn't answered for this long after the caller spoke. ``end_silent_agent``: end
    the conversation with an agent that hasn't said anything.
    """

    interruptible: bool = True
    barge_in_deadline_s: float | None = None
    drop_interrupted_audio: bool = False
    report_heard: bool = False
    no_input_s: float | None = None
    silent_agent_s: float | None = None
    late_answer_s: float | None = None
    end_silent_agent: bool = False
