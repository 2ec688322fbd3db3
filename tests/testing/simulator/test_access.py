from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from audiosocket_gw.testing.simulator import Simulator
from audiosocket_gw.testing.simulator.scenario import Refusal, Scenario, SignedUrlAnswer
from tests.testing.simulator.client import INITIATION, MANUAL, connected, websocket_url

PRIVATE = replace(MANUAL, private=True)
KEY = {"xi-api-key": "a key"}


async def ask(
    simulator: Simulator, *, headers: dict[str, str] | None = None, path: str = "get-signed-url", **query: str
) -> httpx.Response:
    async with httpx.AsyncClient(base_url=simulator.base_url) as client:
        return await client.get(f"/v1/convai/conversation/{path}", params=query, headers=headers)


async def signed_url(simulator: Simulator, **query: str) -> str:
    response = await ask(simulator, headers=None, agent_id="agent_1", **query)
    return str(response.json()["signed_url"])


async def refusal(url: str) -> tuple[int, bytes]:
    with pytest.raises(InvalidStatus) as raised:
        async with connect(url):
            pass
    return raised.value.response.status_code, bytes(raised.value.response.body)


@pytest.mark.parametrize("path", ["get-signed-url", "get_signed_url"])
async def test_a_signed_url_opens_a_private_agent(path: str) -> None:
    async with Simulator(PRIVATE, api_key="a key") as simulator:
        response = await ask(simulator, headers=KEY, path=path, agent_id="agent_1")
        assert response.status_code == 200
        url = response.json()["signed_url"]
        assert url.startswith(websocket_url(simulator, "agent_1") + "&conversation_signature=")
        async with connected(simulator, url + "&source=test&version=1") as client:
            await client.send(INITIATION)
            await client.until("conversation_initiation_metadata")
        conversation = await simulator.wait_for_conversation()
        assert conversation.agent_id == "agent_1"


@pytest.mark.parametrize("headers", [None, {"xi-api-key": "another"}])
async def test_a_wrong_key_is_refused(headers: dict[str, str] | None) -> None:
    async with Simulator(PRIVATE, api_key="a key") as simulator:
        response = await ask(simulator, headers=headers, agent_id="agent_1")
    assert response.status_code == 401
    assert response.json() == {"detail": {"status": "invalid_api_key", "message": "Invalid API key"}}


async def test_an_unknown_agent_is_not_found() -> None:
    async with Simulator(replace(MANUAL, agents=("agent_1",))) as simulator:
        assert (await ask(simulator, agent_id="agent_1")).status_code == 200
        response = await ask(simulator, agent_id="agent_2")
        assert response.status_code == 404
        assert response.json()["detail"]["status"] == "document_not_found"
        status, body = await refusal(websocket_url(simulator, "agent_2"))
        assert status == 404
        assert b"document_not_found" in body


async def test_a_request_without_an_agent_is_not_valid() -> None:
    async with Simulator(MANUAL) as simulator:
        response = await ask(simulator)
        assert response.status_code == 422
        assert response.json()["detail"][0]["loc"] == ["query", "agent_id"]
        assert (await refusal(websocket_url(simulator, "")))[0] == 422


@pytest.mark.parametrize(
    ("scenario", "status"),
    [(PRIVATE, 401), (replace(PRIVATE, refusal=Refusal.FORBIDDEN), 403)],
)
@pytest.mark.parametrize("signature", ["", "&conversation_signature=forged", "&token=forged"])
async def test_a_private_agent_needs_a_signature(scenario: Scenario, status: int, signature: str) -> None:
    async with Simulator(scenario) as simulator:
        assert (await refusal(websocket_url(simulator) + signature))[0] == status
        assert not simulator.conversations


async def test_the_refusal_can_be_a_close() -> None:
    async with (
        Simulator(replace(PRIVATE, refusal=Refusal.CLOSE)) as simulator,
        connected(simulator) as client,
    ):
        assert await client.until_closed() == (1008, "This agent needs a signed URL.")
    async with (
        Simulator(replace(MANUAL, refusal=Refusal.CLOSE)) as simulator,
        connected(simulator, websocket_url(simulator, "")) as client,
    ):
        assert await client.until_closed() == (1008, "Field required")


async def test_a_signature_is_for_one_agent() -> None:
    async with Simulator(PRIVATE) as simulator:
        url = await signed_url(simulator)
        assert (await refusal(url.replace("agent_1", "agent_2")))[0] == 401


async def test_a_signed_url_expires() -> None:
    async with Simulator(replace(PRIVATE, signed_url_lifetime_s=0.05)) as simulator:
        url = await signed_url(simulator)
        await asyncio.sleep(0.1)
        assert (await refusal(url))[0] == 401


async def test_a_signed_url_can_be_used_again_unless_it_has_a_conversation_id() -> None:
    async with Simulator(PRIVATE) as simulator:
        url = await signed_url(simulator)
        async with connected(simulator, url), connected(simulator, url):
            await simulator.wait_for_conversation(2)
        url = await signed_url(simulator, include_conversation_id="true")
        async with connected(simulator, url):
            assert (await refusal(url))[0] == 401


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (SignedUrlAnswer.BUSY, 429, '"too_many_concurrent_requests"'),
        (SignedUrlAnswer.SERVER_ERROR, 500, "Internal Server Error"),
        (SignedUrlAnswer.HTML, 200, "<html>"),
        (SignedUrlAnswer.MALFORMED, 200, '{"signed_url": "ws://'),
        (SignedUrlAnswer.NO_URL, 200, "{}"),
    ],
)
async def test_the_request_for_a_signed_url_can_go_wrong(
    answer: SignedUrlAnswer, status: int, body: str
) -> None:
    async with Simulator(replace(PRIVATE, signed_url=answer)) as simulator:
        response = await ask(simulator, agent_id="agent_1")
    assert response.status_code == status
    assert body in response.text


async def test_the_answer_can_be_slow() -> None:
    async with Simulator(replace(PRIVATE, signed_url_delay_s=0.1)) as simulator:
        started = asyncio.get_running_loop().time()
        assert (await ask(simulator, agent_id="agent_1")).status_code == 200
        assert asyncio.get_running_loop().time() - started >= 0.1


async def test_a_client_that_gives_up_is_no_obstacle() -> None:
    async with Simulator(replace(PRIVATE, signed_url_delay_s=3_600)) as simulator:
        with pytest.raises(httpx.ReadTimeout):
            async with httpx.AsyncClient(base_url=simulator.base_url, timeout=0.1) as client:
                await client.get("/v1/convai/conversation/get-signed-url", params={"agent_id": "agent_1"})


async def test_a_client_that_waits_is_no_obstacle() -> None:
    async with Simulator(replace(PRIVATE, signed_url_delay_s=3_600)) as simulator:
        asking = asyncio.create_task(ask(simulator, agent_id="agent_1"))
        await asyncio.sleep(0.1)
    with pytest.raises(httpx.TransportError):
        await asking


@pytest.mark.parametrize(("offered", "taken"), [(None, None), (["convai"], "convai"), (["bearer.x"], None)])
async def test_the_subprotocol_is_convai_or_none(offered: Any, taken: Subprotocol | None) -> None:
    async with Simulator(MANUAL) as simulator, connected(simulator, subprotocols=offered) as client:
        assert client.websocket.subprotocol == taken
