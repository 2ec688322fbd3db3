"""What the gateway was started with, as the few lines of the log that somebody on call reads first."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from audiosocket_gw import __version__
from audiosocket_gw.ami.address import AmiAddress
from audiosocket_gw.settings.gateway_settings import GatewaySettings
from audiosocket_gw.tools.settings import ToolsIsolation

REGIONS = {
    "api.elevenlabs.io": "global",
    "api.us.elevenlabs.io": "United States",
    "api.eu.residency.elevenlabs.io": "EU",
    "api.in.residency.elevenlabs.io": "India",
    "api.sg.residency.elevenlabs.io": "Singapore",
}
"""ElevenLabs' hosts."""


def start_report(settings: GatewaySettings, tools: Sequence[str]) -> Iterator[str]:
    """Yield the lines; ``tools`` are the names of all tools. No secret is in them, nor a whole URL."""
    yield f"audiosocket-gw {__version__}, Python {platform.python_version()}"
    yield f"agent: {_agent(settings)}"
    yield f"limits: {_limits(settings)}"
    if pbxs := settings.ami.by_place.values():
        yield f"AMI: {', '.join(map(_pbx, pbxs))}"
    yield f"transfers: {_transfers(settings)}"
    yield f"tools: {', '.join(tools)}{_workers(settings)}"
    if kept := list(_kept(settings)):
        yield f"kept: {', '.join(kept)}"
    if off := switched_off(settings):
        yield f"off: {', '.join(off)}"


def switched_off(settings: GatewaySettings) -> list[str]:
    """Return what the settings leave off."""
    return [name for name, is_on in _switches(settings) if not is_on]


def _agent(settings: GatewaySettings) -> str:
    agent = settings.agent
    host = urlsplit(agent.elevenlabs_base_url).hostname or ""
    if agent.elevenlabs_agent_url is not None:
        who = f"{urlsplit(agent.elevenlabs_agent_url).hostname} names it for each call (ELEVENLABS_AGENT_URL)"
    else:
        who = str(agent.elevenlabs_agent_id)
    key = "yes" if agent.elevenlabs_api_key is not None else "no"
    return f"{who}; host: {host}; region: {REGIONS.get(host, 'unknown')}; API key: {key}"


def _limits(settings: GatewaySettings) -> str:
    server, call, plan = settings.server, settings.call, settings.metrics.plan_concurrency
    peers = ",".join(map(str, server.allowed_peers)) or "this machine only"
    limits = {
        "MAX_CALLS": server.max_calls,
        **({"PLAN_CONCURRENCY": plan} if plan is not None else {}),
        "MAX_CALL_SECONDS": call.max_call_seconds,
        "NO_INPUT_TIMEOUT": call.no_input_timeout,
        "DRAIN_TIMEOUT": server.drain_timeout,
        "SILENT_AGENT_SECONDS": call.silent_agent_seconds,
        "LATE_ANSWER_SECONDS": call.late_answer_seconds,
    }
    return ", ".join([*(f"{name}={value:.10g}" for name, value in limits.items()), f"ALLOWED_PEERS={peers}"])


def _pbx(address: AmiAddress) -> str:
    return f"{address.username} at {address}{' by TLS' if address.tls else ''}"


def _transfers(settings: GatewaySettings) -> str:
    policy, keys = settings.control.transfer_policy, settings.control.dtmf_actions
    named = ", ".join(destination.name for destination in policy.named.values()) or "no names"
    extensions = ""
    if policy.extensions is not None:
        extensions = f"; extensions {policy.extensions.pattern} in {', '.join(policy.contexts)}"
    acting = ", ".join(f"{key}={':'.join(filter(None, (a.kind, a.target)))}" for key, a in keys.items())
    return f"{named}{extensions}; keys: {acting or 'none'}"


def _workers(settings: GatewaySettings) -> str:
    if settings.tools.tools_dir is None:
        return ""
    if settings.tools.tools_isolation is ToolsIsolation.PROCESS:
        return f"; TOOLS_DIR in {settings.tools.tools_workers} worker processes"
    return "; TOOLS_DIR in this process"


def _kept(settings: GatewaySettings) -> Iterator[str]:
    recording, flight, ledger = settings.recording, settings.flight, settings.ledger
    if recording.record_dir is not None:
        yield f"a recording of every call in {recording.record_dir} (RECORD_DIR)"
    if flight.flight_dir is not None:
        which = f"FLIGHT_KEEP={flight.flight_keep}"
        yield f"flight recordings, voices included, in {flight.flight_dir} (FLIGHT_DIR, {which})"
    if ledger.call_log is not None:
        yield f"a line for each call in {ledger.call_log} (CALL_LOG)"
    if ledger.history_db is not None:
        yield f"the last {ledger.history_max_calls} calls in {ledger.history_db} (HISTORY_DB)"


def _switches(settings: GatewaySettings) -> Iterator[tuple[str, bool]]:
    yield "AMI (AMI_HOST): no transfers, no caller data", bool(settings.ami.by_place)
    yield "RECORD_DIR", settings.recording.record_dir is not None
    yield "FLIGHT_DIR", settings.flight.flight_dir is not None
    yield "CALL_LOG", settings.ledger.call_log is not None
    yield "HISTORY_DB", settings.ledger.history_db is not None
    yield "HTTP_PORT, HTTP_SOCKET", settings.http.is_on
    yield "TOOLS_DIR", settings.tools.tools_dir is not None
    yield "HOLD_AUDIO", settings.hold_audio.hold_audio is not None
    yield "UUID_SECRET", settings.server.uuid_secret is not None
