"""The agent's turn: its reply, its tool calls, and whether it ends the conversation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo

from audiosocket_gw.audio import PCM_8000
from audiosocket_gw.testing.simulator import prompts

STRICT_KEYS = ConfigDict(extra="forbid")
"""Unknown keys are errors."""

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class ErrorEvent(StrEnum):
    """The form of the ``error`` message before a close."""

    NONE = "none"
    NESTED = "nested"
    """``error_event`` holds code, message and more, as documented."""
    FLAT = "flat"
    """``message`` next to ``type``, as observed with quotas."""


class Disconnect(StrEnum):
    """How the WebSocket ends."""

    CLOSE = "close"
    DROP = "drop"
    """The TCP connection is cut."""
    GARBAGE = "garbage"
    """Bytes that are not a WebSocket frame."""


class CloseAt(StrEnum):
    """When, in its turn, the conversation is closed."""

    MID_REPLY = "mid-reply"
    """After the first burst of the reply."""
    AFTER_REPLY = "after-reply"
    """As soon as the reply is sent, seconds before the caller has heard it."""
    AFTER_PLAYBACK = "after-playback"
    """When the reply has been played, by the clock."""


class ToolsAt(StrEnum):
    """When, in its turn, the tools are called."""

    BEFORE_SPEECH = "before-speech"
    DURING_SPEECH = "during-speech"
    AFTER_SPEECH = "after-speech"


@dataclass(frozen=True, slots=True)
class Speech:
    """Words with their audio: the name of a shipped prompt, or a WAV file (16-bit mono, any rate)."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS

    prompt: str
    text: str = ""
    """The words of a WAV file, or other words for a shipped prompt."""

    def __post_init__(self) -> None:
        prompts.audio_of(self.prompt, PCM_8000)

    @property
    def words(self) -> str:
        return self.text or prompts.WORDS.get(self.prompt) or Path(self.prompt).stem


def _read_speech(value: object, info: ValidationInfo) -> object:
    """Accept a TOML string as a prompt, and resolve WAV files relative to the TOML file."""
    if isinstance(value, str):
        value = {"prompt": value}
    if isinstance(value, dict) and info.context:
        prompt = value.get("prompt")
        if isinstance(prompt, str) and prompt.endswith(".wav"):
            return value | {"prompt": str(info.context["folder"] / prompt)}
    return value


_Say = Annotated[Speech | None, BeforeValidator(_read_speech)]


@dataclass(frozen=True, slots=True)
class Tool:
    """A ``client_tool_call`` that the agent makes."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    expects_response: bool = True
    timeout_s: Positive = 20.0
    """How long the agent waits for the result; a timeout counts as a failure."""
    mcp: bool = False
    """An MCP tool, which waits for approval; a denial counts as a failure."""
    without_id: bool = False
    """The call comes without ``tool_call_id``."""


@dataclass(frozen=True, slots=True)
class Close:
    """How, when and why the agent ends the conversation."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS

    code: Annotated[int, Field(ge=1000, le=4999)] = 1000
    reason: Annotated[str, Field(max_length=120)] = ""
    at: CloseAt = CloseAt.AFTER_REPLY
    error: ErrorEvent = ErrorEvent.NONE
    error_type: str = "unknown"
    how: Disconnect = Disconnect.CLOSE
    end_call: bool = False
    """The agent used its system tool ``end_call``: ``agent_tool_response`` says so before the close."""
    guardrail: bool = False
    """``guardrail_triggered`` comes before the close."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The agent's answer to the caller."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS

    heard: str = "(The caller says something.)"
    """The transcript of what the caller said: the simulator doesn't understand speech."""
    say: _Say = None
    tools: tuple[Tool, ...] = ()
    """All called at once; the turn continues when each has answered or timed out."""
    tools_at: ToolsAt = ToolsAt.DURING_SPEECH
    say_after_tools: _Say = None
    say_after_failed_tools: _Say = None
    close: Close | None = None
