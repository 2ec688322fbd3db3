"""The call record: what is known of a call, while it is up and afterwards. Pure.

Everything that tells of a call reads it: the `ended` log line, ``status``, the HTTP surface, metrics, the
dashboard, ``CALL_LOG`` and the history. Times within a call are milliseconds since its start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from audiosocket_gw.end_reasons import NORMAL_ENDS, EndReason
from audiosocket_gw.events import SetupStep, TransferOutcome


class CallState(StrEnum):
    """Where a call is in its life."""

    CONNECTING = "connecting"
    """The agent hasn't connected."""
    TALKING = "talking"
    TRANSFERRING = "transferring"
    """A transfer has been requested, and isn't decided."""
    ENDED = "ended"


class Speaker(StrEnum):
    """Who speaks."""

    AGENT = "agent"
    CALLER = "caller"
    """It has interrupted the agent, or seems to; what it says while the agent is silent isn't known here."""


class ToolOutcome(StrEnum):
    """What became of a tool call."""

    RUNNING = "running"
    OK = "ok"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Turn:
    """The agent's answer: from the end of the caller's speech to the first frame of the reply."""

    at_ms: int
    latency_ms: int


@dataclass(frozen=True, slots=True)
class Interruption:
    """The caller interrupted. ``silence_ms``: from the beginning of its speech until it heard silence."""

    at_ms: int
    discarded_ms: int
    silence_ms: int | None


@dataclass(frozen=True, slots=True)
class ToolRun:
    """A call of a tool. ``ms`` is None while it runs."""

    name: str
    tool_call_id: str
    at_ms: int
    outcome: ToolOutcome = ToolOutcome.RUNNING
    ms: int | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer. ``outcome`` is None while it isn't decided."""

    destination: str
    name: str
    at_ms: int
    outcome: TransferOutcome | None = None
    detail: str = ""

    @property
    def target(self) -> str:
        """Its name, or the destination if it has none."""
        return self.name or self.destination

    @property
    def why(self) -> str:
        """The first sentence of ``detail``, without its full stop."""
        return self.detail.partition(". ")[0].rstrip(".")


@dataclass(frozen=True, slots=True)
class Frames:
    """How regular the audio was: see `events.FrameFigures`."""

    late: int = 0
    skipped: int = 0
    missing: int = 0


@dataclass(frozen=True, slots=True)
class End:
    """How the call ended, ``detail`` in words."""

    reason: EndReason
    detail: str

    @property
    def is_bad(self) -> bool:
        """Whether this isn't a normal end."""
        return self.reason not in NORMAL_ENDS


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """What is known of a call. Texts are empty, times None, as long as they aren't known.

    ``started_at``: seconds since the epoch. ``peer``: Asterisk's address, ``host:port``. ``pbx``: the host of
    its manager interface. ``caller_number`` and ``caller_name`` are unmasked: `shown` masks them wherever
    they leave the process.
    """

    uuid: UUID
    started_at: float
    peer: str
    state: CallState = CallState.CONNECTING
    speaker: Speaker | None = None
    """Who speaks now, as far as it is known."""
    pbx: str = ""
    caller_number: str = ""
    caller_name: str = ""
    dialled_number: str = ""
    channel: str = ""
    agent: str = ""
    conversation_id: str = ""
    setup_ms: int | None = None
    """From the start to the agent's metadata."""
    setup_steps: Mapping[SetupStep, int] = field(default_factory=lambda: MappingProxyType({}))
    first_audio_ms: int | None = None
    """From the start to the agent's first audio for the caller."""
    turns: tuple[Turn, ...] = ()
    interruptions: tuple[Interruption, ...] = ()
    holds: int = 0
    """Replies that were held because the caller seemed to speak (``BARGE_IN=local``)."""
    resumed: int = 0
    """Holds that no interruption followed."""
    digits: int = 0
    tools: tuple[ToolRun, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    silent_ms: int | None = None
    """The agent was silent: the longest wait for its first word that was reported."""
    late_answers: int = 0
    """Answers that were reported late."""
    undecodable: bool = False
    """The caller's audio couldn't be decoded, at least for a while: the agent got silence."""
    frames: Frames = Frames()
    heard_ms: int = 0
    discarded_ms: int = 0
    duration_ms: int | None = None
    """None while the call is up."""
    end: End | None = None
