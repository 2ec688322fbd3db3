"""What the simulated agent is like and how it behaves: a frozen dataclass, or the TOML file for it.

The keys of the file are the fields here; `docs/simulator.md` explains them to those who write such files.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails

from audiosocket_gw.audio import AudioFormat, Encoding
from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.testing.simulator import prompts

FOLDER = Path(__file__).parent / "scenarios"

FORMATS = (
    "pcm_8000",
    "pcm_16000",
    "pcm_22050",
    "pcm_24000",
    "pcm_44100",
    "pcm_48000",
    "ulaw_8000",
)
"""The formats an ElevenLabs agent can have, in either direction."""

QUEUE_STATUSES = ("waiting", "admitted", "timed_out")


class Mode(StrEnum):
    """What drives a conversation."""

    CONVERSATION = "conversation"
    """The greeting and the turns of the scenario, on the caller's speech and silence."""
    ECHO = "echo"
    """The caller's audio comes straight back."""
    SILENT = "silent"
    """Nothing is said."""
    MANUAL = "manual"
    """Whoever holds the `Conversation` object: a test."""


class Metadata(StrEnum):
    """When the first message, ``conversation_initiation_metadata``, comes, and what it looks like."""

    ON_INIT = "on-init"
    """On the client's first message, or after ``metadata_wait_s``."""
    AT_ONCE = "at-once"
    NEVER = "never"
    MALFORMED = "malformed"
    """Of the right type, without its content."""
    NOT_JSON = "not-json"


class Refusal(StrEnum):
    """How a WebSocket that has no valid signature, or no such agent, is turned away."""

    HTTP = "http"
    """By an HTTP status in place of the upgrade: 401, 404, 422."""
    FORBIDDEN = "http-403"
    REDIRECT = "redirect"
    """301, to another host."""
    CLOSE = "close"
    """The upgrade succeeds, then comes close code 1008."""


class SignedUrlAnswer(StrEnum):
    """What get-signed-url answers to a good request."""

    OK = "ok"
    BUSY = "busy"
    """429 too_many_concurrent_requests."""
    SERVER_ERROR = "server-error"
    HTML = "html"
    MALFORMED = "malformed"
    """Status 200, and JSON that breaks off."""
    NO_URL = "no-url"
    """Status 200, and JSON without ``signed_url``."""


class QueueAt(StrEnum):
    """When the queue for a free conversation comes: the order isn't documented."""

    AFTER_METADATA = "after-metadata"
    BEFORE_METADATA = "before-metadata"


class BargeIn(StrEnum):
    """What ``interruption`` looks like; its ``event_id`` is disputed among the official clients."""

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
    """The ``alignment`` of audio messages: which character is spoken when."""

    ABSENT = "absent"
    NULL = "null"
    FULL = "full"


class ErrorEvent(StrEnum):
    """The form of the ``error`` message before a close."""

    NONE = "none"
    NESTED = "nested"
    """``error_event`` holds code, message and more, as documented."""
    FLAT = "flat"
    """``message`` beside ``type``, as seen with quotas."""


class Ending(StrEnum):
    """How the WebSocket ends."""

    CLOSE = "close"
    DROP = "drop"
    """The TCP connection is cut."""
    GARBAGE = "garbage"
    """Bytes that are no WebSocket frame."""


class CloseAt(StrEnum):
    """When, in its turn, the conversation is closed."""

    MID_REPLY = "mid-reply"
    """After the first burst of the reply."""
    AFTER_REPLY = "after-reply"
    """As soon as the reply is sent: the caller still has seconds of it to hear."""
    AFTER_PLAYBACK = "after-playback"
    """When the reply, by the clock, has been heard."""


class ToolsAt(StrEnum):
    """When, in its turn, the tools are called."""

    BEFORE_SPEECH = "before-speech"
    DURING_SPEECH = "during-speech"
    AFTER_SPEECH = "after-speech"


class Noise(StrEnum):
    """What a client must put up with."""

    UNKNOWN_EVENTS = "unknown-events"
    EXTRA_FIELDS = "extra-fields"
    EMPTY_AUDIO = "empty-audio"
    UNPADDED_AUDIO = "unpadded-audio"
    """Base64 without its padding."""
    SILENCE_TRANSCRIPT = "silence-transcript"
    """A ``user_transcript`` of "...", as when a turn times out in silence."""


_STRICT_KEYS = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Speech:
    """Words with their audio: the name of a shipped prompt, or a WAV file (16-bit mono, any rate)."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT_KEYS

    prompt: str
    text: str = ""
    """The words of a WAV file, or other words for a shipped prompt."""

    def __post_init__(self) -> None:
        prompts.audio_of(self.prompt, AudioFormat(Encoding.PCM, 8_000))

    @property
    def words(self) -> str:
        return self.text or prompts.WORDS.get(self.prompt) or Path(self.prompt).stem


def _read_speech(value: object, info: ValidationInfo) -> object:
    """Let a TOML string stand for a prompt, and find WAV files beside the TOML file."""
    if isinstance(value, str):
        value = {"prompt": value}
    if isinstance(value, dict) and info.context:
        prompt = value.get("prompt")
        if isinstance(prompt, str) and prompt.endswith(".wav"):
            return value | {"prompt": str(info.context["folder"] / prompt)}
    return value


_Say = Annotated[Speech | None, BeforeValidator(_read_speech)]
_Positive = Annotated[float, Field(gt=0)]
_NotNegative = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class Tool:
    """A ``client_tool_call`` that the agent makes."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT_KEYS

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    expects_response: bool = True
    timeout_s: _Positive = 20.0
    """How long the agent waits for the result; none by then counts as a failure."""
    mcp: bool = False
    """An MCP tool, which waits for approval; denied counts as a failure."""
    without_id: bool = False
    """The call comes without ``tool_call_id``."""


@dataclass(frozen=True, slots=True)
class Close:
    """How, when and why the agent ends the conversation."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT_KEYS

    code: Annotated[int, Field(ge=1000, le=4999)] = 1000
    reason: Annotated[str, Field(max_length=120)] = ""
    at: CloseAt = CloseAt.AFTER_REPLY
    error: ErrorEvent = ErrorEvent.NONE
    error_type: str = "unknown"
    how: Ending = Ending.CLOSE
    end_call: bool = False
    """The agent used its system tool ``end_call``: ``agent_tool_response`` says so before the close."""
    guardrail: bool = False
    """``guardrail_triggered`` comes before the close."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What the agent answers when the caller has spoken."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT_KEYS

    heard: str = "(The caller says something.)"
    """The transcript of what the caller said: the simulator doesn't understand speech."""
    say: _Say = None
    tools: tuple[Tool, ...] = ()
    """Called all at once; the turn goes on when each has answered or timed out."""
    tools_at: ToolsAt = ToolsAt.DURING_SPEECH
    say_after_tools: _Say = None
    say_after_failed_tools: _Say = None
    close: Close | None = None


_DEFAULT_GREETING = Turn(say=Speech("greeting"))


@dataclass(frozen=True, slots=True)
class Scenario:
    """All there is to say about a simulated agent. Use `dataclasses.replace` to vary one."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT_KEYS

    name: str = "scenario"
    description: str = ""
    mode: Mode = Mode.CONVERSATION

    agents: tuple[str, ...] = ()
    """The ids of the agents there are; none: any id is an agent."""
    private: bool = False
    """A WebSocket needs a signed URL."""
    refusal: Refusal = Refusal.HTTP
    signed_url: SignedUrlAnswer = SignedUrlAnswer.OK
    signed_url_delay_s: _NotNegative = 0.0
    signed_url_lifetime_s: _Positive = 900.0

    input_format: str = "pcm_8000"
    output_format: str = "pcm_8000"
    metadata: Metadata = Metadata.ON_INIT
    metadata_wait_s: _NotNegative = 1.0
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
    queue_wait_s: _NotNegative = 0.5
    close_at_start: Close | None = None
    """Ends the conversation right after the metadata and the queue."""

    greeting: Turn = _DEFAULT_GREETING
    """``heard`` is of no use here."""
    turns: tuple[Turn, ...] = ()
    """One for each time the caller has spoken; the last one repeats."""
    think_s: _NotNegative = 0.1
    """From the caller's transcript to the reply."""
    speech_level: _Positive = 500.0
    """The root mean square, of 32,768, above which 20 ms count as speech."""
    speech_ms: Annotated[int, Field(ge=20)] = 60
    """So much speech in a row starts a turn of the caller, and interrupts the agent."""
    silence_ms: Annotated[int, Field(ge=20)] = 500
    """So much silence in a row ends it."""
    turn_timeout_s: _NotNegative = 0.0
    """After so much silence the agent repeats itself; 0: never."""
    silence_end_call_s: _NotNegative = 0.0
    """After so much silence the agent closes; 0: never."""
    barge_in: BargeIn = BargeIn.INTERRUPTED_ID
    restart_ids: bool = False
    """After an interruption, event ids begin anew at 1."""
    background_dbfs: Annotated[float, Field(ge=-96, le=-20)] | None = None
    """The level of noise that the agent sends without a pause while it doesn't speak; none: nothing comes."""

    bursts: Annotated[int, Field(ge=1)] = 2
    """Audio messages per reply. They are never multiples of 20 ms."""
    burst_gap_s: _NotNegative = 0.0
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

    ping_interval_s: _Positive = 2.0
    first_ping_id: int = 0
    pong_timeout_s: _NotNegative = 0.0
    """A ping must be answered within this time; 0: whenever."""
    input_timeout_s: _Positive = 60.0
    """Neither audio nor any other message but pongs for so long ends the conversation with 1002."""
    max_duration_s: _Positive = 600.0
    max_duration_close: Close = Close(reason="Conversation has exceeded maximum duration")
    error_events: ErrorEvent = ErrorEvent.NESTED
    """The form of the ``error`` message with which the simulator rejects what the client did wrong."""

    def __post_init__(self) -> None:
        _check("input_format", [self.input_format], FORMATS)
        _check("output_format", [self.output_format], FORMATS)
        _check("queue", self.queue, QUEUE_STATUSES)


def _check(key: str, values: Iterable[str], allowed: Sequence[str]) -> None:
    for value in values:
        if value not in allowed:
            raise ValueError(f"{key} = {value!r}: take one of {', '.join(allowed)}")


def scenario_names() -> list[str]:
    """Return the names of the shipped scenarios."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_scenario(name_or_path: str) -> Scenario:
    """Read a shipped scenario by its name, or any other from a ``.toml`` file.

    Raises:
        ConfigurationError: there is no such scenario, or the file is wrong; the message names the file, each
            bad key, its value and what it takes.
    """
    path = Path(name_or_path) if name_or_path.endswith(".toml") else FOLDER / f"{name_or_path}.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(scenario_names())
        raise ConfigurationError(
            f"there is no scenario {name_or_path!r}; give the path of a .toml file or one of {known}"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"scenario file {path} can't be read as TOML: {error}") from error
    try:
        return _SCENARIO.validate_python({"name": path.stem} | data, context={"folder": path.parent})
    except ValidationError as error:
        raise ConfigurationError(
            "\n".join([f"scenario file {path}:", *map(_explain, error.errors())])
        ) from error


_SCENARIO = TypeAdapter(Scenario)


def _explain(error: ErrorDetails) -> str:
    key = ".".join(str(part) for part in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "unexpected_keyword_argument":
        return f"  {key}: there is no such key; see docs/simulator.md"
    if error["type"] == "missing":
        return f"  {key}: is missing"
    if not key:
        return f"  {message}"
    return f"  {key} = {error['input']!r}: {message}"
