"""``docs/http-api.md`` is true: its requests and its events are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from audiosocket_gw import events
from audiosocket_gw.http_api import connection, event_stream, server, shared_answer
from audiosocket_gw.http_api.event_json import type_of
from audiosocket_gw.http_api.history_query import NAMES
from audiosocket_gw.http_api.openapi import document
from audiosocket_gw.ledger.ledger import MAX_UPDATES
from audiosocket_gw.runtime.loop_budget import BUDGET_S

PAGE = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text()


def test_the_requests_are_those_of_the_document() -> None:
    described = re.findall(r"^\| `(GET|POST) (\S+)` \|", PAGE, re.MULTILINE)
    assert {(path, method.lower()) for method, path in described} == {
        (path, method)
        for path, item in document()["paths"].items()
        for method in item
        if method in ("get", "post")
    }


def test_every_event_is_described_and_no_other() -> None:
    table = PAGE.partition("| type | members")[2].partition("\n\n")[0]
    described = {
        name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    kinds = {type_of(kind.__new__(kind)) for kind in events.CallEvent.__subclasses__()}
    assert described <= kinds
    assert all(name in PAGE for name in NAMES)


@pytest.mark.parametrize(
    "figure",
    [
        f"{server.MAX_CONNECTIONS} connections",
        f"{event_stream.MAX_STREAMS} of them streams",
        f"within {connection.REQUEST_S:g} s",
        f"for {connection.STALLED_S:g} s is cut",
        f"every {event_stream.HEARTBEAT_S:g} s",
        f"more than {MAX_UPDATES} that waited",
        f"{shared_answer.CHUNK_BYTES // 1024} KiB",
        f"have {BUDGET_S * 1000:g} ms of an iteration",
        f"rest for {server.REST_S * 1000:g} ms",
    ],
)
def test_the_figures(figure: str) -> None:
    assert figure in " ".join(PAGE.split())
