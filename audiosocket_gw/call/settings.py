"""Settings of calls and of the hold audio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from audiosocket_gw.audio.hold_audio import HoldAudioMode
from audiosocket_gw.call.options import ConversationOptions


class BargeInMode(StrEnum):
    """Who decides that a caller interrupts the agent."""

    AGENT = "agent"
    """ElevenLabs: the agent stops when ElevenLabs reports an interruption."""
    LOCAL = "local"
    """The gateway holds the reply as soon as the caller speaks; ElevenLabs confirms or not."""
    OFF = "off"
    """Interruptions are ignored: replies are played to their end."""


class SilentAgentAction(StrEnum):
    """What happens to a call whose agent says nothing."""

    WARN = "warn"
    END = "end"
    """The call ends (``silent-agent``), so that the dialplan can do something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSettings:
    """The settings that a call uses; each has the name of its environment variable, times are in seconds.

    ``max_call_seconds``, ``no_input_timeout``, ``silent_agent_seconds`` and ``late_answer_seconds`` are 0 for
    no limit. ``call_variables`` are the channel
    variables for the agent, by name, with the value for a channel that lacks it.
    """

    max_call_seconds: float
    no_input_timeout: float
    require_caller_audio: bool
    require_ami_match: bool
    agent_connect_timeout: float
    agent_queue_timeout: float
    caller_data_timeout: float
    call_variables: Mapping[str, str]
    barge_in: BargeInMode
    barge_in_deadline: float
    drop_interrupted_audio: bool
    report_heard: bool
    silent_agent_seconds: float
    late_answer_seconds: float
    silent_agent_action: SilentAgentAction
    hold_audio_mode: HoldAudioMode

    @property
    def conversation_options(self) -> ConversationOptions:
        """The options of the conversation."""
        is_local = self.barge_in is BargeInMode.LOCAL
        return ConversationOptions(
            interruptible=self.barge_in is not BargeInMode.OFF,
            barge_in_deadline_s=self.barge_in_deadline if is_local else None,
            drop_interrupted_audio=self.drop_interrupted_audio,
            report_heard=self.report_heard,
            no_input_s=self.no_input_timeout or None,
            silent_agent_s=self.silent_agent_seconds or None,
            late_answer_s=self.late_answer_seconds or None,
            end_silent_agent=self.silent_agent_action is SilentAgentAction.END,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldAudioSettings:
    """The settings of the hold audio; each has the name of its environment variable.

    Without ``hold_audio`` callers hear silence.
    """

    hold_audio: Path | None
    hold_audio_gain_db: float
