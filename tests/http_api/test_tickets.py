"""Tickets for call pages: each opens one page once, for a browser that can't send the token."""

from __future__ import annotations

from uuid import uuid4

import httpx
from pydantic import SecretStr

from audiosocket_gw.http_api.tickets import MAX_TICKETS
from tests.http_api.served import served

TOKEN = "a-token-of-the-test-long-enough"
WITH_TOKEN = {"Authorization": f"Bearer {TOKEN}"}


async def ticket(client: httpx.AsyncClient, uuid: object) -> str:
    """Return the path of a call's page, with a ticket."""
    answer = await client.post(f"/calls/{uuid}/page", headers=WITH_TOKEN)
    assert answer.status_code == 201
    return f"/{answer.json()['page']}"


async def passes(client: httpx.AsyncClient, path: str, method: str = "GET") -> bool:
    return (await client.request(method, path)).status_code != 401


async def test_a_ticket_opens_its_page_once() -> None:
    async with served(http_token=SecretStr(TOKEN)) as (_, client):
        uuid, other = uuid4(), uuid4()
        path = await ticket(client, uuid)
        assert path.startswith(f"/calls/{uuid}/page?ticket=")
        assert await passes(client, path)
        assert not await passes(client, path)
        assert not await passes(client, (await ticket(client, uuid)).replace(str(uuid), str(other)))
        assert not await passes(client, (await ticket(client, uuid)).replace("/page", ""))
        assert not await passes(client, (await ticket(client, uuid)).replace("/page", "/hangup"), "POST")
        assert not await passes(client, f"/calls/{uuid}/page?ticket=%ff")
        assert not await passes(client, f"/calls/{uuid}/page")


async def test_a_ticket_needs_the_token() -> None:
    async with served(http_token=SecretStr(TOKEN)) as (_, client):
        assert (await client.post(f"/calls/{uuid4()}/page")).status_code == 401


async def test_only_the_latest_tickets_are_kept() -> None:
    async with served(http_token=SecretStr(TOKEN)) as (_, client):
        paths = [await ticket(client, uuid4()) for _ in range(MAX_TICKETS + 1)]
        assert not await passes(client, paths[0])
        assert await passes(client, paths[1])
        assert await passes(client, paths[-1])
