"""The command ``originate``: what it rings, what it refuses to, and what it says of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from audiosocket_gw.ami.address import AmiAddress
from audiosocket_gw.commands import cli
from audiosocket_gw.commands.cli import main
from audiosocket_gw.commands.originate import OutboundCall, run_originate
from audiosocket_gw.errors import EXIT_CONFIGURATION, ConfigurationError
from audiosocket_gw.settings import Settings
from tests.harness.fake_asterisk import PASSWORD, FakeAsterisk, fake_asterisk

ALLOWED = Settings().originate_channels
TO_AGENT = OutboundCall("PJSIP/1001", "5001", "phones")

ANSWERED = (
    "Response: Success\nMessage: Originate successfully queued\n\n"
    "Event: OriginateResponse\nResponse: Success\nChannel: PJSIP/1001-00000001\nUniqueid: 7.1"
)
BUSY = (
    "Response: Success\nMessage: Originate successfully queued\n\n"
    "Event: OriginateResponse\nResponse: Failure\nChannel: PJSIP/1001\nReason: 5"
)


@asynccontextmanager
async def pbx(reply: str = ANSWERED, *, exists: str = "1") -> AsyncIterator[FakeAsterisk]:
    async with fake_asterisk() as fake:
        fake.replies |= {"Originate": reply, "Getvar": f"Response: Success\nValue: {exists}"}
        yield fake


async def test_who_answers_is_sent_to_the_agent(capsys: pytest.CaptureFixture[str]) -> None:
    call = OutboundCall(
        "PJSIP/1001", "5001", "phones", '"The agent" <5001>', {"TIER": "gold", "NOTE": "a=b"}, 20
    )
    async with pbx() as fake:
        assert await run_originate(call, fake.address, ALLOWED) == 0
        sent = await fake.came("Originate")
    assert capsys.readouterr().out.splitlines() == [
        "ringing PJSIP/1001, for 20 s at most",
        "answered: PJSIP/1001-00000001 goes to 5001@phones",
    ]
    assert (
        sent.items()
        >= {
            "Channel": "PJSIP/1001",
            "Exten": "5001",
            "Context": "phones",
            "CallerID": '"The agent" <5001>',
            "Timeout": "20000",
        }.items()
    )


async def test_no_one_answers(capsys: pytest.CaptureFixture[str]) -> None:
    async with pbx(BUSY) as fake:
        assert await run_originate(TO_AGENT, fake.address, ALLOWED) == 1
    assert capsys.readouterr().err == "audiosocket-gw: the call to PJSIP/1001 failed: busy\n"


async def test_no_one_is_rung_for_an_extension_that_is_not_there() -> None:
    async with pbx(exists="0") as fake:
        with pytest.raises(ConfigurationError, match=r"--extension 5001 --context phones: .* no such"):
            await run_originate(TO_AGENT, fake.address, ALLOWED)
        assert not fake.actions("Originate")


@pytest.mark.parametrize(
    "bad",
    [
        {"extension": "5001\r\nAction: Command"},
        {"context": "a,b"},
        {"caller_id": "x\r\nVariable: A=B"},
        {"variables": {"SHELL(id)": "x"}},
        {"variables": {"A": "1,B=2"}},
    ],
)
async def test_nothing_else_can_be_slipped_in(
    bad: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    call = OutboundCall(**({"channel": "PJSIP/1001", "extension": "5001", "context": "phones"} | bad))  # type: ignore[arg-type]
    async with pbx() as fake:
        assert await run_originate(call, fake.address, ALLOWED) == 1
        assert not fake.actions("Originate")
    assert " is no " in capsys.readouterr().err


@pytest.mark.virtual_time
async def test_no_manager_interface(capsys: pytest.CaptureFixture[str]) -> None:
    async with pbx() as fake:
        address = fake.address
    assert await run_originate(TO_AGENT, address, ALLOWED) == 1
    assert f"no connection to Asterisk's manager interface at {address} in 10 s" in capsys.readouterr().err


# What may be rung


@pytest.mark.parametrize("channel", ["PJSIP/1001", "SIP/7", "Local/601@transfer-targets"])
def test_telephones_of_the_house_may_be_rung(channel: str) -> None:
    assert ALLOWED.fullmatch(channel)


@pytest.mark.parametrize(
    "channel",
    [
        "PJSIP/trunk/sip:0900123456@carrier.example",
        "PJSIP/0900123456@trunk",
        "PJSIP/123456",
        "PJSIP/1001&PJSIP/trunk",
        "PJSIP/1001\r\nAction: Command",
        "PJSIP/1001\n",
        "PJSIP/\u0661\u0662",
        "SIP/trunk/00441234",
        "IAX2/trunk/1001",
        "DAHDI/1/112",
        "Local/112@from-internal",
        "Local/0900123456@transfer-targets",
        "Local/601@transfer-targets/n",
        "pjsip/1001",
        "1001",
        "",
    ],
)
async def test_no_trunk_and_no_outside_number_is_rung(channel: str) -> None:
    call = OutboundCall(channel, "5001", "phones")
    async with pbx() as fake:
        with pytest.raises(ConfigurationError, match="ORIGINATE_CHANNELS="):
            await run_originate(call, fake.address, ALLOWED)
        assert not fake.received


async def test_the_operator_can_allow_more() -> None:
    async with pbx() as fake:
        call = OutboundCall("PJSIP/0301234567@trunk", "5001", "phones")
        assert await run_originate(call, fake.address, re.compile(r"PJSIP/030[0-9]{7}@trunk")) == 0


# The command


@pytest.mark.parametrize(
    ("hosts", "wanted", "place"),
    [
        ({"AMI_HOST": "192.0.2.1"}, [], "192.0.2.1:5038"),
        ({"AMI_HOSTS": "192.0.2.2:5039"}, [], "192.0.2.2:5039"),
        ({"AMI_HOST": "192.0.2.1", "AMI_HOSTS": "192.0.2.2,192.0.2.3"}, [], "192.0.2.1:5038"),
        ({"AMI_HOSTS": "192.0.2.2,192.0.2.3"}, ["--pbx", "192.0.2.3"], "192.0.2.3:5038"),
    ],
)
def test_which_pbx(
    hosts: dict[str, str],
    wanted: list[str],
    place: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    async def note(_: OutboundCall, pbx: AmiAddress, __: re.Pattern[str]) -> int:
        asked.append(str(pbx))
        return 0

    monkeypatch.setattr(cli, "run_originate", note)
    for name, value in (hosts | {"AMI_PASSWORD": PASSWORD}).items():
        monkeypatch.setenv(name, value)
    assert main(["originate", "PJSIP/1001", *wanted]) == 0
    assert asked == [place]


@pytest.mark.parametrize(
    ("environment", "arguments", "complaint"),
    [
        ({}, [], "AMI_HOST is not set"),
        ({"AMI_HOST": "192.0.2.1"}, [], "AMI_PASSWORD is not"),
        ({"AMI_HOSTS": "192.0.2.2,192.0.2.3", "AMI_PASSWORD": "x"}, [], "--pbx"),
        ({"AMI_HOST": "192.0.2.1", "AMI_PASSWORD": "x"}, ["--pbx", "192.0.2.9"], "--pbx 192.0.2.9"),
        (
            {"AMI_HOST": "192.0.2.1", "AMI_PASSWORD": "x", "ORIGINATE_CHANNELS": "PJSIP/2.*"},
            [],
            "ORIGINATE_CHANNELS='PJSIP/2.*' doesn't match 'PJSIP/1001'",
        ),
        ({"ORIGINATE_CHANNELS": "("}, [], "ORIGINATE_CHANNELS='('"),
    ],
)
def test_bad_settings(
    environment: dict[str, str],
    arguments: list[str],
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["originate", "PJSIP/1001", *arguments]) == EXIT_CONFIGURATION
    assert complaint in capsys.readouterr().err
