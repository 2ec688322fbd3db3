"""``status`` and ``calls``: a running gateway, asked from the command line."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from uuid import uuid4

from audiosocket_gw import events
from audiosocket_gw.commands.call_table import call_table, clean, duration, status_text
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.errors import EXIT_CONFIGURATION
from tests.http_api.served import served

TOKEN = "0123456789abcdef"


async def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run a command; return its exit status and what it wrote to both streams."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "audiosocket_gw", *arguments),
        env={"PATH": os.environ["PATH"], "COLUMNS": "100"} | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


async def test_status_over_the_port_and_over_the_socket(tmp_path: Path) -> None:
    socket = tmp_path / "http.sock"
    settings = {"http_token": TOKEN, "http_socket": socket, "transfer_destinations": "sales=600@q"}
    # On a slow machine the agent of this test would be reported as silent.
    async with served(silent_agent_seconds=0, **settings) as (harness, _):
        assert harness.gateway.http_address is not None
        port = {"HTTP_PORT": str(harness.gateway.http_address[1]), "HTTP_TOKEN": TOKEN}
        line, _ = await harness.call()
        for place in (port, {"HTTP_SOCKET": str(socket)}):
            status, out, error = await run("status", **place)
            assert (status, error) == (0, "")
            assert "ready" in out.splitlines()[0]
            assert "Transfer  sales" in out
            assert str(line.uuid)[:8] in out
        status, out, _ = await run("status", "--json", **port)
        found = json.loads(out)
        assert (status, found["load"]["calls"], found["calls"][0]["uuid"]) == (0, 1, str(line.uuid))
        status, _, error = await run("status", HTTP_PORT=port["HTTP_PORT"])
        assert (status, "HTTP_TOKEN" in error) == (1, True)
        await line.__aexit__()


async def test_a_call_is_listed_shown_and_hung_up(tmp_path: Path) -> None:
    place = {"HTTP_SOCKET": str(tmp_path / "http.sock")}
    async with served(http_socket=tmp_path / "http.sock") as (harness, _):
        assert await run("calls", **place) == (0, "No call is in progress.\n", "")
        line, _ = await harness.call()
        short = str(line.uuid)[:8]
        while str(line.uuid) not in (await run("calls", short, **place))[1]:
            pass  # the list that is served is up to a second old
        status, _, error = await run("calls", short, "hangup", **place)
        assert (status, "add --yes" in error) == (EXIT_CONFIGURATION, True)
        status, _, error = await run("calls", short, "transfer", "sales", "--yes", **place)
        assert (status, "not available on this line" in error or "not allowed" in error) == (1, True)
        assert await run("calls", short, "hangup", "--yes", **place) == (0, "Accepted.\n", "")
        await line.ended.wait()
        await line.__aexit__()
        assert (await harness.wait_for(events.CallEnded)).reason is EndReason.OPERATOR_HANGUP
        status, _, error = await run("calls", str(uuid4()), **place)
        assert (status, "no call" in error) == (1, True)


async def test_where_nothing_listens_the_error_says_so(tmp_path: Path) -> None:
    status, _, error = await run("status")
    assert (status, "HTTP_PORT and HTTP_SOCKET are not set" in error) == (EXIT_CONFIGURATION, True)
    status, _, error = await run("calls", HTTP_PORT="9")
    assert (status, "no gateway answers there" in error) == (1, True)
    status, _, error = await run("calls", "1", "transfer", HTTP_PORT="9")
    assert (status, "DESTINATION" in error) == (EXIT_CONFIGURATION, True)


async def test_what_another_program_on_the_port_answers_is_no_command_to_the_terminal() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = json.dumps({"error": "\x1b[2Jall is well"})
        writer.write(f"HTTP/1.1 500 \x1b[2J\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as other:
        status, out, error = await run("status", HTTP_PORT=str(other.sockets[0].getsockname()[1]))
    assert status == 1
    assert "\x1b" not in out + error


CALL = {
    "uuid": str(uuid4()),
    "duration_ms": 192_000,
    "state": "talking",
    "is_bad": True,
    "trouble": ["2 late answers", "tool price\x1b[2J failed"],
    "silent_ms": None,
    "first_audio_ms": 700,
    "setup_ms": 300,
    "speaker": "agent",
    "last_turn_ms": 870,
    "caller_number": "#######567",
    "agent": "a\x1b[2J",
    "turn_count": 3,
    "pbx": "pbx",
}


def test_a_narrow_terminal_shows_what_matters_most() -> None:
    for width in (20, 40, 80, 200):
        head, line = call_table([CALL], width)
        assert max(len(head), len(line)) <= width
        assert head.startswith("CALL")
    for expected in ("3:12", "talking", "2 late answers; tool price?[2J failed", "870 ms"):
        assert expected in line
    assert "\x1b" not in line


def test_trouble_has_a_column_if_there_is_any() -> None:
    silent = CALL | {"trouble": ["agent silent for over 24 s"], "silent_ms": 5000, "first_audio_ms": None}
    head, line = call_table([silent | {"duration_ms": 24_300}], 80)
    assert "TROUBLE" in head
    assert "agent silent 24 s  agent silent for over 24 s" in line
    head, line = call_table([CALL | {"trouble": []}], 80)
    assert "TROUBLE" not in head
    assert "talking" in line


LOAD = {
    "version": "1",
    "uptime_s": 61.0,
    "ready": False,
    "reasons": ["draining: the gateway is stopping"],
    "wrong_now": [{"text": "agent-quota: 97 of 97 ended calls since 15:22:54 UTC. Raise the plan\x1b."}],
    "calls": 3,
    "max_calls": 500,
    "plan_concurrency": 30,
    "destinations": ["sales"],
    "off": ["RECORD_DIR"],
    "load": {"waiting": 1, "capacity": 310, "busy": 0.1, "stolen": 0.0, "late": 0.0, "batch_ms": 20},
    "ami": [{"pbx": "192.0.2.7:5038", "connected": False}],
}

BAD = CALL | {
    "started_at": "2026-11-25T15:45:44.823Z",
    "trouble": ["agent-quota", "agent silent for 5 s", "2 late answers"],
    "end": {"reason": "agent-quota", "detail": "the account's quota is used up"},
}


def test_what_is_wrong_is_shown_whole_on_any_terminal() -> None:
    for width in (40, 200):
        text = status_text(LOAD, [CALL], [BAD], width)
        assert max(map(len, text.splitlines())) <= width
        words = " ".join(text.split())
        assert words.startswith(
            "WRONG agent-quota: 97 of 97 ended calls since 15:22:54 UTC. Raise the plan?. "
        )
        for expected in (
            "NOT READY: draining: the gateway is stopping",
            "3 of 500, 1 waiting; about 310 fit, the plan allows 30",
            "192.0.2.7:5038: NOT CONNECTED",
            "2026-11-25 15:48:56",
            "agent-quota: agent silent for 5 s; 2 late answers; the account's quota is used up",
        ):
            assert expected in words


def test_texts_for_a_terminal() -> None:
    assert clean("a\x1b[2J\r\n\u202e") == "a?[2J???"
    assert list(map(duration, (None, 0, 61_000, 3_723_000))) == ["", "0:00", "1:01", "1:02:03"]
