"""The composition root: the one module that builds everything from the settings, and takes it down again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import shlex
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from audiosocket_gw.ami.address import AmiAddress
from audiosocket_gw.ami.pbx_pool import PbxPool
from audiosocket_gw.audio.hold_audio import MAX_FILE_BYTES, MAX_S, HoldAudioFile
from audiosocket_gw.call.call import CallContext
from audiosocket_gw.call.log import log_event
from audiosocket_gw.control.actions import Services
from audiosocket_gw.control.settings import ControlSettings
from audiosocket_gw.elevenlabs.agent import AgentLocator
from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.events import CallEvent, Observer
from audiosocket_gw.flight.recorder import FlightRecorder
from audiosocket_gw.log.text import Sentence
from audiosocket_gw.recording.recorder import Recorder
from audiosocket_gw.recording.retention import Limits
from audiosocket_gw.runtime.event_loop import backlog_of
from audiosocket_gw.runtime.load import Load
from audiosocket_gw.runtime.proxies import create_http_client_for_tools, warn_of_unused_proxy
from audiosocket_gw.runtime.ticker import Ticker
from audiosocket_gw.runtime.tls_trust import create_ssl_context
from audiosocket_gw.server.admission import SPARE_CONNECTIONS
from audiosocket_gw.server.listener import AudioSocketServer
from audiosocket_gw.settings import FlightKeep, Settings
from audiosocket_gw.tap import OpenTap
from audiosocket_gw.tools.builtin import load_tools

logger = logging.getLogger("audiosocket_gw.gateway")

MAX_THREADS = 64
OTHER_DESCRIPTORS = 64
"""Files and sockets that are open beside those of calls."""


class Gateway:
    """The gateway as one object: listening while its ``async with`` block runs.

    On leaving the block it takes no new calls, lets those that are up finish within ``DRAIN_TIMEOUT``,
    and ends the rest; `cut_calls` says how many those were.
    """

    def __init__(self, settings: Settings, *, observers: Sequence[Observer] = ()) -> None:
        self._settings = settings
        self._observers = (log_event, *observers)
        self._resources = AsyncExitStack()
        self._server: AudioSocketServer
        self.threads = ThreadPoolExecutor(MAX_THREADS)
        self.cut_calls = 0

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as building:
            self._server = AudioSocketServer(
                self._settings.server, await building.enter_async_context(self._call_context())
            )
            await self._listen()
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
        """Where Asterisk reaches it: host and port."""
        return self._server.address

    @property
    def calls(self) -> int:
        """How many calls are up."""
        return len(self._server.calls)

    # Building

    @asynccontextmanager
    async def _call_context(self) -> AsyncIterator[CallContext]:
        # Host names are looked up in threads, and tools may use them too: too few would keep calls waiting.
        asyncio.get_running_loop().set_default_executor(self.threads)
        settings = self._settings
        ssl_context = create_ssl_context(settings.tls_ca_file)
        async with AsyncExitStack() as stack:
            # No proxy from the environment: the WebSocket couldn't follow it.
            http = await stack.enter_async_context(
                httpx.AsyncClient(
                    verify=ssl_context,
                    timeout=None,
                    trust_env=False,
                    limits=httpx.Limits(max_connections=None),
                )
            )
            # Not the same: slow tools must not keep calls from their agents.
            http_for_tools = await stack.enter_async_context(create_http_client_for_tools(ssl_context))
            warn_of_unused_proxy(settings.elevenlabs_base_url, settings.elevenlabs_agent_url)
            tools = load_tools(settings.tool_timeout, settings.tools_dir)
            logger.info("tools: %s", Sentence(", ".join(tools.names)))
            load = Load(*settings.batch_frames)
            yield CallContext(
                settings=settings.call,
                locator=AgentLocator(settings.elevenlabs, http),
                ssl_context=ssl_context,
                ticker=Ticker(load, backlog_of(asyncio.get_running_loop())),
                load=load,
                hold_audio_file=_hold_audio_file(settings),
                services=Services(_control_settings(settings), tools, http_for_tools),
                pbxs=await stack.enter_async_context(_pbxs(settings)),
                observe=self._observe,
                taps=_taps(settings, stack),
            )

    async def _listen(self) -> None:
        _raise_descriptor_limit(self._settings)
        try:
            await self._server.start()
        except OSError as error:
            raise ConfigurationError(
                f"HOST={self._settings.host!r} PORT={self._settings.port}: can't listen there: "
                f"{error.strerror}. Choose an address of this machine and a free port."
            ) from None
        logger.info("listening for Asterisk on %s:%d", *self.address)

    def _observe(self, event: CallEvent) -> None:
        for observer in self._observers:
            try:
                observer(event)
            except Exception:  # an observer must never harm a call
                logger.exception("an observer failed on %s", type(event).__name__)

    # Taking down

    async def _drain(self) -> None:
        self._server.refuse_new_calls()
        if self.calls:
            logger.info(
                "%d calls are up; they have %g s (DRAIN_TIMEOUT)", self.calls, self._settings.drain_timeout
            )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_timeout):
                await self._server.calls.wait()
        self.cut_calls = self._server.calls.callers
        await self._server.close("the gateway is stopping, and DRAIN_TIMEOUT is over")


def _taps(settings: Settings, stack: AsyncExitStack) -> tuple[OpenTap, ...]:
    """Start the recorders that are wanted."""
    taps: list[OpenTap] = []
    if settings.record_dir is not None:
        limits = _limits(settings.record_max_mb, settings.record_max_days)
        taps.append(stack.enter_context(Recorder(settings.record_dir, limits)).open)
    if settings.flight_dir is not None:
        limits = _limits(settings.flight_max_mb, settings.flight_max_days)
        keep_all = settings.flight_keep is FlightKeep.ALL
        flights = FlightRecorder(settings.flight_dir, keep_all=keep_all, limits=limits)
        taps.append(stack.enter_context(flights).open)
    return tuple(taps)


def _hold_audio_file(settings: Settings) -> HoldAudioFile | None:
    if settings.hold_audio is None:
        return None
    return load_hold_audio(settings.hold_audio, settings.hold_audio_gain_db)


def load_hold_audio(path: Path, gain_db: float = 0.0) -> HoldAudioFile:
    """Read the file that ``HOLD_AUDIO`` names: once, when the gateway starts.

    Raises:
        ConfigurationError: it can't be read or used; the message has the command that converts it.
    """
    try:
        with path.open("rb") as stream:
            file = stream.read(MAX_FILE_BYTES + 1)
        if len(file) > MAX_FILE_BYTES:
            raise ValueError(f"it has more than {MAX_FILE_BYTES // 2**20} MB")
        return HoldAudioFile.parse(file, gain_db)
    except OSError as error:
        raise ConfigurationError(f"HOLD_AUDIO={path}: {error.strerror}") from None
    except ValueError as error:
        source, target = shlex.quote(str(path)), shlex.quote(f"{path.stem}-16000.wav")
        raise ConfigurationError(
            f"HOLD_AUDIO={path}: {error}; convert it: "
            f"sox {source} -r 16000 -c 1 -b 16 -e signed-integer {target} trim 0 {MAX_S}"
        ) from None


def _control_settings(settings: Settings) -> ControlSettings:
    return ControlSettings(
        settings.transfer_policy, settings.mcp_approval, settings.dtmf_actions, settings.dtmf_timeout
    )


def _limits(megabytes: int, days: float) -> Limits:
    return Limits(max_bytes=megabytes * 1_000_000 or None, max_age=timedelta(days=days) if days else None)


def ami_address(settings: Settings, place: str) -> AmiAddress:
    """Return how to log in at ``place``: ``AMI_HOST`` or one of ``AMI_HOSTS``, with or without a port."""
    assert settings.ami_password is not None, "Settings has checked this"
    host, _, port = place.partition(":")
    return AmiAddress(
        host,
        settings.ami_username,
        settings.ami_password,
        port=int(port or settings.ami_port),
        md5=settings.ami_md5,
        tls=settings.ami_tls,
        tls_ca_file=settings.ami_tls_ca_file,
        tls_name=settings.ami_tls_name,
    )


def _pbxs(settings: Settings) -> PbxPool:
    common = ami_address(settings, settings.ami_host) if settings.ami_host else None
    listed = [ami_address(settings, place) for place in settings.ami_hosts]
    for address in filter(None, (common, *listed)):
        address.ssl_context()  # a bad AMI_TLS_CA_FILE is told now
    return PbxPool(common, listed)


def _raise_descriptor_limit(settings: Settings) -> None:
    """Let the process open the two sockets that each call needs, and the files that are written of it.

    Raises:
        ConfigurationError: the hard limit doesn't allow that many.
    """
    max_calls = settings.max_calls
    each = 2 + 2 * (settings.record_dir is not None) + (settings.flight_dir is not None)
    needed = each * max_calls + SPARE_CONNECTIONS + OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise ConfigurationError(
            f"MAX_CALLS={max_calls}: needs {needed} open files, this process may have {hard}. "
            "Lower MAX_CALLS, or raise the limit (ulimit -Hn, or LimitNOFILE= in the systemd unit)."
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
