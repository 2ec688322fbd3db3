"""An HTTP surface whose calls, load and failures the test decides: for what a real gateway does too rarely.

It serves the real dashboard, and answers in the forms of the real surface.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from audiosocket_gw.http_api import dashboard_files
from tests.harness.waiting import until

NUMBERS = UUID("6a1c7f3e-0000-4000-8000-000000000000")
Json = dict[str, Any]


def call(number: int, *, age_s: float = 60.0, **members: Any) -> Json:
    """Return a summary of a live call, as ``GET /calls`` has it; ``members`` replaces some."""
    return {
        "uuid": str(uuid5(NUMBERS, str(number))),
        "started_at": (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat(timespec="milliseconds"),
        "peer": "10.0.0.5:41000",
        "state": "talking",
        "speaker": None,
        "pbx": "pbx-1",
        "caller_number": f"+49########{number % 1000:03}",
        "caller_name": "",
        "dialled_number": "5001",
        "channel": f"PJSIP/trunk-{number:08x}",
        "agent": "reception",
        "conversation_id": f"conv_{number}",
        "setup_ms": 240,
        "first_audio_ms": 610,
        "holds": 0,
        "resumed": 0,
        "digits": 0,
        "silent_ms": None,
        "late_answers": 0,
        "undecodable": False,
        "frames": {"late": 0, "skipped": 0, "missing": 0},
        "heard_ms": 12_000,
        "discarded_ms": 0,
        "duration_ms": round(age_s * 1000),
        "end": None,
        "trouble": [],
        "is_bad": False,
        "turn_count": 0,
        "last_turn_ms": None,
        "median_turn_ms": None,
        "slowest_turn_ms": None,
        "interruption_count": 0,
        "tool_count": 0,
        "tool_error_count": 0,
        "transfer_count": 0,
        "last_transfer": None,
    } | members


def ended(
    number: int, reason: str = "caller-hangup", detail: str = "the caller hung up", **members: Any
) -> Json:
    """Return a summary of a call that has ended."""
    given: Json = {"state": "ended", "end": {"reason": reason, "detail": detail}} | members
    return call(number, age_s=90.0, **given)


def whole(summary: Json) -> Json:
    """Return the whole record of a summary, as ``GET /calls/{uuid}`` has it."""
    latencies = [summary["last_turn_ms"] or 900] * summary["turn_count"]
    counts = {name: value for name, value in summary.items() if not name.endswith(("_count", "_turn_ms"))}
    counts.pop("last_transfer")
    return counts | {
        "setup_steps": {"signed_url": 80, "connect": 90, "metadata": 70},
        "turns": [{"at_ms": 1000 * at, "latency_ms": ms} for at, ms in enumerate(latencies, 1)],
        "interruptions": [],
        "tools": [
            {"name": "hours", "tool_call_id": str(at), "at_ms": at, "outcome": "error", "ms": 100}
            for at in range(summary["tool_error_count"])
        ],
        "transfers": [summary["last_transfer"]] if summary["last_transfer"] else [],
    }


def load(**members: Any) -> Json:
    figures = {
        "admission": "admit",
        "bottleneck": "none",
        "busy": 0.23,
        "stolen": 0.02,
        "late": 0.0,
        "calls": 0,
        "setups": 0,
        "waiting": 0,
        "capacity": 412,
        "call_ms": 1.5,
        "setup_ms": 8.0,
        "batch_ms": 20,
    }
    return {
        "version": "0.1.0",
        "uptime_s": 5_000.0,
        "ready": True,
        "reasons": [],
        "wrong_now": [],
        "calls": 0,
        "max_calls": 200,
        "plan_concurrency": 50,
        "max_call_seconds": 0,
        "load": figures | members.pop("load", {}),
        "ami": [{"pbx": "pbx-1", "connected": True}, {"pbx": "pbx-2", "connected": True}],
        "destinations": ["billing", "sales"],
        "off": [],
    } | members


@dataclass
class FakeApi:
    """``fails``: the status that every request of the API gets, or 0. ``requests``: method, path and body."""

    token: str = ""
    calls: dict[str, Json] = field(default_factory=dict)
    history: list[Json] = field(default_factory=list)
    lines: dict[str, list[Json]] = field(default_factory=dict)
    load: Json = field(default_factory=load)
    fails: int = 0
    refusal: tuple[int, str] | None = None
    requests: list[tuple[str, str, Json | None]] = field(default_factory=list)
    port: int = 0
    _events_sent: int = 0
    _streams: set[asyncio.Queue[bytes]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def actions(self) -> list[tuple[str, Json | None]]:
        return [(path, body) for method, path, body in self.requests if method == "POST"]

    def add(self, *summaries: Json) -> None:
        """Have these calls be up, silently."""
        self.calls |= {summary["uuid"]: summary for summary in summaries}

    def happens(self, kind: str, summary: Json, **details: Any) -> None:
        """Have an event happen in a call, which is ``summary`` after it."""
        if known := self.calls.get(summary["uuid"]):
            summary = summary | {"started_at": known["started_at"]}
        if summary["end"] is None:
            self.calls[summary["uuid"]] = summary
        else:
            self.calls.pop(summary["uuid"], None)
            self.history.insert(0, summary)
        self.lines.setdefault(summary["uuid"], []).append(
            {"type": kind, "at_ms": summary["duration_ms"]} | details
        )
        shared = {name: summary[name] for name in ("uuid", "state", "speaker")}
        event = {"type": kind, "at_ms": summary["duration_ms"], **shared, **details}
        if kind in ("call_started", "caller_identified", "agent_connected", "call_ended"):
            event["call"] = summary
        self._events_sent += 1
        self.send(f"id: {self._events_sent}\nevent: {kind}\ndata: {json.dumps(event)}\n\n".encode())

    def lose(self, count: int) -> None:
        """Have a reader miss some events."""
        self._events_sent += count

    def send(self, data: bytes) -> None:
        """Send bytes on every stream; none at all ends it."""
        for stream in self._streams:
            stream.put_nowait(data)

    @property
    def streams(self) -> int:
        return len(self._streams)

    def application(self) -> Starlette:
        pages = [Route(each.path, each.handler) for each in dashboard_files.endpoints()]
        return Starlette(
            routes=[
                *pages,
                Route("/calls", self._answer(lambda _: {"calls": list(self.calls.values())})),
                Route(
                    "/history",
                    self._answer(lambda _: {"calls": [whole(each) for each in self.history], "before": None}),
                ),
                Route("/load", self._answer(lambda _: self.load)),
                Route("/events", self._events),
                Route("/calls/{uuid}", self._answer(self._whole)),
                Route("/calls/{uuid}/page", self._page),
                Route("/calls/{uuid}/page", self._answer(self._ticket), methods=["POST"]),
                Route("/calls/{uuid}/transcript", self._answer(self._transcript)),
                Route(
                    "/calls/{uuid}/hangup", self._answer(lambda _: {"accepted": "hangup"}), methods=["POST"]
                ),
                Route(
                    "/calls/{uuid}/transfer",
                    self._answer(lambda _: {"accepted": "transfer"}),
                    methods=["POST"],
                ),
            ]
        )

    def _whole(self, request: Request) -> Json:
        uuid = request.path_params["uuid"]
        return whole(self.calls.get(uuid) or next(each for each in self.history if each["uuid"] == uuid))

    async def _page(self, request: Request) -> Response:
        if self.token and request.query_params.get("ticket") != "once":
            return JSONResponse({"error": "no ticket"}, 401)
        return HTMLResponse(f"<!doctype html><title>Call {request.path_params['uuid']}</title>")

    def _ticket(self, request: Request) -> Json:
        return {"page": f"calls/{request.path_params['uuid']}/page?ticket=once"}

    def _transcript(self, request: Request) -> Json:
        return {"texts": True, "lines": self.lines.get(request.path_params["uuid"], [])}

    def _refuse(self, request: Request) -> Response | None:
        if self.fails:
            return JSONResponse({"error": "the test wants it to fail"}, self.fails)
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return JSONResponse({"error": "send the header `Authorization`"}, 401)
        return None

    def _answer(self, look: Any) -> Any:
        async def answer(request: Request) -> Response:
            body = await request.body()
            self.requests.append((request.method, request.url.path, json.loads(body) if body else None))
            if refused := self._refuse(request):
                return refused
            if request.method == "POST" and self.refusal:
                return JSONResponse({"error": self.refusal[1]}, self.refusal[0])
            return JSONResponse(look(request), 202 if request.method == "POST" else 200)

        return answer

    async def _events(self, request: Request) -> Response:
        if refused := self._refuse(request):
            return refused
        queue: asyncio.Queue[bytes] = asyncio.Queue()

        async def stream() -> AsyncIterator[bytes]:
            self._events_sent = 0
            self._streams.add(queue)
            try:
                yield b": open\n\n"
                while data := await queue.get():
                    yield data
            finally:
                self._streams.discard(queue)

        return StreamingResponse(stream(), media_type="text/event-stream")


@asynccontextmanager
async def fake_api(api: FakeApi, port: int = 0) -> AsyncIterator[FakeApi]:
    """Serve it, on a port of its own unless one is given."""
    config = uvicorn.Config(
        api.application(), host="127.0.0.1", port=port, log_config=None, lifespan="off", ws="none"
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server._serve())
    await until(lambda: server.started)
    api.port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield api
    finally:
        api.send(b"")
        server.should_exit = True
        server.force_exit = True
        await serving
