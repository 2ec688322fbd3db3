"""Every setting of the gateway: read once from the environment and ``.env``, checked, frozen.

Secrets are `pydantic.SecretStr`: they print as asterisks wherever they go. Several bad settings are
reported together, each with its variable, the value and the fix.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, FilePath, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from audiosocket_gw.audio import FRAME_MS
from audiosocket_gw.audio.hold_audio import HoldAudioMode
from audiosocket_gw.call.caller_data import UNKNOWN
from audiosocket_gw.call.settings import BargeInMode, CallSettings
from audiosocket_gw.control.dtmf import KeyAction, parse_key_actions
from audiosocket_gw.control.mcp_approval import McpApproval
from audiosocket_gw.control.transfer_policy import Destination, TransferPolicy
from audiosocket_gw.elevenlabs.settings import AgentSettings
from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.server.settings import IpNetwork, ServerSettings
from audiosocket_gw.tools import MAX_TIMEOUT_S

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")

INTERNAL_EXTENSION = re.compile(r"(?!(?:000|110|112|113|115|118|119|911|999)$)[0-9]{1,5}")
"""Nothing else is set: extensions of a PBX's own, never a number that could leave the house, such as the
emergency numbers, which are as short."""


AMI_PLACE = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?(?::([0-9]{1,5}))?")
"""A host, with or without a port."""

QUOTES = frozenset({'""', "''", "``", "\u201c\u201d", "\u2018\u2019"})

LOCAL_CHANNEL = re.compile(r"(PJ)?SIP/[0-9]{1,5}|Local/[0-9]{1,5}@transfer-targets")
"""Nothing else is set: this PBX's own telephones, never a trunk or a number behind one."""


class AgentKind(StrEnum):
    """Who answers the calls."""

    ELEVENLABS = "elevenlabs"
    SIMULATOR = "simulator"


class FlightKeep(StrEnum):
    """Which calls' flight recordings are kept."""

    BAD = "bad"
    ALL = "all"


class LogLevel(StrEnum):
    """What is logged; ``debug`` shows what is said, and is not for production."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Settings(BaseSettings):
    """The gateway's settings; each field is the environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(
        frozen=True,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        str_strip_whitespace=True,
        allow_inf_nan=False,
    )

    host: str = Field("127.0.0.1", description="Address to listen on for Asterisk; 0.0.0.0 for all.")
    port: int = Field(5001, ge=0, le=65_535, description="TCP port to listen on; 0 picks a free one.")
    max_calls: int = Field(500, ge=1, description="Calls at the same time; one more is refused at once.")
    max_call_seconds: float = Field(
        7200.0, ge=0, le=2_592_000, description="Seconds after which a call is ended in order; 0: never."
    )
    allowed_peers: Annotated[tuple[IpNetwork, ...], NoDecode] = Field(
        (),
        description="Networks (CIDR, comma-separated) that may connect; empty: all.",
    )
    handshake_timeout: float = Field(5.0, gt=0, description="Seconds for the UUID frame to arrive.")
    drain_timeout: float = Field(
        30.0, ge=0, description="Seconds that running calls get to finish on SIGTERM."
    )

    agent: AgentKind = Field(
        AgentKind.ELEVENLABS, description="Who answers: elevenlabs, or simulator (the embedded agent)."
    )
    elevenlabs_agent_id: str | None = Field(None, description="The agent that answers every call.")
    elevenlabs_agent_url: str | None = Field(
        None, pattern=r"^https?://", description="Asked for each call's agent; overrides ELEVENLABS_AGENT_ID."
    )
    elevenlabs_api_key: SecretStr | None = Field(None, description="Needed for private agents.")
    elevenlabs_base_url: str = Field(
        "https://api.elevenlabs.io",
        pattern=r"^https?://[^/]+",
        description="The REST host; wss follows from it.",
    )
    agent_url_timeout: float = Field(5.0, gt=0, description="Seconds for ELEVENLABS_AGENT_URL to answer.")
    agent_connect_timeout: float = Field(
        10.0, gt=0, description="Seconds for each step to the agent: signed URL, connection, first message."
    )
    agent_queue_timeout: float = Field(
        60.0, gt=0, description="Seconds that a caller may wait in ElevenLabs' queue for a free conversation."
    )
    tls_ca_file: FilePath | None = Field(
        None,
        description="One more authority to trust, a PEM file: of a company's proxy that looks into TLS, or "
        "of your own ELEVENLABS_BASE_URL or ELEVENLABS_AGENT_URL.",
    )
    drop_interrupted_audio: bool = Field(
        False,
        description="After an interruption, also drop audio whose event_id equals the interruption's. "
        "Off: at worst a short tail of the old reply is heard. On: some ElevenLabs versions go mute.",
    )

    audio_chunk_ms: Literal["auto", 20, 40, 60, 80, 100] = Field(
        "auto",
        description="Milliseconds of the caller's audio in each message to the agent; auto: 20, and up to "
        "AUDIO_CHUNK_MAX_MS while the gateway is busy.",
    )
    audio_chunk_max_ms: Literal[20, 40, 60, 80, 100] = Field(
        60, description="The most that AUDIO_CHUNK_MS=auto may batch."
    )
    refuse_overload: bool = Field(
        True, description="Refuse new calls while the gateway can't keep up with those that are up."
    )
    barge_in: BargeInMode = Field(
        BargeInMode.AGENT,
        description="Interrupting the agent: agent (ElevenLabs decides), local (the agent pauses at once, "
        "and goes on unless ElevenLabs confirms), off.",
    )
    barge_in_deadline: float = Field(
        1.0, gt=0, le=5, description="Seconds that ElevenLabs has to confirm, with BARGE_IN=local."
    )
    report_heard: bool = Field(
        False, description="After an interruption, tell the agent how much of its reply the caller heard."
    )

    hold_audio: Path | None = Field(
        None, description="WAV file that the caller, never the agent, hears while waiting; unset: silence."
    )
    hold_audio_mode: HoldAudioMode = Field(
        HoldAudioMode.WAITING,
        description="waiting: until the agent speaks first; gaps: whenever it doesn't speak; under: always.",
    )
    hold_audio_gain_db: float = Field(
        0.0, ge=-60, le=20, description="How much louder than in its file, in dB; negative: softer."
    )

    ami_host: str | None = Field(
        None, description="Asterisk's manager interface; unset: the agent has no hands."
    )
    ami_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Several PBXs, comma-separated: each call is controlled on the one it comes from."
    )
    ami_port: int = Field(5038, ge=1, le=65_535, description="Port of the manager interface.")
    ami_username: str = Field("gateway", description="The user in Asterisk's manager.conf.")
    ami_password: SecretStr | None = Field(None, description="The user's secret in manager.conf.")
    ami_md5: bool = Field(False, description="Log in by challenge, so that the password itself is not sent.")
    ami_tls: bool = Field(False, description="Connect with TLS.")
    ami_tls_ca_file: FilePath | None = Field(
        None, description="Authority of Asterisk's certificate, a PEM file, such as ast_tls_cert's ca.crt."
    )
    ami_tls_name: str | None = Field(
        None, description="The name in Asterisk's certificate, where it isn't that of AMI_HOST."
    )

    call_variables: Annotated[dict[str, str], NoDecode] = Field(
        {}, description="Channel variables for the agent: NAME or NAME=default, comma-separated."
    )
    caller_data_timeout: float = Field(1.0, gt=0, description="Seconds a call waits for the caller's data.")

    transfer_destinations: Annotated[dict[str, Destination], NoDecode] = Field(
        {}, description="Where the agent may send callers, by name: sales=600@queues,support=601@queues."
    )
    transfer_extensions: re.Pattern[str] | None = Field(
        None, description="Regular expression that the whole extension must match to be transferred to."
    )
    transfer_contexts: Annotated[tuple[str, ...], NoDecode] = Field(
        ("transfer-targets",),
        min_length=1,
        description="Contexts that a transfer may go to; first: the default.",
    )
    originate_channels: re.Pattern[str] = Field(
        LOCAL_CHANNEL,
        description="Regular expression that the whole channel must match to be rung by `originate`.",
    )

    tools_dir: Path | None = Field(None, description="Folder with your own tools, Python files.")
    tool_timeout: float = Field(10.0, gt=0, le=MAX_TIMEOUT_S, description="Seconds that a tool may take.")
    mcp_approval: Annotated[McpApproval, NoDecode] = Field(
        McpApproval(),
        description="MCP tools that wait for approval: deny, allow, or the names of those that may run.",
    )
    dtmf_actions: Annotated[dict[str, KeyAction], NoDecode] = Field(
        {}, description="Keys that act without the agent: 0=transfer:operator,*=hangup."
    )
    dtmf_timeout: float = Field(
        2.0, gt=0, description="Seconds without a key that end a number; # does it, too."
    )

    record_dir: Path | None = Field(
        None,
        description="Folder for a stereo WAV and a transcript of every call; unset: nothing is recorded.",
    )
    record_max_mb: int = Field(
        10_000, ge=0, description="Megabytes of recordings that are kept; 0: without limit."
    )
    record_max_days: float = Field(
        30, ge=0, le=36_500, description="Days that recordings are kept; 0: for ever."
    )

    flight_dir: Path | None = Field(
        None, description="Folder for flight recordings, to reproduce faults with; unset: none are made."
    )
    flight_keep: FlightKeep = Field(
        FlightKeep.BAD, description="bad: keep those of calls that ended badly; all: keep every one."
    )
    flight_max_mb: int = Field(
        1_000, ge=0, description="Megabytes of flight recordings that are kept; 0: without limit."
    )
    flight_max_days: float = Field(
        7, ge=0, le=36_500, description="Days that flight recordings are kept; 0: for ever."
    )

    log_level: LogLevel = Field(LogLevel.INFO, description="debug, info, warning or error.")

    @field_validator("allowed_peers", mode="before")
    @classmethod
    def _split_networks(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        networks = [ip_network(part) for part in _parts(value)]
        if value and not networks:
            raise ValueError("there is no network in it, and none would admit everyone")
        return networks

    @field_validator("ami_hosts", "transfer_contexts", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        return _parts(value) if isinstance(value, str) else value

    @field_validator("mcp_approval", mode="before")
    @classmethod
    def _parse_approval(cls, value: Any) -> Any:
        return McpApproval.parse(value) if isinstance(value, str) else value

    @field_validator("call_variables", mode="before")
    @classmethod
    def _split_variables(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        variables = {}
        for part in _parts(value):
            name, equals, default = part.partition("=")
            if not re.fullmatch(r"(?!system__)[A-Za-z_][A-Za-z0-9_]{0,79}", name):  # ElevenLabs reserves it
                raise ValueError(f"{name!r} is not the name of a channel variable that an agent can be told")
            variables[name] = default if equals else UNKNOWN
        return variables

    @field_validator("transfer_destinations", mode="before")
    @classmethod
    def _split_destinations(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        destinations = {}
        for part in _parts(value):
            name, equals, place = part.partition("=")
            if not name.strip() or not equals:
                raise ValueError(f"{part!r} is not of the form name=extension@context")
            if name.strip().lower() in destinations:
                raise ValueError(f"the name {name.strip()!r} stands for two destinations")
            destinations[name.strip().lower()] = Destination.parse(place.strip(), name.strip())
        return destinations

    @field_validator("transfer_contexts")
    @classmethod
    def _contexts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for context in value:
            Destination.parse(f"600@{context}")
        return value

    @field_validator("ami_host", "ami_hosts")
    @classmethod
    def _places(cls, value: Any) -> Any:
        for place in (value,) if isinstance(value, str) else value or ():
            match = AMI_PLACE.fullmatch(place)
            if match is None or not 0 < int(match[1] or 1) <= 65_535:
                raise ValueError(f"{place!r} is neither a host nor host:port (IPv6: give it a name)")
        return value

    @field_validator("dtmf_actions", mode="before")
    @classmethod
    def _split_actions(cls, value: Any) -> Any:
        return parse_key_actions(value) if isinstance(value, str) else value

    @field_validator("audio_chunk_ms", "audio_chunk_max_ms", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return int(value) if isinstance(value, str) and value.isdecimal() else value

    @field_validator("*", mode="before")
    @classmethod
    def _without_quotes(cls, value: Any) -> Any:
        # An id or a password in quotes is valid to us, and wrong to everybody that is shown it.
        if isinstance(value, str) and len(value) > 1 and value[0] + value[-1] in QUOTES:
            raise ValueError(
                "the value stands in quotes, and they are a part of it: a shell and .env take quotes off, "
                "`docker run --env-file` doesn't. Leave them out"
            )
        return value

    @property
    def batch_frames(self) -> tuple[int, int]:
        """The least and the most frames of 20 ms that may share a message."""
        if self.audio_chunk_ms == "auto":
            return 1, self.audio_chunk_max_ms // FRAME_MS
        return self.audio_chunk_ms // FRAME_MS, self.audio_chunk_ms // FRAME_MS

    @field_validator("agent", "barge_in", "hold_audio_mode", "flight_keep", "log_level", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("elevenlabs_api_key")
    @classmethod
    def _header_value(cls, value: SecretStr | None) -> SecretStr | None:
        # Anything else would be refused as a header by an error that shows it.
        if value is not None and not re.fullmatch(r"[!-~]+", value.get_secret_value()):
            raise ValueError("a key is printable ASCII without blanks")
        return value

    @field_validator("elevenlabs_agent_url", "elevenlabs_base_url")
    @classmethod
    def _host_and_port(cls, value: str | None) -> str | None:
        if value is not None:
            url = urlsplit(value)
            if not url.hostname or url.port == 0:
                raise ValueError("the URL must name a host, and no port 0")
        return value

    @field_validator("elevenlabs_base_url")
    @classmethod
    def _no_trailing_slash(cls, value: str) -> str:
        return value.rstrip("/")

    @model_validator(mode="after")
    def _fit_together(self) -> Settings:
        problems = [*self._agent_problems(), *self._ami_problems(), *self._key_problems()]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _agent_problems(self) -> Iterator[str]:
        if self.agent is AgentKind.ELEVENLABS and not (self.elevenlabs_agent_id or self.elevenlabs_agent_url):
            yield (
                "no agent is set: set ELEVENLABS_AGENT_ID (and ELEVENLABS_API_KEY for a private agent), or "
                "ELEVENLABS_AGENT_URL, or AGENT=simulator to try the gateway without an account"
            )

    def _ami_problems(self) -> Iterator[str]:
        if (self.ami_host or self.ami_hosts) and self.ami_password is None:
            yield "AMI_HOST is set, AMI_PASSWORD is not: set it to the user's secret in manager.conf"

    def _key_problems(self) -> Iterator[str]:
        for key, action in self.dtmf_actions.items():
            if action.kind == "transfer" and not self.transfer_policy.allows(action.target):
                yield (
                    f"DTMF_ACTIONS: key {key} transfers to {action.target!r}, which TRANSFER_DESTINATIONS, "
                    "TRANSFER_EXTENSIONS and TRANSFER_CONTEXTS don't allow"
                )

    @property
    def transfer_policy(self) -> TransferPolicy:
        """Where the agent may send callers."""
        extensions = self.transfer_extensions
        if extensions is None and not self.transfer_destinations:
            extensions = INTERNAL_EXTENSION
        return TransferPolicy(self.transfer_destinations, extensions, self.transfer_contexts)

    @property
    def server(self) -> ServerSettings:
        """What the server uses."""
        return _room(ServerSettings, self)

    @property
    def elevenlabs(self) -> AgentSettings:
        """What finds the agent."""
        return _room(AgentSettings, self)

    @property
    def call(self) -> CallSettings:
        """What a call uses."""
        return _room(CallSettings, self)


def _room(kind: type[R], settings: Settings) -> R:
    """Return the settings of a room whose fields have the names of the variables."""
    return kind(**{field.name: getattr(settings, field.name) for field in fields(kind)})


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from the environment; ``overrides`` (field names) win over it.

    Raises:
        ConfigurationError: one or more settings are bad; the message has a line for each.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        problems = error.errors()
        problems += _problems_without(problems, overrides)
        raise ConfigurationError("\n".join(map(_explain, problems))) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f".env can't be read: {error}. Save it as UTF-8 text.") from None


def _problems_without(problems: list[ErrorDetails], overrides: dict[str, Any]) -> list[ErrorDetails]:
    """Return what does not fit together beside the bad settings: pydantic looks no further than those."""
    defaults = {
        str(problem["loc"][0]): Settings.model_fields[str(problem["loc"][0])].default
        for problem in problems
        if problem["loc"]
    }
    if not defaults:
        return []
    try:
        Settings(**{**overrides, **defaults})
    except ValidationError as error:
        return error.errors()
    return []


def _explain(detail: ErrorDetails) -> str:
    message = detail["msg"].removeprefix("Value error, ")
    if not detail["loc"]:
        return message
    name = str(detail["loc"][0])
    field = Settings.model_fields[name]
    secret = field.annotation is not None and "SecretStr" in str(field.annotation)
    value = "(secret)" if secret else re.sub(r"//[^/@]*@", "//(secret)@", repr(detail["input"]))
    return f"{name.upper()}={value}: {message}. {field.description}"
