"""Replays a recorded call into a gateway in this process, or into one that runs elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from uuid import uuid4

from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.events import CallEnded, CallEvent, CallStarted
from audiosocket_gw.flight.call_trace import CallTrace
from audiosocket_gw.flight.format import HeardFrame
from audiosocket_gw.gateway import Gateway
from audiosocket_gw.settings import GatewaySettings, Settings
from audiosocket_gw.testing.replay.comparison import Comparison, compare
from audiosocket_gw.testing.replay.replayed_agent import ReplayedAgent
from audiosocket_gw.testing.replay.replayed_caller import ReplayedCaller

PATIENCE_S = 15.0
"""How much later than recorded the end may come, as after a closing handshake or a stalled connection."""

Watch = Callable[[CallEvent], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a replay; ``ended`` is None if it had to be stopped."""

    ended: CallEnded | None
    heard: tuple[HeardFrame, ...]
    audio: Comparison


@dataclass(frozen=True, slots=True)
class RemoteOutcome:
    """The result of a replay into another gateway."""

    gateway_hung_up: bool
    heard: tuple[HeardFrame, ...]
    after_s: float


async def replay(
    trace: CallTrace, settings: GatewaySettings, watch: Watch, *, run_tools: bool = False
) -> Outcome:
    """Play the call into a gateway in this process, between the recorded agent and the recorded caller.

    ``watch`` receives every event. ``run_tools``: run the tools of ``TOOLS_DIR``, with real effects.

    Raises:
        FlightError: the recording holds what can't be played.
        ConfigurationError: the gateway can't be started.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[CallEnded] = loop.create_future()
    started: asyncio.Future[float] = loop.create_future()
    in_time = True

    def observe(event: CallEvent) -> None:
        if isinstance(event, CallStarted):
            agent.begin(event.at)
            started.set_result(event.at)
        watch(event)
        if isinstance(event, CallEnded):
            ended.set_result(event)

    async with (
        ReplayedAgent(trace) as agent,
        AsyncExitStack() as line,
        Gateway(_settings(settings, agent, trace, run_tools), observers=[observe]) as gateway,
    ):
        caller = ReplayedCaller(trace, gateway.address, trace.start.uuid)
        await line.enter_async_context(caller)
        await caller.play(await started)
        if trace.end is None or trace.end.reason is not EndReason.DRAINED:
            await asyncio.wait((ended,), timeout=PATIENCE_S + settings.agent.agent_connect_timeout)
            in_time = ended.done()
            caller.hang_up()
        # Otherwise the gateway is stopped during the call, as by SIGTERM.
    heard = tuple(caller.heard)
    return Outcome(ended.result() if in_time else None, heard, _compare(trace, heard))


async def replay_into(trace: CallTrace, address: tuple[str, int]) -> RemoteOutcome:
    """Play the caller into a gateway that runs elsewhere, with its own agent, under a new UUID.

    Raises:
        FlightError: the recording holds what can't be played.
        OSError: the gateway can't be reached.
    """
    async with ReplayedCaller(trace, address, uuid4()) as caller:
        await caller.play(caller.started_at)
        await asyncio.wait((caller.hung_up_on,), timeout=PATIENCE_S)
        caller.read_on()
        await asyncio.wait((caller.hung_up_on,), timeout=1)
        after_s = asyncio.get_running_loop().time() - caller.started_at
        return RemoteOutcome(caller.gateway_hung_up, tuple(caller.heard), after_s)


def _settings(
    settings: GatewaySettings, agent: ReplayedAgent, trace: CallTrace, run_tools: bool
) -> GatewaySettings:
    """Return settings for a gateway that connects only to the replayed agent.

    It uses those of ``settings`` that shape a call; all others have their defaults, so that a replay has no
    outside effects.
    """
    by_url = trace.end is not None and trace.end.reason is EndReason.AGENT_URL_FAILED
    defaults = GatewaySettings.of(
        Settings(
            elevenlabs_agent_id="replay",
            elevenlabs_agent_url=agent.base_url if by_url else None,
            elevenlabs_base_url=agent.base_url,
            agent_url_timeout=settings.agent.agent_url_timeout,
            agent_connect_timeout=settings.agent.agent_connect_timeout,
            host="127.0.0.1",
            port=0,
            max_calls=1,
            refuse_overload=False,
            drain_timeout=0.0,
        )
    )
    return replace(
        defaults,
        call=replace(settings.call, require_ami_match=False),  # there is no PBX to ask
        control=settings.control,
        tools=settings.tools if run_tools else replace(settings.tools, tools_dir=None),
        hold_audio=settings.hold_audio,
        load=settings.load,
    )


def _compare(trace: CallTrace, heard: tuple[HeardFrame, ...]) -> Comparison:
    """Compare the audio to the caller, for frames of the recorded call's last kind."""
    if trace.end is None:  # what came after the recording broke off can't be compared
        heard = tuple(frame for frame in heard if frame.at_us <= trace.duration_us)
    kind = trace.heard[-1].kind if trace.heard else None
    return compare(
        (frame.audio for frame in trace.heard if frame.kind is kind),
        (frame.audio for frame in heard if frame.kind is kind),
        trace.heard_format,
    )
