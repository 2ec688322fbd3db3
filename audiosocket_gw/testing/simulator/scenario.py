"""The scenario of a simulated agent: a frozen dataclass, also read from a TOML file.

The keys of the file are the fields here; `docs/simulator.md` explains them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from audiosocket_gw.audio import AGENT_FORMATS
from audiosocket_gw.testing.simulator.turn import (
    STRICT_KEYS,
    Close,
    ErrorEvent,
    NotNegative,
    Positive,
    Speech,
    Turn,
)

FORMATS = tuple(map(str, AGENT_FORMATS))
"""The names of an agent's formats, in either direction."""

QUEUE_STATUSES = ("waiting", "admitted", "timed_out")


class Mode(StrEnum):
    """What controls a conversation."""

    CONVERSATION = "conversation"
    """The greeting and the turns of the scenario, on the caller's speech and silence."""
    ECHO = "echo"
    """The caller's audio is sent back."""
    SILENT = "silent"
    """The agent never speaks."""
    MANUAL = "manual"
    """A test, through the `SimulatedAgent` object."""


class Metadata(StrEnum):
    """Time and form of the first message, ``conversation_initiation_metadata``."""

    ON_INIT = "on-init"
    """On the client's first message, or after ``metadata_wait_s``."""
    AT_ONCE = "at-once"
    NEVER = "never"
    MALFORMED = "malformed"
    """Of the right type, without its content."""
    NOT_JSON = "not-json"


class Refusal(StrEnum):
    """How a WebSocket without a valid signature or agent is rejected."""

    HTTP = "http"
    """By an HTTP status in place of the upgrade: 401, 404, 422."""
    FORBIDDEN = "http-403"
    REDIRECT = "redirect"
    """301, to another host."""
    CLOSE = "close"
    """The upgrade succeeds, then comes close code 1008."""


class SignedUrlAnswer(StrEnum):
    """The answer of get-signed-url to a valid request."""

    OK = "ok"
    BUSY = "busy"
    """429 too_many_concurrent_requests."""
    SERVER_ERROR = "server-error"
    HTML = "html"
    MALFORMED = "malformed"
    """Status 200 and incomplete JSON."""
    NO_URL = "no-url"
    """Status 200, and JSON without ``signed_url``."""


class QueueAt(StrEnum):
    """The position of the queue for a free conversation: the order isn't documented."""

    AFTER_METADATA = "after-metadata"
    BEFORE_METADATA = "before-metadata"


class BargeIn(StrEnum):
    """The form of ``interruption``; the official clients disagree about its ``event_id``."""

    INTERRUPTED_ID = "interrupted-id"
    """The id of the interrupted reply; the next reply has the next id."""
    LATE_AUDIO = "late-audio"
    """The same, and then late audio of the reply before and of the interrupted one."""
    NEW_ID = "new-id"
    """The id that the next reply will have (elevenlabs-python#829)."""
    TOOL_AUDIO = "tool-audio"
    """As ``interrupted-id``; and audio plays while a tool runs, until an interruption with a lower id."""
    IDLE = "idle"
    """As ``interrupted-id``; and an interruption comes even when the caller speaks while nothing plays."""


class Alignment(StrEnum):
    """The ``alignment`` of audio messages: the time of each character."""

    ABSENT = "absent"
    NULL = "null"
    FULL = "full"


class Noise(StrEnum):
    """Irregularities that a client must tolerate."""

    UNKNOWN_EVENTS = "unknown-events"
    EXTRA_FIELDS = "extra-fields"
    EMPTY_AUDIO = "empty-audio"
    UNPADDED_AUDIO = "unpadded-audio"
    """Base64 without its padding."""
    SILENCE_TRANSCRIPT = "silence-transcript"
    """A ``user_transcript`` of "...", as when a turn times out in silence."""


_DEFAULT_GREETING = Turn(say=Speech("greeting"))
_TOO_LONG = Close(reason="Conversation has exceeded maximum duration")


@dataclass(frozen=True, slots=True)
class Scenario:
    """The definition of a simulated agent. Use `dataclasses.replace` for a variant."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS

    name: str = "scenario"
    description: str = ""
    mode: Mode = Mode.CONVERSATION

    agents: tuple[str, ...] = ()
    """The existing agent ids; empty: any id is an agent."""
    private: bool = False
    """A WebSocket needs a signed URL."""
    refusal: Refusal = Refusal.HTTP
    signed_url: SignedUrlAnswer = SignedUrlAnswer.OK
    signed_url_delay_s: NotNegative = 0.0
    signed_url_lifetime_s: Positive = 900.0

    input_format: str = "pcm_8000"
    output_format: str = "pcm_8000"
    metadata: Metadata = Metadata.ON_INIT
    metadata_wait_s: NotNegative = 1.0
    early_audio: bool = True
    """Caller audio before the metadata is allowed."""
    overrides: tuple[str, ...] = ()
    """The overrides the agent allows, as paths: ``agent.prompt.llm``."""
    variables: tuple[str, ...] = ()
    """The dynamic variables the agent needs."""
    queue: tuple[str, ...] = ()
    """``queue_status`` values after the metadata; until ``admitted``, what the client sends is discarded."""
    queue_at: QueueAt = QueueAt.AFTER_METADATA
    """Before the metadata, none follows unless the queue ends with ``admitted``."""
    queue_wait_s: NotNegative = 0.5
    close_at_start: Close | None = None
    """Ends the conversation right after the metadata and the queue."""

    greeting: Turn = _DEFAULT_GREETING
    """Its ``heard`` is ignored."""
    turns: tuple[Turn, ...] = ()
    """One for each time the caller has spoken; the last one repeats."""
    think_s: NotNegative = 0.1
    """From the caller's transcript to the reply."""
    speech_level: Positive = 500.0
    """The root mean square, of 32,768, above which 20 ms count as speech."""
    speech_ms: Annotated[int, Field(ge=20)] = 60
    """This much speech in a row starts a turn of the caller, and interrupts the agent."""
    silence_ms: Annotated[int, Field(ge=20)] = 500
    """This much silence in a row ends it."""
    turn_timeout_s: NotNegative = 0.0
    """After this much silence the agent repeats itself; 0: never."""
    silence_end_call_s: NotNegative = 0.0
    """After this much silence the agent closes; 0: never."""
    barge_in: BargeIn = BargeIn.INTERRUPTED_ID
    restart_ids: bool = False
    """After an interruption, event ids restart at 1."""
    background_dbfs: Annotated[float, Field(ge=-96, le=-20)] | None = None
    """The level of the continuous noise that the agent sends while it doesn't speak; None: no noise."""

    bursts: Annotated[int, Field(ge=1)] = 2
    """Audio messages per reply. They are never multiples of 20 ms."""
    burst_gap_s: NotNegative = 0.0
    odd_bytes: bool = False
    """The bursts are cut in the middle of a sample."""
    text_first: bool = False
    """``agent_response`` comes before the audio of the reply, not after."""
    alignment: Alignment = Alignment.ABSENT
    is_final: bool = False
    """An empty audio message with ``is_final`` ends each reply."""
    response_complete: bool = False
    """``agent_response_complete`` ends each reply."""
    noise: frozenset[Noise] = frozenset()

    ping_interval_s: Positive = 2.0
    first_ping_id: int = 0
    pong_timeout_s: NotNegative = 0.0
    """A ping must be answered within this time; 0: no limit."""
    input_timeout_s: Positive = 60.0
    """The conversation ends with 1002 after this long without any message except pongs."""
    max_duration_s: Positive = 600.0
    max_duration_close: Close = _TOO_LONG
    error_events: ErrorEvent = ErrorEvent.NESTED
    """The form of the ``error`` message for an error of the client."""

    def __post_init__(self) -> None:
        _check("input_format", [self.input_format], FORMATS)
        _check("output_format", [self.output_format], FORMATS)
        _check("queue", self.queue, QUEUE_STATUSES)


def _check(key: str, values: Iterable[str], allowed: Sequence[str]) -> None:
    for value in values:
        if value not in allowed:
            raise ValueError(f"{key} = {value!r}: take one of {', '.join(allowed)}")
