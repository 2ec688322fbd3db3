"""A gateway with an HTTP port, and a client of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from audiosocket_gw.gateway import Gateway
from tests.harness.gateway import GatewayHarness, running_gateway


def url_of(gateway: Gateway) -> str:
    address = gateway.http_address
    assert address is not None
    return f"http://127.0.0.1:{address[1]}"


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[tuple[GatewayHarness, httpx.AsyncClient]]:
    """Run a gateway with an HTTP port and a client of it."""
    async with (
        running_gateway(**({"http_port": 0} | settings)) as harness,
        httpx.AsyncClient(base_url=url_of(harness.gateway), trust_env=False, timeout=30) as client,
    ):
        yield harness, client


class EventReader:
    """Reads server-sent events."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()

    async def next(self) -> tuple[int, dict[str, Any]]:
        """Return the id and the data of the next event."""
        fields: dict[str, str] = {}
        async for line in self._lines:
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                data: dict[str, Any] = json.loads(fields["data"])
                assert data["type"] == fields["event"]
                return int(fields["id"]), data
            else:
                fields.clear()  # a comment
        raise EOFError

    async def until(self, kind: str) -> dict[str, Any]:
        """Return the data of the next event of a kind."""
        while True:
            _, data = await self.next()
            if data["type"] == kind:
                return data

    async def rest(self) -> list[str]:
        """Return the kinds of all further events, until the stream ends."""
        kinds = []
        while True:
            try:
                kinds.append((await self.next())[1]["type"])
            except EOFError:
                return kinds
