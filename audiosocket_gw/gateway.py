"""The composition root: builds everything from the settings, and shuts it down."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shlex
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from audiosocket_gw.ami.pbx_pool import PbxPool
from audiosocket_gw.audio.hold_audio import MAX_FILE_BYTES, MAX_S, HoldAudioFile
from audiosocket_gw.call.context import CallContext
from audiosocket_gw.call.log import log_event
from audiosocket_gw.call.settings import HoldAudioSettings
from audiosocket_gw.call.setups import Setups
from audiosocket_gw.control.actions import Services
from audiosocket_gw.elevenlabs.agent import AgentLocator
from audiosocket_gw.errors import ConfigurationError, Faults
from audiosocket_gw.events import CallEvent, Observer
from audiosocket_gw.flight.recorder import FlightRecorder
from audiosocket_gw.flight.settings import FlightKeep
from audiosocket_gw.http_api.server import HttpServer, try_to_listen
from audiosocket_gw.http_api.surface import endpoints
from audiosocket_gw.ledger.archive import Archive
from audiosocket_gw.ledger.ended_line import log_ended
from audiosocket_gw.ledger.ledger import Ledger
from audiosocket_gw.log.text import Sentence
from audiosocket_gw.metrics.metrics import Metrics
from audiosocket_gw.metrics.process import ProcessFigures
from audiosocket_gw.recording.recorder import Recorder
from audiosocket_gw.runtime.core_time import core_time_of
from audiosocket_gw.runtime.descriptors import raise_descriptor_limit
from audiosocket_gw.runtime.event_loop import backlog_of
from audiosocket_gw.runtime.http_client import MAX_KEPT_ALIVE, create_http_client
from audiosocket_gw.runtime.load import Load
from audiosocket_gw.runtime.loop_budget import LoopBudget
from audiosocket_gw.runtime.proxies import create_http_client_for_tools, warn_of_unused_proxy
from audiosocket_gw.runtime.ticker import Ticker
from audiosocket_gw.runtime.tls_trust import create_ssl_context
from audiosocket_gw.server.admission import SPARE_CONNECTIONS
from audiosocket_gw.server.figures import figures_of
from audiosocket_gw.server.listener import AudioSocketServer
from audiosocket_gw.server.settings import ServerSettings
from audiosocket_gw.settings import GatewaySettings
from audiosocket_gw.tools import ToolRegistry
from audiosocket_gw.tools.workers import opened_tools

logger = logging.getLogger("audiosocket_gw.gateway")

MAX_THREADS = 64
OTHER_DESCRIPTORS = 64 + MAX_KEPT_ALIVE
"""Open files and sockets in addition to those of calls."""


class Gateway:
    """The gateway as one object: listening while its ``async with`` block runs.

    At the end of the block it rejects new calls, lets calls in progress finish within ``DRAIN_TIMEOUT``, and
    ends the others, which `cut_calls` counts.
    """

    def __init__(self, settings: GatewaySettings, *, observers: Sequence[Observer] = ()) -> None:
        self._settings = settings
        self.ledger = Ledger([log_ended])
        self._observers = (log_event, self.ledger.observe, *observers)
        self._resources = AsyncExitStack()
        self._server: AudioSocketServer
        self.archive: Archive
        self.metrics: Metrics
        self._http: HttpServer | None = None
        self.threads = ThreadPoolExecutor(MAX_THREADS)
        self.cut_calls = 0

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as building:
            self._server = AudioSocketServer(
                self._settings.server, await building.enter_async_context(self._call_context())
            )
            await self._listen()
            await self._serve_http(building)
            building.push_async_callback(self._drain)
            self._resources = building.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._resources.aclose()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the listener."""
        return self._server.address

    @property
    def http_address(self) -> tuple[str, int] | None:
        """Host and port of the HTTP surface, if it has any."""
        return self._http.address if self._http is not None else None

    @property
    def calls(self) -> int:
        """The number of calls in progress."""
        return len(self._server.calls)

    # Building

    @asynccontextmanager
    async def _call_context(self) -> AsyncIterator[CallContext]:
        # Threads for host look-ups; with too few, calls would wait. Tools have their own (`Bulkhead`).
        loop = asyncio.get_running_loop()
        loop.set_default_executor(self.threads)
        settings = self._settings
        async with AsyncExitStack() as stack:
            stack.callback(self.ledger.close)
            opened = await open_resources(settings, await stack.enter_async_context(AsyncExitStack()))
            self.archive = opened.archive
            self.ledger.follow(self.archive.follow)
            self.metrics = Metrics(partial(self._figures, opened), lambda: opened.tools.names)
            self.ledger.follow(self.metrics.follow)
            if settings.embedded_agent:
                raise ConfigurationError("AGENT=simulator: the command `serve` alone has an embedded agent")
            http = await stack.enter_async_context(create_http_client(opened.ssl_context))
            # A separate client: slow tools must not delay the connections to agents.
            http_for_tools = await stack.enter_async_context(create_http_client_for_tools(opened.ssl_context))
            warn_of_unused_proxy(settings.agent.elevenlabs_base_url, settings.agent.elevenlabs_agent_url)
            logger.info("tools: %s", Sentence(", ".join(opened.tools.names)))
            core_time = stack.enter_context(core_time_of(loop))
            load = Load(settings.load.least_frames, settings.load.most_frames, core_time)
            pbxs = PbxPool(settings.ami.common, settings.ami.listed, on_action=self.metrics.count_action)
            yield CallContext(
                settings=settings.call,
                locator=AgentLocator(settings.agent, http),
                ssl_context=opened.ssl_context,
                ticker=Ticker(load, backlog_of(loop)),
                load=load,
                setups=Setups(load, may_reject=settings.server.refuse_overload),
                agent_budget=LoopBudget(loop),
                hold_audio_file=opened.hold_audio_file,
                services=Services(settings.control, opened.tools, http_for_tools),
                pbxs=await stack.enter_async_context(pbxs),
                observe=self._observe,
                taps=tuple(recorder.open for recorder in opened.recorders.values()),
            )

    async def _listen(self) -> None:
        with _naming_address(self._settings.server):
            await self._server.start()
        logger.info("listening for Asterisk on %s:%d", *self.address)

    async def _serve_http(self, stack: AsyncExitStack) -> None:
        """Serve HTTP, if it is on, until the calls have ended: a drain can be watched."""
        settings = self._settings
        if settings.http.is_on:
            served = endpoints(self._server, self.ledger, settings.ledger, settings.http)
            self._http = await stack.enter_async_context(HttpServer(settings.http, served))
            stack.callback(self.ledger.close)  # first, so that streams of events end

    def _observe(self, event: CallEvent) -> None:
        for observer in self._observers:
            try:
                observer(event)
            except Exception:  # an observer must never harm a call
                logger.exception("an observer failed on %s", type(event).__name__)

    def _figures(self, opened: Opened) -> ProcessFigures:
        failures = {name: recorder.failures.count for name, recorder in opened.recorders.items()}
        plan_concurrency = self._settings.metrics.plan_concurrency
        return figures_of(self._server, self.ledger.live(), failures, plan_concurrency)

    # Taking down

    async def _drain(self) -> None:
        self._server.refuse_new_calls()
        if self.calls:
            logger.info(
                "%d calls in progress have %g s to finish (DRAIN_TIMEOUT)",
                self.calls,
                self._settings.server.drain_timeout,
            )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.server.drain_timeout):
                await self._server.calls.wait()
        self.cut_calls = self._server.calls.callers
        await self._server.close("the gateway is stopping, and DRAIN_TIMEOUT is over")


@dataclass(frozen=True, slots=True)
class Opened:
    """The resources that a gateway reads and opens before it accepts calls."""

    ssl_context: ssl.SSLContext
    tools: ToolRegistry
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
    with faults.collected(), _naming_address(settings.server):
        await _try_to_listen(settings.server)
    with faults.collected():
        await try_to_listen(settings.http)
    with faults.collected():
        ssl_context = create_ssl_context(settings.tls_ca_file)
    for address in settings.ami.by_place.values():
        with faults.collected():
            address.ssl_context()
    with faults.collected():
        tools = await stack.enter_async_context(opened_tools(settings.tools, settings.tls_ca_file))
    with faults.collected():
        hold_audio_file = _hold_audio_file(settings.hold_audio)
    recorders = dict(_recorders(settings))
    for recorder in recorders.values():
        with faults.collected():
            stack.enter_context(recorder)
    with faults.collected():
        archive = stack.enter_context(Archive(settings.ledger))
    faults.raise_if_any()
    return Opened(ssl_context, tools, hold_audio_file, archive, recorders)


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
def _naming_address(settings: ServerSettings) -> Iterator[None]:
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
    others = SPARE_CONNECTIONS + OTHER_DESCRIPTORS
    raise_descriptor_limit(
        each * max_calls + others, f"MAX_CALLS={max_calls}, {each} open files a call and {others} others"
    )
