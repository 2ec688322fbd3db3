"""``GET /metrics``: what Prometheus reads."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from audiosocket_gw.http_api.endpoint import Endpoint
from audiosocket_gw.http_api.shared_answer import ChunkedResponse, SharedAnswer
from audiosocket_gw.metrics.metrics import CONTENT_TYPE, Metrics


class MetricsView:
    """The text of a scrape, built once a second for all who ask."""

    def __init__(self, metrics: Metrics) -> None:
        self._text = SharedAnswer(metrics.exposition)
        self.endpoints = (Endpoint("GET", "/metrics", self._answer),)

    async def _answer(self, _: Request) -> Response:
        return ChunkedResponse(await self._text.body(), headers={"Content-Type": CONTENT_TYPE})
