"""What the log says first: each fact once, and no secret."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from audiosocket_gw import __version__
from audiosocket_gw.settings import GatewaySettings, Settings
from audiosocket_gw.settings.start_report import start_report
from tests.harness.gateway_process import gateway_process


def report(**settings: Any) -> list[str]:
    rooms = GatewaySettings.of(Settings(elevenlabs_agent_id="agent_1", **settings))
    return list(start_report(rooms, ("avr_transfer", "avr_hangup")))


def test_of_the_defaults() -> None:
    first, *lines = report()
    assert re.fullmatch(rf"audiosocket-gw {re.escape(__version__)}, Python 3\.\d+\.\d+\S*", first)
    assert lines == [
        "agent: agent_1; host: api.elevenlabs.io; region: global; API key: no",
        "limits: MAX_CALLS=500, MAX_CALL_SECONDS=7200, NO_INPUT_TIMEOUT=600, DRAIN_TIMEOUT=30, "
        "SILENT_AGENT_SECONDS=5, LATE_ANSWER_SECONDS=3, ALLOWED_PEERS=this machine only",
        f"transfers: no names; extensions {lines[2].split('extensions ')[1].split(' in ')[0]} "
        "in transfer-targets; keys: none",
        "tools: avr_transfer, avr_hangup",
        "off: AMI (AMI_HOST): no transfers, no caller data, RECORD_DIR, FLIGHT_DIR, CALL_LOG, HISTORY_DB, "
        "HTTP_PORT, HTTP_SOCKET, TOOLS_DIR, HOLD_AUDIO, UUID_SECRET",
    ]


def test_of_everything() -> None:
    lines = report(
        elevenlabs_agent_url="https://user:secret1@router.example/?token=secret2",
        elevenlabs_api_key="secret3",
        elevenlabs_base_url="https://api.eu.residency.elevenlabs.io",
        allowed_peers="10.0.0.0/24,192.0.2.7",
        ami_host="pbx1",
        ami_hosts="pbx2:5039",
        ami_password="secret4",
        ami_tls=True,
        transfer_destinations="Sales=600@queues,support=601@queues",
        dtmf_actions="0=transfer:sales,*=hangup",
        tools_dir="tools",
        tools_isolation="process",
        record_dir="/srv/records",
        flight_dir="/srv/flights",
        call_log="-",
        history_db="/srv/calls.db",
        http_token="secret5-secret5-secret5",
        http_port=8080,
        uuid_secret="secret6-" * 4,
        plan_concurrency=30,
    )[1:]
    assert lines == [
        "agent: router.example names it for each call (ELEVENLABS_AGENT_URL); "
        "host: api.eu.residency.elevenlabs.io; region: EU; API key: yes",
        "limits: MAX_CALLS=500, PLAN_CONCURRENCY=30, MAX_CALL_SECONDS=7200, NO_INPUT_TIMEOUT=600, "
        "DRAIN_TIMEOUT=30, SILENT_AGENT_SECONDS=5, LATE_ANSWER_SECONDS=3, "
        "ALLOWED_PEERS=10.0.0.0/24,192.0.2.7/32",
        "AMI: gateway at pbx1:5038 by TLS, gateway at pbx2:5039 by TLS",
        "transfers: Sales, support; keys: 0=transfer:sales, *=hangup",
        "tools: avr_transfer, avr_hangup; TOOLS_DIR in 4 worker processes",
        "kept: a recording of every call in /srv/records (RECORD_DIR), flight recordings, voices included, "
        "in /srv/flights (FLIGHT_DIR, FLIGHT_KEEP=bad), a line for each call in - (CALL_LOG), "
        "the last 100000 calls in /srv/calls.db (HISTORY_DB)",
        "off: HOLD_AUDIO",
    ]
    assert "secret" not in "".join(lines)


@pytest.mark.parametrize(
    ("host", "region"), [("api.us.elevenlabs.io", "United States"), ("eleven.example", "unknown")]
)
def test_regions(host: str, region: str) -> None:
    assert f"; region: {region}; " in report(elevenlabs_base_url=f"https://{host}")[1]


async def test_it_is_one_block_before_it_listens(tmp_path: Path) -> None:
    settings = {"RECORD_DIR": str(tmp_path / "20261125123456"), "TRANSFER_EXTENSIONS": "[0-9]{3}"}
    async with gateway_process("--agent", "simulator", prefix=(), **settings) as process:
        lines = [line[25:] for line in process.log.splitlines()]
    start = next(place for place, line in enumerate(lines) if line.startswith("INFO audiosocket-gw "))
    topics = [line.split(":")[0].removeprefix("INFO ") for line in lines[start + 1 : start + 8]]
    assert topics[:6] == ["agent", "limits", "transfers", "tools", "kept", "off"]
    assert topics[6].startswith("listening for Asterisk on ")
    assert str(tmp_path / "20261125123456") in lines[start + 5], "a path isn't a telephone number"
    assert "[0-9]{3}" in lines[start + 3]
