"""What a gateway reads and opens before it accepts calls, with all faults of it in one message."""

from __future__ import annotations

import asyncio
import shlex
import ssl
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from audiosocket_gw.audio.hold_audio import MAX_FILE_BYTES, MAX_S, HoldAudioFile
from audiosocket_gw.call.settings import HoldAudioSettings
from audiosocket_gw.errors import ConfigurationError, Faults
from audiosocket_gw.flight.recorder import FlightRecorder
from audiosocket_gw.flight.settings import FlightKeep
from audiosocket_gw.http_api.server import MAX_CONNECTIONS, try_to_listen
from audiosocket_gw.ledger.archive import Archive
from audiosocket_gw.recording.recorder import Recorder
from audiosocket_gw.runtime.descriptors import raise_descriptor_limit
from audiosocket_gw.runtime.http_client import MAX_KEPT_ALIVE
from audiosocket_gw.runtime.tls_trust import create_ssl_context
from audiosocket_gw.server.admission import SPARE_CONNECTIONS
from audiosocket_gw.server.settings import ServerSettings
from audiosocket_gw.settings import GatewaySettings
from audiosocket_gw.tools import ToolRegistry
from audiosocket_gw.tools.workers import opened_tools

OTHER_DESCRIPTORS = 64 + MAX_KEPT_ALIVE
"""Open files and sockets in addition to those of calls."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The resources that a gateway reads and opens before it accepts calls."""

    ssl_context: ssl.SSLContext
    tools: ToolRegistry
    close_tools: AsyncExitStack
    hold_audio_file: HoldAudioFile | None
    archive: Archive
    recorders: Mapping[str, Recorder | FlightRecorder]
    """By what they write."""


async def open_resources(settings: GatewaySettings, stack: AsyncExitStack) -> Opened:
    """Read the files and open the folders that the settings name; ``stack`` closes them.

    Raises:
        ConfigurationError: a gateway can't be started with these settings; the message has a line for each
            fault.
    """
    faults = Faults()
    faults.add(*settings.conflicts(), *settings.server.exposure(), *settings.http.exposure())
    with faults.collected():
        _raise_descriptor_limit(settings)
    with faults.collected(), naming_address(settings.server):
        await _try_to_listen(settings.server)
    with faults.collected():
        await try_to_listen(settings.http)
    with faults.collected():
        ssl_context = create_ssl_context(settings.tls_ca_file)
    for address in settings.ami.by_place.values():
        with faults.collected():
            address.ssl_context()
    with faults.collected():
        close_tools = await stack.enter_async_context(AsyncExitStack())
        tools = await close_tools.enter_async_context(opened_tools(settings.tools, settings.tls_ca_file))
    with faults.collected():
        hold_audio_file = _hold_audio_file(settings.hold_audio)
    recorders = dict(_recorders(settings))
    for recorder in recorders.values():
        with faults.collected():
            stack.enter_context(recorder)
    with faults.collected():
        archive = stack.enter_context(Archive(settings.ledger))
    faults.raise_if_any()
    return Opened(ssl_context, tools, close_tools, hold_audio_file, archive, recorders)


async def find_faults(settings: GatewaySettings) -> list[str]:
    """Return the faults that prevent a start with these settings, a line for each.

    Nothing is removed from ``RECORD_DIR`` and ``FLIGHT_DIR``: their limits may be defaults here, in place of
    invalid values.
    """
    settings = replace(
        settings,
        recording=replace(settings.recording, record_max_mb=0, record_max_days=0),
        flight=replace(settings.flight, flight_max_mb=0, flight_max_days=0),
    )
    try:
        async with AsyncExitStack() as stack:
            await open_resources(settings, stack)
    except ConfigurationError as error:
        return str(error).splitlines()
    return []


def _hold_audio_file(settings: HoldAudioSettings) -> HoldAudioFile | None:
    if settings.hold_audio is None:
        return None
    return load_hold_audio(settings.hold_audio, settings.hold_audio_gain_db)


def load_hold_audio(path: Path, gain_db: float = 0.0) -> HoldAudioFile:
    """Read the file ``HOLD_AUDIO``, once, when the gateway starts.

    Raises:
        ConfigurationError: the file can't be read or used; the message has the command that converts it.
    """
    try:
        with path.open("rb") as stream:
            file = stream.read(MAX_FILE_BYTES + 1)
        if len(file) > MAX_FILE_BYTES:
            raise ValueError(f"it has more than {MAX_FILE_BYTES // 2**20} MB")
        return HoldAudioFile.parse(file, gain_db)
    except OSError as error:
        raise ConfigurationError(
            f"HOLD_AUDIO={path}: {error.strerror}. Name a WAV file that the gateway's user may read."
        ) from None
    except ValueError as error:
        source, target = shlex.quote(str(path)), shlex.quote(f"{path.stem}-16000.wav")
        raise ConfigurationError(
            f"HOLD_AUDIO={path}: {error}; convert it: "
            f"sox {source} -r 16000 -c 1 -b 16 -e signed-integer {target} trim 0 {MAX_S}"
        ) from None


def _recorders(settings: GatewaySettings) -> Iterator[tuple[str, Recorder | FlightRecorder]]:
    recording, flight = settings.recording, settings.flight
    if recording.record_dir is not None:
        yield "recording", Recorder(recording.record_dir, recording.limits)
    if flight.flight_dir is not None:
        keep_all = flight.flight_keep is FlightKeep.ALL
        yield "flight", FlightRecorder(flight.flight_dir, keep_all=keep_all, limits=flight.limits)


@contextmanager
def naming_address(settings: ServerSettings) -> Iterator[None]:
    """Turn an error of listening into one that names the settings."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"HOST={settings.host!r} PORT={settings.port}: can't listen there: "
            f"{error.strerror}. Choose an address of this machine and a free port."
        ) from None


async def _try_to_listen(settings: ServerSettings) -> None:
    """Raises: OSError: the address can't be listened on. No connection is accepted."""
    listener = await asyncio.get_running_loop().create_server(
        asyncio.Protocol, settings.host, settings.port, start_serving=False
    )
    listener.close()


def _raise_descriptor_limit(settings: GatewaySettings) -> None:
    """Raise the limit of open files to what the calls need.

    Each has its two sockets, and while it is set up also those of the requests for a signed URL and to the
    agent URL: all calls may be set up at the same time.

    Raises:
        ConfigurationError: the hard limit doesn't allow that many.
    """
    agent = settings.agent
    each = 2 + (agent.elevenlabs_api_key is not None) + (agent.elevenlabs_agent_url is not None)
    each += 2 * (settings.recording.record_dir is not None) + (settings.flight.flight_dir is not None)
    max_calls = settings.server.max_calls
    http_ports = (settings.http.http_port is not None) + (settings.http.http_socket is not None)
    others = SPARE_CONNECTIONS + OTHER_DESCRIPTORS + MAX_CONNECTIONS * http_ports
    raise_descriptor_limit(
        each * max_calls + others, f"MAX_CALLS={max_calls}, {each} open files a call and {others} others"
    )
