"""All metrics of one gateway, in a registry of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    Metric,
    generate_latest,
)
from prometheus_client.process_collector import ProcessCollector as OperatingSystemCollector
from prometheus_client.registry import Collector

from audiosocket_gw.events import CallEvent
from audiosocket_gw.ledger.record import CallRecord
from audiosocket_gw.metrics.calls import NAMESPACE, CallMetrics
from audiosocket_gw.metrics.labels import CappedLabel, Places
from audiosocket_gw.metrics.process import ProcessCollector, ProcessFigures

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""The content type of `Metrics.exposition`."""

PIECE = 200
"""Series that are written in one step of the event loop: about a millisecond."""

AMI_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """The metrics of one gateway. All of it belongs to the event loop."""

    def __init__(
        self, read: Callable[[], ProcessFigures], tools: Callable[[], Collection[str]] = tuple
    ) -> None:
        """``read`` returns the gateway's figures at a scrape, ``tools`` the names of its tools."""
        self.registry = CollectorRegistry()
        places = Places()
        self._calls = CallMetrics(self.registry, places, tools)
        self._action = CappedLabel()
        self._ami_actions = Counter(
            "ami_actions",
            "Actions sent to Asterisk, by what became of them.",
            ("action", "outcome"),
            namespace=NAMESPACE,
            registry=self.registry,
        )
        self._ami = Histogram(
            "ami_seconds",
            "From an action to Asterisk's complete answer.",
            ("action",),
            namespace=NAMESPACE,
            registry=self.registry,
            buckets=AMI_S,
        )
        self.registry.register(ProcessCollector(places, read))
        OperatingSystemCollector(registry=self.registry)

    def follow(self, event: CallEvent, record: CallRecord) -> None:
        """Count an event; ``record`` is the call's after it: a `Follower` of the ledger."""
        self._calls.follow(event, record)

    def count_action(self, name: str, outcome: str, seconds: float) -> None:
        """Count an action of the manager interface: an `OnAction`."""
        action = self._action(name)
        self._ami_actions.labels(action, outcome).inc()
        self._ami.labels(action).observe(seconds)

    async def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format. Other calls work between two steps."""
        text: list[bytes] = []
        for metric in self.registry.collect():
            for is_first, piece in _pieces(metric):
                written = generate_latest(piece)
                text.append(written if is_first else _without_head(written))
                await asyncio.sleep(0)
        return b"".join(text)


class _Piece(Collector):
    """Some of the samples of a metric."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> list[Metric]:
        return [self._metric]


def _pieces(metric: Metric) -> Iterator[tuple[bool, _Piece]]:
    # When a series began, which its first sample tells as well, would be a second series for each.
    samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
    for start in range(0, max(1, len(samples)), PIECE):
        piece = Metric(metric.name, metric.documentation, metric.type)
        piece.samples = samples[start : start + PIECE]
        yield start == 0, _Piece(piece)


def _without_head(written: bytes) -> bytes:
    """Remove the lines HELP and TYPE."""
    return written.split(b"\n", 2)[2]
