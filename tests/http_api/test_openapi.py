"""The OpenAPI document is true: of the paths, and of what real calls make them answer."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from audiosocket_gw import events
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.http_api.application import create_application
from audiosocket_gw.http_api.openapi import document
from tests.harness.audio import ramp
from tests.http_api.served import EventReader, served

CALLS = 3
TOKEN = "0123456789abcdef"
EXAMPLES = 25
"""Requests to each operation."""


def schema_of(name: str) -> Any:
    found = {"$ref": f"#/components/schemas/{name}", "components": document()["components"]}
    return Draft202012Validator(found, format_checker=Draft202012Validator.FORMAT_CHECKER)


async def test_every_path_is_in_the_document_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    served_paths: set[tuple[str, str]] = set()

    def watch(endpoints: Any, access: Any) -> Any:
        application: Any = create_application(endpoints, access)
        served_paths.update(
            (route.path, method.lower())
            for route in application.routes
            for method in route.methods - {"HEAD"}
            if route.path != "/" and not route.path.startswith("/dashboard/")  # a page is no API
        )
        return application

    monkeypatch.setattr("audiosocket_gw.http_api.server.create_application", watch)
    async with served():
        pass
    methods = ("get", "post")
    assert served_paths == {
        (path, method) for path, item in document()["paths"].items() for method in item if method in methods
    }


async def test_the_document_is_served_and_every_schema_is_one() -> None:
    async with served() as (_, client):
        found = (await client.get("/openapi.json")).json()
    assert found == document()
    for schema in found["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


async def test_the_answers_of_a_whole_call_are_valid() -> None:
    async with served(http_transcripts=True) as (harness, client), client.stream("GET", "/events") as stream:
        line, agent = await harness.call()
        await agent.send_audio(ramp(200))
        await harness.wait_for(events.ReplyFinished)
        await agent.call_tool("avr_transfer", {"transfer_extension": "600"})
        await harness.wait_for(events.ToolAnswered)
        (call,) = (await client.get("/calls")).json()["calls"]
        schema_of("CallSummary").validate(call)
        schema_of("CallRecord").validate((await client.get(f"/calls/{line.uuid}")).json())
        schema_of("Load").validate((await client.get("/load")).json())
        await line.__aexit__()
        await harness.wait_for(events.CallEnded)
        reader, kind = EventReader(stream), ""
        while kind != "call_ended":
            _, event = await reader.next()
            kind = event["type"]
            schema_of("Event").validate(event)
        (ended,) = (await client.get("/history")).json()["calls"]
        schema_of("CallRecord").validate(ended)


async def test_the_history_of_a_database_and_of_the_memory_have_the_same_form(tmp_path: Path) -> None:
    for database in ({}, {"history_db": tmp_path / "history.db"}):
        async with served(**database) as (harness, client):
            line, _ = await harness.call()
            await line.__aexit__()
            await harness.wait_for(events.CallEnded)
            while not (page := (await client.get("/history?reason=caller-hangup&bad=false")).json())["calls"]:
                await asyncio.sleep(0.01)
            schema_of("CallRecord").validate(page["calls"][0])
            assert page["before"] is None
            for query in ("reason=agent-lost", "bad=true", "since=2999-01-01T00:00:00Z", "agent=nobody"):
                assert (await client.get(f"/history?{query}")).json()["calls"] == []


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=501", "limit=x", "limit=", "limit=9999999999999999999999", "before=0"),
        *("bad=maybe", "reason=bored", "since=yesterday", "since=", "unknown=1", "before=\u0665"),
    ],
)
async def test_a_query_that_is_none_is_explained(query: str) -> None:
    async with served() as (_, client):
        answer = await client.get(f"/history?{query}")
        assert answer.status_code == 422
        assert query.partition("=")[0] in answer.json()["error"]


# Any request that the document admits, and any other


@pytest.mark.slow
@pytest.mark.limit(300)
async def test_no_request_is_answered_otherwise_than_the_document_says(tmp_path: Path) -> None:
    async with served(transfer_destinations="sales=600@queues", http_token=TOKEN) as (harness, client):
        lines = [(await harness.call())[0] for _ in range(CALLS)]
        # Half of the requests are about calls that are in progress, at first.
        given = json.loads(json.dumps(document()))
        given["components"]["parameters"]["uuid"] |= {
            "schema": {
                "anyOf": [{"enum": [str(line.uuid) for line in lines]}, {"type": "string", "format": "uuid"}]
            },
            "example": str(lines[0].uuid),  # sent to each path, so that a call is hung up for certain
        }
        (tmp_path / "openapi.json").write_text(json.dumps(given))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", f"--url={client.base_url}"),
            *(f"--max-examples={EXAMPLES}", "--seed=1", "--exclude-path-regex=/(events|page)$"),
            *("--phases=examples,coverage,fuzzing", "--no-color", "--warnings=off"),
            f"--header=Authorization: Bearer {TOKEN}",
            "--exclude-checks=positive_data_acceptance",  # the operator allows some destinations only
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=tmp_path,
        )
        output = (await process.communicate())[0].decode()
        assert process.returncode == 0, output
        for line in lines:
            await line.__aexit__()
    assert {event.reason for event in harness.of(events.CallEnded)} >= {EndReason.OPERATOR_HANGUP}
