"""The gateway's environment variables: one table of names, types, bounds and defaults.

Secrets are `pydantic.SecretStr`, which prints as asterisks.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, FilePath, SecretStr
from pydantic_settings import NoDecode

from audiosocket_gw.audio.hold_audio import HoldAudioMode
from audiosocket_gw.call.caller_data import parse_call_variables
from audiosocket_gw.call.settings import BargeInMode, SilentAgentAction
from audiosocket_gw.control.key_actions import KeyAction, parse_key_actions
from audiosocket_gw.control.mcp_approval import McpApproval
from audiosocket_gw.control.transfer_policy import Destination, TransferPolicy
from audiosocket_gw.flight.settings import FlightKeep
from audiosocket_gw.ledger.settings import CallerNumbers
from audiosocket_gw.log.formatter import LogFormat
from audiosocket_gw.server.settings import IpNetwork, parse_networks
from audiosocket_gw.settings.rules import Rules
from audiosocket_gw.settings.types import (
    AgentKind,
    AnyCase,
    LogLevel,
    Milliseconds,
    Names,
    read_by,
)
from audiosocket_gw.tools import MAX_TIMEOUT_S
from audiosocket_gw.tools.settings import ToolsIsolation


class Settings(Rules):
    """All settings. A field's environment variable has the same name in upper case.

    `load_settings` reads the environment. ``Settings(port=0)`` doesn't: the others have their defaults.
    """

    host: str = Field(default="127.0.0.1", description="Address to listen on for Asterisk; 0.0.0.0 for all.")
    port: int = Field(default=5001, ge=0, le=65_535, description="TCP port to listen on; 0 picks a free one.")
    max_calls: int = Field(
        default=500, ge=1, description="Simultaneous calls. Further calls are rejected at once."
    )
    max_call_seconds: float = Field(
        default=7200.0,
        ge=0,
        le=2_592_000,
        description="Seconds after which a call ends in order; 0: no limit.",
    )
    silent_agent_seconds: float = Field(
        default=5.0,
        ge=0,
        le=60,
        description="Warn of an agent that has said nothing for this many seconds after it connected; "
        "0: never.",
    )
    late_answer_seconds: float = Field(
        default=3.0,
        ge=0,
        le=25,
        description="Warn of an answer that hasn't begun this many seconds after the caller spoke; 0: never.",
    )
    silent_agent_action: SilentAgentAction = Field(
        default=SilentAgentAction.WARN,
        description="What happens to a call whose agent says nothing: warn, or end.",
    )
    no_input_timeout: float = Field(
        default=600.0,
        ge=0,
        le=86_400,
        description="Seconds without any audio from the caller after which a call ends; 0: no limit.",
    )
    require_caller_audio: bool = Field(
        default=False, description="Connect the agent only when the caller's first audio has arrived."
    )
    require_ami_match: bool = Field(
        default=False,
        description="Connect the agent only if a channel of Asterisk is in the call; needs AMI_HOST.",
    )
    allowed_peers: Annotated[tuple[IpNetwork, ...], NoDecode, read_by(parse_networks)] = Field(
        default=(),
        description="Networks (CIDR, comma-separated) that may connect, or any; needed unless HOST is this "
        "machine's loopback.",
    )
    uuid_secret: SecretStr | None = Field(
        default=None,
        description="Only UUIDs that are signed with it may begin a call: 32 to 64 printable characters.",
    )
    uuid_max_age: float = Field(
        default=60.0, gt=0, le=86_400, description="Seconds that a signed UUID is valid for."
    )
    handshake_timeout: float = Field(default=5.0, gt=0, description="Seconds for the UUID frame to arrive.")
    drain_timeout: float = Field(
        default=30.0, ge=0, description="Seconds that running calls get to finish on SIGTERM."
    )

    agent: Annotated[AgentKind, AnyCase] = Field(
        default=AgentKind.ELEVENLABS,
        description="Who answers: elevenlabs, or simulator (the embedded agent).",
    )
    elevenlabs_agent_id: str | None = Field(default=None, description="The agent that answers every call.")
    elevenlabs_agent_url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="Service that names the agent of each call; overrides ELEVENLABS_AGENT_ID.",
    )
    elevenlabs_api_key: SecretStr | None = Field(default=None, description="Needed for private agents.")
    elevenlabs_base_url: str = Field(
        default="https://api.elevenlabs.io",
        pattern=r"^https?://[^/]+",
        description="The REST host; the wss host is derived from it.",
    )
    agent_url_timeout: float = Field(
        default=5.0, gt=0, description="Timeout of ELEVENLABS_AGENT_URL, in seconds."
    )
    agent_connect_timeout: float = Field(
        default=10.0,
        gt=0,
        description="Timeout of each step to the agent, in seconds: signed URL, connection, first message.",
    )
    agent_queue_timeout: float = Field(
        default=60.0,
        gt=0,
        description="Seconds that a caller may wait in ElevenLabs' queue for a free conversation.",
    )
    allow_private_agent: bool = Field(
        default=False,
        description="Connect to an agent with a private address although ElevenLabs' answer, not "
        "ELEVENLABS_BASE_URL, names its host.",
    )
    tls_ca_file: FilePath | None = Field(
        default=None,
        description="PEM file with another authority to trust: of a company's proxy that inspects TLS, or "
        "of your own ELEVENLABS_BASE_URL or ELEVENLABS_AGENT_URL.",
    )
    drop_interrupted_audio: bool = Field(
        default=False,
        description="After an interruption, also drop audio whose event_id equals the interruption's. "
        "Off: at worst a short tail of the old reply is heard. On: some ElevenLabs versions become mute.",
    )

    audio_chunk_ms: Annotated[Literal["auto", 20, 40, 60, 80, 100], Milliseconds] = Field(
        default="auto",
        description="Milliseconds of the caller's audio in each message to the agent; auto: 20, and up to "
        "AUDIO_CHUNK_MAX_MS while the gateway is busy.",
    )
    audio_chunk_max_ms: Annotated[Literal[20, 40, 60, 80, 100], Milliseconds] = Field(
        default=60, description="The largest batch of AUDIO_CHUNK_MS=auto, in milliseconds."
    )
    refuse_overload: bool = Field(
        default=True,
        description="Let new calls wait, and reject them after a second, while the gateway has no room.",
    )
    barge_in: Annotated[BargeInMode, AnyCase] = Field(
        default=BargeInMode.AGENT,
        description="Interrupting the agent: agent (ElevenLabs decides), local (the agent pauses at once, "
        "and resumes unless ElevenLabs confirms), off.",
    )
    barge_in_deadline: float = Field(
        default=1.0, gt=0, le=5, description="Seconds that ElevenLabs has to confirm, with BARGE_IN=local."
    )
    report_heard: bool = Field(
        default=False,
        description="After an interruption, tell the agent how much of its reply the caller heard.",
    )

    hold_audio: Path | None = Field(
        default=None,
        description="WAV file that the caller, never the agent, hears while waiting; unset: silence.",
    )
    hold_audio_mode: Annotated[HoldAudioMode, AnyCase] = Field(
        default=HoldAudioMode.WAITING,
        description="waiting: until the agent speaks first; gaps: whenever it doesn't speak; under: always.",
    )
    hold_audio_gain_db: float = Field(
        default=0.0, ge=-60, le=20, description="Gain of the hold audio, in dB; negative: softer."
    )

    ami_host: str | None = Field(
        default=None, description="Asterisk's manager interface; unset: the agent can only hang up."
    )
    ami_hosts: Names = Field(
        default=(),
        description="Several PBXs, comma-separated: each call is controlled on the one it comes from.",
    )
    ami_port: int = Field(default=5038, ge=1, le=65_535, description="Port of the manager interface.")
    ami_username: str = Field(default="gateway", description="The user in Asterisk's manager.conf.")
    ami_password: SecretStr | None = Field(default=None, description="The user's secret in manager.conf.")
    ami_md5: bool = Field(
        default=False, description="Log in by MD5 challenge instead of sending the password."
    )
    ami_tls: bool = Field(default=False, description="Connect with TLS.")
    ami_tls_ca_file: FilePath | None = Field(
        default=None,
        description="PEM file with the authority of Asterisk's certificate, such as ast_tls_cert's ca.crt.",
    )
    ami_tls_name: str | None = Field(
        default=None, description="The name in Asterisk's certificate, if it differs from AMI_HOST."
    )

    call_variables: Annotated[dict[str, str], NoDecode, read_by(parse_call_variables)] = Field(
        default={}, description="Channel variables for the agent: NAME or NAME=default, comma-separated."
    )
    caller_data_timeout: float = Field(
        default=1.0, gt=0, description="Seconds a call waits for the caller's data."
    )

    transfer_destinations: Annotated[dict[str, Destination], NoDecode, read_by(Destination.parse_list)] = (
        Field(
            default={},
            description="Where the agent may transfer callers, by name: sales=600@queues,support=601@queues.",
        )
    )
    transfer_extensions: re.Pattern[str] | None = Field(
        default=None,
        description="Regular expression that the whole extension must match to be transferred to.",
    )
    transfer_contexts: Names = Field(
        default=("transfer-targets",),
        min_length=1,
        description="Contexts that a transfer may go to; first: the default.",
    )
    originate_channels: re.Pattern[str] = Field(
        default=re.compile(r"(PJ)?SIP/[0-9]{1,5}|Local/[0-9]{1,5}@transfer-targets"),
        description="Regular expression that the whole channel must match to be called by `originate`.",
    )

    tools_dir: Path | None = Field(default=None, description="Folder with your own tools: Python files.")
    tool_timeout: float = Field(
        default=10.0, gt=0, le=MAX_TIMEOUT_S, description="Timeout of a tool, in seconds."
    )
    tool_max_running: int = Field(
        default=32,
        ge=1,
        le=1_000,
        description="Runs of one tool of TOOLS_DIR at the same time, in all calls; further ones are answered "
        "at once: busy.",
    )
    tools_isolation: Annotated[ToolsIsolation, AnyCase] = Field(
        default=ToolsIsolation.INLINE,
        description="Where tools of TOOLS_DIR run: inline (on the event loop of the calls), or process (in "
        "worker processes, which are killed if a tool hangs).",
    )
    tools_workers: int = Field(
        default=4, ge=1, le=64, description="Worker processes with TOOLS_ISOLATION=process."
    )
    mcp_approval: Annotated[McpApproval, NoDecode, read_by(McpApproval.parse)] = Field(
        default=McpApproval(),
        description="MCP tools that wait for approval: deny, allow, or the names of tools to allow.",
    )
    dtmf_actions: Annotated[dict[str, KeyAction], NoDecode, read_by(parse_key_actions)] = Field(
        default={}, description="DTMF keys that act without the agent: 0=transfer:operator,*=hangup."
    )
    dtmf_timeout: float = Field(
        default=2.0,
        gt=0,
        description="Seconds without a key after which a number is complete; # also completes it.",
    )

    record_dir: Path | None = Field(
        default=None,
        description="Folder for a stereo WAV and a transcript of every call; unset: nothing is recorded.",
    )
    record_max_mb: int = Field(
        default=10_000, ge=0, description="Megabytes of recordings to keep; 0: no limit."
    )
    record_max_days: float = Field(
        default=30, ge=0, le=36_500, description="Days to keep recordings; 0: no limit."
    )

    flight_dir: Path | None = Field(
        default=None,
        description="Folder for flight recordings, to reproduce faults; unset: nothing is recorded.",
    )
    flight_keep: Annotated[FlightKeep, AnyCase] = Field(
        default=FlightKeep.BAD,
        description="bad: keep those of calls that ended badly; all: keep all.",
    )
    flight_max_mb: int = Field(
        default=1_000, ge=0, description="Megabytes of flight recordings to keep; 0: no limit."
    )
    flight_max_days: float = Field(
        default=7, ge=0, le=36_500, description="Days to keep flight recordings; 0: no limit."
    )

    caller_numbers: Annotated[CallerNumbers, AnyCase] = Field(
        default=CallerNumbers.MASKED,
        description="Callers in call records. masked: of a number the last three digits alone are seen, "
        "and no name; shown: both are seen.",
    )
    call_log: Path | None = Field(
        default=None,
        description="File that gets a line of JSON for each call that has ended; -: standard output.",
    )
    history_db: Path | None = Field(
        default=None, description="SQLite database of the calls that have ended; unset: they aren't kept."
    )
    history_max_calls: int = Field(
        default=100_000, ge=1, le=10_000_000, description="Calls that HISTORY_DB keeps, the last ones."
    )

    http_port: int | None = Field(
        default=None,
        ge=0,
        le=65_535,
        description="TCP port of the HTTP surface; 0 picks a free one, unset: none.",
    )
    http_host: str = Field(default="127.0.0.1", description="Address to listen on for HTTP.")
    http_token: SecretStr | None = Field(
        default=None,
        description="Secret that HTTP requests must have, as `Authorization: Bearer`; needed unless "
        "HTTP_HOST is this machine's loopback.",
    )
    http_socket: Path | None = Field(
        default=None,
        description="Unix socket for HTTP without a token, in a folder that only the gateway's user can "
        "write to.",
    )
    http_transcripts: bool = Field(
        default=False, description="Show over HTTP what is said in calls, with numbers and secrets masked."
    )
    plan_concurrency: int | None = Field(
        default=None,
        ge=1,
        description="Conversations that ElevenLabs' plan allows at once, for metrics; it limits nothing.",
    )

    log_level: Annotated[LogLevel, AnyCase] = Field(
        default=LogLevel.INFO, description="debug, info, warning or error."
    )
    log_format: Annotated[LogFormat, AnyCase] = Field(
        default=LogFormat.TEXT, description="text, or json: one JSON object a line."
    )

    @property
    def transfer_policy(self) -> TransferPolicy:
        """The transfer policy."""
        return TransferPolicy.of(self.transfer_destinations, self.transfer_extensions, self.transfer_contexts)
