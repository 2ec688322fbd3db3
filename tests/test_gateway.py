"""The gateway as a process: signals, draining, exit status, and settings that can't work."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from audiosocket_gw import events
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.gateway import Gateway
from audiosocket_gw.ledger import minute
from audiosocket_gw.protocol.audiosocket import Hangup
from audiosocket_gw.resources import find_faults
from audiosocket_gw.runtime.descriptors import ROOM
from audiosocket_gw.settings import AgentKind, GatewaySettings, Settings
from tests.harness.asterisk_peer import AsteriskPeer
from tests.harness.audio import ramp
from tests.harness.gateway import running_gateway
from tests.harness.gateway_process import gateway_process
from tests.harness.waiting import until

embedded = partial(gateway_process, "--agent", "simulator")


async def test_the_embedded_agent_answers_a_call() -> None:
    async with embedded() as gateway, await AsteriskPeer.open(gateway.address) as line:
        line.identify()
        await line.hears_ms(100)


async def test_a_signal_without_calls_ends_with_status_0() -> None:
    async with embedded() as gateway:
        gateway.send(signal.SIGTERM)
        assert await gateway.status() == 0


async def test_a_signal_lets_running_calls_finish_and_takes_no_new_ones() -> None:
    async with embedded() as gateway, await AsteriskPeer.open(gateway.address) as line:
        line.identify()
        await until(lambda: len(line.frames), lambda count: count >= 5)
        gateway.send(signal.SIGTERM)
        with pytest.raises(ConnectionRefusedError):
            while True:
                await (await AsteriskPeer.open(gateway.address)).__aexit__()
                await asyncio.sleep(0.02)
        before = len(line.frames)
        await until(lambda: len(line.frames), lambda count: count >= before + 10)
        line.writer.close()
        assert await gateway.status() == 0


async def test_calls_that_outlive_the_drain_timeout_are_ended_politely_with_status_1() -> None:
    async with (
        embedded(DRAIN_TIMEOUT="0.3") as gateway,
        await AsteriskPeer.open(gateway.address) as line,
    ):
        line.identify()
        await until(lambda: line.frames)
        gateway.send(signal.SIGINT)
        await line.ended.wait()
        assert line.hung_up and not line.reset
        line.writer.close()
        assert await gateway.status() == 1


async def test_a_second_signal_ends_at_once() -> None:
    async with (
        embedded(DRAIN_TIMEOUT="600") as gateway,
        await AsteriskPeer.open(gateway.address) as line,
    ):
        line.identify()
        await until(lambda: line.frames)
        gateway.send(signal.SIGTERM)
        await gateway.logs("stopping")
        gateway.send(signal.SIGTERM)
        assert await gateway.status() == 128 + signal.SIGTERM


async def test_the_last_words_of_a_drained_call() -> None:
    async with running_gateway(drain_timeout=0) as harness:
        line, _ = await harness.call()
        waiting = await harness.line()  # connected, and without a UUID yet
        await asyncio.sleep(0.05)
    assert line.hung_up and not line.reset
    assert waiting.frames == [Hangup()]
    assert (await harness.wait_for(events.CallEnded)).reason is EndReason.DRAINED
    assert harness.gateway.cut_calls == 1
    await line.__aexit__()
    await waiting.__aexit__()


async def test_a_call_that_ends_while_draining_is_not_cut() -> None:
    async with running_gateway(drain_timeout=30) as harness:
        line, agent = await harness.call()
        await agent.send_audio(ramp(300))
        asyncio.get_running_loop().create_task(agent.connection.close(1000))
    assert ramp(300) in line.heard
    assert harness.gateway.cut_calls == 0
    await line.__aexit__()


async def test_a_port_that_is_taken_is_a_configuration_error() -> None:
    async with running_gateway() as harness:
        _, port = harness.gateway.address
        with pytest.raises(ConfigurationError, match=f"PORT={port}.*in use"):
            async with Gateway(GatewaySettings.of(Settings(elevenlabs_agent_id="agent", port=port))):
                pass


async def test_settings_that_do_not_fit_together_are_a_configuration_error() -> None:
    settings = Settings(port=0, ami_host="pbx")
    with pytest.raises(ConfigurationError) as caught:
        async with Gateway(GatewaySettings.of(settings)):
            pass
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        "no agent is set",
        "AMI_HOST is set, AMI_PASSWORD is not",
    ]


async def test_an_embedded_agent_is_not_the_gateways_to_start() -> None:
    with pytest.raises(ConfigurationError, match="AGENT=simulator"):
        async with Gateway(GatewaySettings.of(Settings(agent=AgentKind.SIMULATOR, port=0))):
            pass


async def test_too_many_calls_for_the_file_limit_is_a_configuration_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 512))
    with pytest.raises(ConfigurationError, match=r"MAX_CALLS=500, 2 open files a call .*: needs 1184"):
        async with Gateway(GatewaySettings.of(Settings(elevenlabs_agent_id="agent", port=0))):
            pass


@pytest.mark.parametrize(
    ("more", "each"),
    [
        ({}, 2),
        ({"elevenlabs_api_key": "key"}, 3),
        ({"elevenlabs_api_key": "key", "elevenlabs_agent_url": "https://agents.example"}, 4),
        ({"record_dir": "calls", "flight_dir": "flights"}, 5),
    ],
)
async def test_every_socket_and_file_of_a_call_is_counted(
    more: dict[str, Any], each: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 600))
    settings = GatewaySettings.of(Settings(elevenlabs_agent_id="agent", port=0, max_calls=1_000, **more))
    (fault,) = await find_faults(settings)
    assert f"MAX_CALLS=1000, {each} open files a call and 184 others: needs {each * 1_000 + 184} " in fault


@pytest.mark.parametrize(("more", "others"), [({"http_port": 0}, 248), ({"http_socket": "gw.sock"}, 248)])
async def test_the_connections_of_http_are_counted(
    more: dict[str, Any], others: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 600))
    settings = GatewaySettings.of(Settings(elevenlabs_agent_id="agent", port=0, **more))
    faults = await find_faults(settings)
    assert [f"{others} others: needs" in fault for fault in faults] == [True]


@pytest.mark.parametrize(
    ("hard", "wanted"), [(4_096, 4_096), (1_048_576, ROOM), (resource.RLIM_INFINITY, ROOM)]
)
async def test_the_file_limit_is_raised(hard: int, wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: raised.append(limits))
    async with Gateway(GatewaySettings.of(Settings(elevenlabs_agent_id="agent", port=0))):
        assert raised == [(wanted, hard)]


async def test_a_line_a_minute_tells_how_it_goes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(minute, "PERIOD_S", 0.2)
    caplog.set_level(logging.INFO, logger="audiosocket_gw.ledger")
    async with running_gateway() as harness:
        line, _ = await harness.call()
        async with line:
            await until(lambda: "calls=1 started=1 ended=0 turns=0" in caplog.text)
        await harness.wait_for_calls(0)
        await until(lambda: "calls=0 started=0 ended=1" in caplog.text)
    assert "ended: caller-hangup 1; 0 calls, " in caplog.text
