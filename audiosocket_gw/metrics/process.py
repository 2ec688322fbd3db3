"""The metrics that the process itself knows: read at each scrape, and counted nowhere else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from audiosocket_gw import __version__
from audiosocket_gw.ledger.record import CallRecord
from audiosocket_gw.metrics.calls import NAMESPACE
from audiosocket_gw.metrics.labels import Places
from audiosocket_gw.runtime.lateness import BOUNDS_S, Lateness
from audiosocket_gw.runtime.load_figures import LoadFigures

_BOUNDS = [*(f"{bound:g}" for bound in BOUNDS_S), "+Inf"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFigures:
    """The gateway at one moment.

    ``calls``: those that are up. ``pbxs``: whether each manager interface is connected, by host.
    ``plan_concurrency``: conversations that ElevenLabs' plan allows at once, if it is set. ``queued_ms``: the
    longest queue of audio for a caller. ``refused`` and ``recorder_failures`` are by reason and by recorder,
    all of them from the start.
    """

    calls: Sequence[CallRecord]
    calls_max: int
    plan_concurrency: int | None
    ready: bool
    draining: bool
    pbxs: Mapping[str, bool]
    load: LoadFigures
    lateness: Lateness
    queued_ms: int
    stalls: int
    stall_silence_s: float
    refused: Mapping[str, int]
    recorder_failures: Mapping[str, int]
    log_lines_dropped: int


class ProcessCollector(Collector):
    """Makes metrics of what ``read`` returns."""

    def __init__(self, places: Places, read: Callable[[], ProcessFigures]) -> None:
        self._places = places
        self._read = read

    def describe(self) -> list[Metric]:
        """Nothing is read when the collector is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        build = _gauge("build_info", "The version of the gateway; always 1.", ["version"])
        build.add_metric([__version__], 1)
        yield build
        figures = self._read()
        yield from self._gauges(figures)
        yield from _counters(figures)
        yield _lateness(figures.lateness)

    def _gauges(self, figures: ProcessFigures) -> Iterator[Metric]:
        active = _gauge("calls_active", "Calls that are up.", ["pbx", "agent"])
        calls = Counter(map(self._places, figures.calls))
        # With 0 where there are no calls now: a series that goes away keeps its last value for minutes.
        for place in dict.fromkeys((*self._places.known, *calls)):
            active.add_metric(place, calls[place])
        yield active
        if figures.plan_concurrency is not None:
            yield _value("plan_concurrency_limit", "PLAN_CONCURRENCY.", figures.plan_concurrency)
        connected = _gauge("ami_connected", "Whether the PBX's manager interface is connected.", ["pbx"])
        for pbx, is_connected in figures.pbxs.items():
            connected.add_metric([pbx], is_connected)
        yield connected
        yield _value("calls_max", "MAX_CALLS.", figures.calls_max)
        yield _value("ready", "Whether a new call would be answered.", figures.ready)
        yield _value("draining", "Whether the gateway is stopping.", figures.draining)
        yield _value("loop_busy_ratio", "Share of a core that the event loop uses.", figures.load.busy)
        yield _value(
            "audio_batch_seconds", "Caller audio that shares a message.", figures.load.batch_ms / 1000
        )
        yield _value(
            "playout_queue_seconds", "The longest queue of audio for a caller.", figures.queued_ms / 1000
        )


def _counters(figures: ProcessFigures) -> Iterator[Metric]:
    refused = CounterMetricFamily(
        _name("calls_refused"), "Connections and calls refused before a call began.", labels=["reason"]
    )
    for reason, count in figures.refused.items():
        refused.add_metric([reason], count)
    yield refused
    failures = CounterMetricFamily(
        _name("recorder_failures"), "Calls that weren't recorded, or not to their end.", labels=["recorder"]
    )
    for recorder, count in figures.recorder_failures.items():
        failures.add_metric([recorder], count)
    yield failures
    yield CounterMetricFamily(
        _name("log_lines_dropped"), "Lines of the log that nothing took.", value=figures.log_lines_dropped
    )
    yield CounterMetricFamily(
        _name("stalls"), "Times that the process was blocked for over 0.1 s.", value=figures.stalls
    )
    yield CounterMetricFamily(
        _name("stall_silence_seconds"), "Silence for all callers by stalls.", value=figures.stall_silence_s
    )


def _lateness(lateness: Lateness) -> Metric:
    family = HistogramMetricFamily(
        _name("frame_lateness_seconds"), "How late the ticks were at which callers get their frames."
    )
    family.add_metric([], list(zip(_BOUNDS, lateness.cumulative, strict=True)), sum_value=lateness.sum_s)
    return family


def _name(name: str) -> str:
    return f"{NAMESPACE}_{name}"


def _gauge(name: str, help_: str, labels: Sequence[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(_name(name), help_, labels=labels)


def _value(name: str, help_: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(_name(name), help_, value=value)
