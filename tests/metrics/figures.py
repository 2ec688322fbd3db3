"""Metrics of a gateway whose figures a test sets, and what Prometheus reads of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from audiosocket_gw import events
from audiosocket_gw.ledger.ledger import Ledger
from audiosocket_gw.metrics.metrics import Metrics
from audiosocket_gw.metrics.process import ProcessFigures
from audiosocket_gw.runtime.load import Load

LOAD = Load()

QUIET = ProcessFigures(
    calls=(),
    calls_max=500,
    plan_concurrency=30,
    ready=True,
    draining=False,
    pbxs={"pbx-1": True},
    load=LOAD.figures(),
    lateness=LOAD.lateness,
    queued_ms=0,
    stalls=0,
    stall_silence_s=0.0,
    refused={"full": 0},
    recorder_failures={"flight": 0},
    log_lines_dropped=0,
)

Series = tuple[str, frozenset[tuple[str, str]]]


class Scraped:
    """What a scrape has: the value of each series, and the types of the metrics."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.values: dict[Series, float] = {}
        self.types: dict[str, str] = {}
        for family in text_string_to_metric_families(text):
            self.types[family.name] = family.type
            for sample in family.samples:
                series = (sample.name, frozenset(sample.labels.items()))
                assert series not in self.values, f"twice: {series}"
                self.values[series] = sample.value

    def value(self, name: str, **labels: str) -> float:
        """Return the value of a series, by its name without the prefix."""
        return self.values[f"audiosocket_gw_{name}", frozenset(labels.items())]

    def of(self, name: str) -> dict[frozenset[tuple[str, str]], float]:
        """Return all series of a name that aren't 0, by their labels."""
        return {
            labels: value
            for (found, labels), value in self.values.items()
            if found == f"audiosocket_gw_{name}" and value
        }

    def label_values(self, label: str) -> set[str]:
        return {value for _, labels in self.values for name, value in labels if name == label}

    def buckets(self, name: str, **labels: str) -> Iterator[tuple[str, float]]:
        """Yield each bucket of a histogram, by its bound."""
        for (found, all_labels), value in self.values.items():
            rest = {key: text for key, text in all_labels if key != "le"}
            if found == f"audiosocket_gw_{name}_bucket" and rest == labels:
                yield dict(all_labels)["le"], value


async def scrape(metrics: Metrics) -> Scraped:
    return Scraped((await metrics.exposition()).decode())


def metrics_of(*tools: str, **figures: Any) -> Metrics:
    """Return the metrics of a gateway; ``figures`` are those of `ProcessFigures` that differ."""
    return Metrics(lambda: replace(QUIET, **figures), lambda: tools)


def after(happened: Iterable[events.CallEvent], *tools: str) -> Scraped:
    """Return what a scrape finds after some calls."""
    metrics = metrics_of(*tools)

    async def run() -> Scraped:
        ledger = Ledger([metrics.follow])
        for event in happened:
            ledger.observe(event)
        return await scrape(metrics)

    return asyncio.run(run())
