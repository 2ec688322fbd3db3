"""``GET /openapi.json``: the OpenAPI document, ``openapi.json``, with the schemas of calls."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from audiosocket_gw import __version__
from audiosocket_gw.http_api.call_summary import COUNTED
from audiosocket_gw.http_api.endpoint import Endpoint
from audiosocket_gw.http_api.shared_answer import ChunkedResponse


@cache
def document() -> dict[str, Any]:
    """Return the document. The schema of a record is the one that its readers elsewhere use."""
    found: dict[str, Any] = _read("audiosocket_gw.http_api", "openapi.json")
    schemas = found["components"]["schemas"]
    record = _read("audiosocket_gw.ledger", "call-record.schema.json")
    schemas |= record.pop("$defs")
    del record["$schema"]
    schemas["CallRecord"] = record
    schemas["CallSummary"] = _summary(record)
    found["info"]["version"] = __version__
    return found


def _read(package: str, name: str) -> Any:
    text = (resources.files(package) / name).read_text(encoding="utf-8")
    return json.loads(text.replace("#/$defs/", "#/components/schemas/"))


def _summary(record: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of `call_summary.summary`."""
    left_out = (*COUNTED, "setup_steps", "transfers")
    properties = {name: each for name, each in record["properties"].items() if name not in left_out}
    count = {"$ref": "#/components/schemas/count"}
    properties |= {f"{name[:-1]}_count": count for name in (*COUNTED, "transfers")}
    properties["tool_error_count"] = count
    for which in ("last", "median", "slowest"):
        properties[f"{which}_turn_ms"] = {"$ref": "#/components/schemas/ms_if_known"}
    properties["last_transfer"] = {"oneOf": [{"type": "null"}, record["properties"]["transfers"]["items"]]}
    return {
        "title": "A call in a list",
        "type": "object",
        "additionalProperties": False,
        "required": sorted(properties),
        "properties": properties,
    }


@cache
def _body() -> bytes:
    return json.dumps(document(), ensure_ascii=False).encode()


async def _answer(_: Request) -> Response:
    return ChunkedResponse(_body(), media_type="application/json")


OPENAPI = Endpoint("GET", "/openapi.json", _answer)
