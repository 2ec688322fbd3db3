"""The composition root: builds everything from the settings, and shuts it down."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

from audiosocket_gw.ami.pbx_pool import PbxPool
from audiosocket_gw.call.call import Call
from audiosocket_gw.call.context import CallContext
from audiosocket_gw.call.log import log_event
from audiosocket_gw.call.setups import Setups
from audiosocket_gw.control.actions import Services
from audiosocket_gw.elevenlabs.agent import AgentLocator
from audiosocket_gw.errors import ConfigurationError, Faults
from audiosocket_gw.events import CallEvent, Observer
from audiosocket_gw.http_api.call_pages import PageSources
from audiosocket_gw.http_api.server import HttpServer
from audiosocket_gw.http_api.surface import Surface, endpoints
from audiosocket_gw.ledger.archive import Archive
from audiosocket_gw.ledger.ended_line import log_ended
from audiosocket_gw.ledger.ledger import Ledger
from audiosocket_gw.ledger.minute import MinuteLines
from audiosocket_gw.metrics.metrics import Metrics
from audiosocket_gw.metrics.process import ProcessFigures
from audiosocket_gw.resources import Opened, naming_address, open_resources
from audiosocket_gw.runtime.core_time import core_time_of
from audiosocket_gw.runtime.event_loop import backlog_of
from audiosocket_gw.runtime.http_client import create_http_client
from audiosocket_gw.runtime.load import Load
from audiosocket_gw.runtime.load_figures import LoadFigures
from audiosocket_gw.runtime.loop_budget import LoopBudget
from audiosocket_gw.runtime.proxies import create_http_client_for_tools, warn_of_unused_proxy
from audiosocket_gw.runtime.ticker import Ticker
from audiosocket_gw.server.figures import figures_of
from audiosocket_gw.server.listener import AudioSocketServer
from audiosocket_gw.settings import GatewaySettings
from audiosocket_gw.settings.start_report import start_report, switched_off
from audiosocket_gw.tools import ToolRegistry
from audiosocket_gw.tools.workers import opened_tools

logger = logging.getLogger("audiosocket_gw.gateway")

MAX_THREADS = 64


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
        self._tools: ToolRegistry
        self._close_current_tools = AsyncExitStack()
        self._retiring: dict[asyncio.Task[None], AsyncExitStack] = {}
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

    def calls_up(self) -> tuple[Call, ...]:
        """Return the calls in progress, the oldest first."""
        return tuple(self._server.calls)

    def load_figures(self) -> LoadFigures:
        """Return what was measured of the load."""
        return self._server.context.load.figures()

    @property
    def tool_names(self) -> tuple[str, ...]:
        """The tools of new calls."""
        return self._tools.names

    async def reload(self, settings: GatewaySettings) -> None:
        """Take over the settings of tools, transfers, keys and ``ALLOWED_PEERS``; read the tools again.

        New calls use them. Calls in progress keep the tools and settings that they began with; these tools
        are closed when the last of the calls is over.

        Raises:
            ConfigurationError: nothing has changed; the message has a line for each fault.
        """
        faults = Faults()
        faults.add(*settings.conflicts(), *settings.server.exposure())
        async with AsyncExitStack() as opening:
            with faults.collected():
                opened = opened_tools(settings.tools, self._settings.tls_ca_file, in_thread=True)
                tools = await opening.enter_async_context(opened)
            faults.raise_if_any()
            self._tools = tools
            before, self._close_current_tools = self._close_current_tools, opening.pop_all()
        context = self._server.context
        services = replace(context.services, settings=settings.control, tools=tools)
        calls_over = self._server.renew(settings.server.allowed_peers, replace(context, services=services))
        retiring = asyncio.get_running_loop().create_task(_close_after(calls_over, before))
        self._retiring[retiring] = before
        retiring.add_done_callback(self._retiring.pop)

    async def _close_tools(self) -> None:
        retiring = self._retiring.copy()
        for task in retiring:
            task.cancel()
        if retiring:
            await asyncio.wait(retiring)
        for tools in (*retiring.values(), self._close_current_tools):
            await tools.aclose()

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
            self._tools, self._close_current_tools = opened.tools, opened.close_tools
            stack.push_async_callback(self._close_tools)
            self.archive = opened.archive
            self.ledger.follow(self.archive.follow)
            self.metrics = Metrics(partial(self._figures, opened), lambda: self.tool_names)
            self.ledger.follow(self.metrics.follow)
            minutes = MinuteLines(lambda: self.calls, self.load_figures)
            self.ledger.follow(minutes.follow)
            stack.callback(minutes.close)
            if settings.embedded_agent:
                raise ConfigurationError("AGENT=simulator: the command `serve` alone has an embedded agent")
            http = await stack.enter_async_context(create_http_client(opened.ssl_context))
            # A separate client: slow tools must not delay the connections to agents.
            http_for_tools = await stack.enter_async_context(create_http_client_for_tools(opened.ssl_context))
            warn_of_unused_proxy(settings.agent.elevenlabs_base_url, settings.agent.elevenlabs_agent_url)
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
        with naming_address(self._settings.server):
            await self._server.start()
        for line in start_report(self._settings, self.tool_names):
            logger.info(line)
        logger.info("listening for Asterisk on %s:%d", *self.address)

    async def _serve_http(self, stack: AsyncExitStack) -> None:
        """Serve HTTP, if it is on, until the calls have ended: a drain can be watched."""
        settings = self._settings
        if settings.http.is_on:
            pages = PageSources(
                settings.flight.flight_dir,
                settings.recording.record_dir,
                settings.ledger.caller_numbers,
                settings.http.http_transcripts,
            )
            surface = Surface(
                server=self._server,
                ledger=self.ledger,
                archive=self.archive,
                metrics=self.metrics,
                caller_numbers=settings.ledger.caller_numbers,
                settings=settings.http,
                pages=pages,
                plan_concurrency=settings.metrics.plan_concurrency,
                off=switched_off(settings),
            )
            self._http = await stack.enter_async_context(HttpServer(settings.http, endpoints(surface)))
            stack.callback(self.ledger.close)  # first, so that streams of events end

    def _observe(self, event: CallEvent) -> None:
        for observer in self._observers:
            try:
                observer(event)
            except Exception:  # an observer must never harm a call
                logger.exception("an observer failed on %s", type(event).__name__)

    def _figures(self, opened: Opened) -> ProcessFigures:
        failures = {name: recorder.failures.count for name, recorder in opened.recorders.items()}
        failures |= opened.archive.losses
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


async def _close_after(calls_over: Coroutine[None, None, None], tools: AsyncExitStack) -> None:
    await calls_over
    await tools.aclose()
