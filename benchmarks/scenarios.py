"""What is measured, in which order, and what is expected of it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from trial import (
    OWN_COMMAND,
    Figures,
    Load,
    Subject,
    Trial,
    build_load,
    build_relay,
    build_tls_load,
    run_trial,
)

RELAY = "relay in C"
GATEWAY = "gateway"
FRESH = "gateway, fresh"
TLS = "gateway, TLS"

PINNED = {"AUDIO_CHUNK_MS": "20"}
ADAPTIVE = {"AUDIO_CHUNK_MS": "auto"}

SETTLE_S = 6
"""The calls that come up are a peak of their own; after it the gateway takes back what it did about it."""

SPEECH_S = 600
SPEECH_KIB = SPEECH_S * 16_000 / 1024

Rounds = dict[str, list[Figures]]
"""The figures of each column, a round after the other."""

Measure = Callable[[Rounds], float]


@dataclass(frozen=True, slots=True)
class Target:
    """What is expected: at most ``limit``, or at least."""

    what: str
    measure: Measure
    limit: float
    at_least: bool = False

    def is_met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Column:
    """A subject and what it has to do."""

    name: str
    subject: Subject
    trial: Trial


@dataclass(frozen=True, slots=True)
class Table:
    """Columns that are measured in turn, so that what the machine does meanwhile meets them alike."""

    title: str
    columns: tuple[Column, ...]
    targets: tuple[Target, ...]

    def measure(self, folder: Path, rounds: int) -> Rounds:
        results: Rounds = {column.name: [] for column in self.columns}
        for _ in range(rounds):
            for column in self.columns:
                results[column.name].append(run_trial(column.subject, folder, column.trial))
        return results


@dataclass(frozen=True, slots=True)
class Bench:
    """The compiled programs, and how much is to be measured."""

    relay: str
    load: Load
    tls_load: Load
    seconds: float
    calls: Sequence[int] = (100, 200)
    others: Sequence[tuple[str, str]] = ()
    """Other gateways: name and command."""

    @classmethod
    def build(
        cls, folder: Path, seconds: float, calls: Sequence[int], others: Sequence[tuple[str, str]]
    ) -> Bench:
        return cls(build_relay(folder), build_load(folder), build_tls_load(folder), seconds, calls, others)

    def of_relay(self, calls: int) -> Column:
        return Column(RELAY, Subject(RELAY, self.relay, self.load), Trial(calls, self.seconds))

    def of_gateway(self, name: str, settings: dict[str, str], trial: Trial) -> Column:
        load = self.tls_load if "TLS" in name else self.load
        return Column(name, Subject(name, OWN_COMMAND, load, settings, warm=name != FRESH), trial)


def density(bench: Bench) -> list[Table]:
    """What a call costs, forwarding each 20 ms at once."""
    return [_density_table(bench, calls) for calls in bench.calls]


def _density_table(bench: Bench, calls: int) -> Table:
    columns = (
        bench.of_relay(calls),
        *(bench.of_gateway(name, PINNED, Trial(calls, bench.seconds)) for name in (GATEWAY, FRESH, TLS)),
    )
    targets = (
        Target("CPU per call against the relay", quotient(GATEWAY, RELAY), 1.9),
        Target("the same with TLS, against the plain relay", quotient(TLS, RELAY), 2.3),
        Target("CPU of a fresh process against a warm one", quotient(FRESH, GATEWAY), 1.1),
        Target("memory per call, KiB", figure(GATEWAY, "kib"), 40),
        Target("the same with TLS, KiB", figure(TLS, "kib"), 120),
    )
    return Table(f"{calls} calls, 20 ms a message", columns, targets + (_IN_TIME if calls == 100 else ()))


def adaptive(bench: Bench) -> list[Table]:
    """What a call costs at 400 calls, with the gateway's own settings."""
    columns = bench.of_relay(400), bench.of_gateway(GATEWAY, ADAPTIVE, Trial(400, bench.seconds, SETTLE_S))
    target = Target("CPU per call against the relay", quotient(GATEWAY, RELAY), 1.3)
    return [Table("400 calls, adaptive", columns, (target,))]


def capacity(bench: Bench) -> list[Table]:
    """Whether the calls that one core is said to hold are in time."""
    plain, tls, batched = "gateway, 350 calls", "gateway, TLS, 250 calls", "gateway, adaptive, 500 calls"
    columns = (
        bench.of_gateway(plain, PINNED, Trial(350, bench.seconds, SETTLE_S)),
        bench.of_gateway(tls, PINNED, Trial(250, bench.seconds, SETTLE_S)),
        bench.of_gateway(batched, ADAPTIVE, Trial(500, bench.seconds, SETTLE_S)),
    )
    targets = [
        target
        for name, calls in ((plain, 350), (tls, 250), (batched, 500))
        for target in (
            Target(f"{name}: up", figure(name, "calls"), calls, at_least=True),
            Target(f"{name}: lateness p99, ms", figure(name, "lateness_ms.p99"), 10),
            Target(f"{name}: gaps over 60 ms", figure(name, "gaps_over_60_ms"), 0),
        )
    ]
    delay = Target(f"{batched}: caller to agent p99, ms", figure(batched, "caller_to_agent_ms.p99"), 65)
    return [Table("one core", columns, (*targets, delay))]


def growth(bench: Bench) -> list[Table]:
    """Whether a call costs no more where there are more of them."""
    sizes = 50, 100, 200, 400
    names = [f"{calls} calls" for calls in sizes]
    columns = tuple(
        bench.of_gateway(name, ADAPTIVE, Trial(calls, bench.seconds, SETTLE_S))
        for name, calls in zip(names, sizes, strict=True)
    )
    targets = tuple(
        Target(f"CPU per call, {more} against {fewer}", quotient(more, fewer), 1.05)
        for fewer, more in pairwise(names)
    )
    return [Table("more and more calls", columns, targets)]


def overload(bench: Bench) -> list[Table]:
    """What becomes of the calls that are up when more are tried than the gateway takes."""
    pinned, adapting = "gateway, 20 ms", "gateway, adaptive"
    columns = (
        bench.of_gateway(pinned, PINNED, Trial(1000, bench.seconds, SETTLE_S, rise_from=220)),
        bench.of_gateway(adapting, ADAPTIVE, Trial(1400, bench.seconds, SETTLE_S, rise_from=320)),
    )
    targets = [
        target
        for name in (pinned, adapting)
        for target in (
            Target(f"{name}: refused", figure(name, "refused"), 1, at_least=True),
            Target(f"{name}: lateness of those that are up, p99, ms", figure(name, "lateness_ms.p99"), 15),
            Target(f"{name}: fallen", figure(name, "fallen"), 0),
        )
    ]
    return [Table("up to 120 % of capacity", columns, tuple(targets))]


def queue(bench: Bench) -> list[Table]:
    """What ten minutes of an agent's speech cost that wait to be heard."""
    trial = Trial(10, bench.seconds, SETTLE_S, speech_s=SPEECH_S)
    columns = (bench.of_gateway(GATEWAY, PINNED, trial),)
    target = Target(
        "memory per byte of audio that waits",
        lambda rounds: _median(rounds, GATEWAY, "kib") / SPEECH_KIB,
        1.2,
    )
    return [Table("ten minutes of speech queued, 10 calls", columns, (target,))]


def peers(bench: Bench) -> list[Table]:
    """What others need for the same."""
    tables = []
    for calls in bench.calls:
        others = (
            Column(name, Subject(name, command, bench.load), Trial(calls, bench.seconds))
            for name, command in bench.others
        )
        columns = (
            bench.of_relay(calls),
            bench.of_gateway(GATEWAY, PINNED, Trial(calls, bench.seconds)),
            *others,
        )
        tables.append(Table(f"{calls} calls", columns, ()))
    return tables


SCENARIOS: dict[str, Callable[[Bench], list[Table]]] = {
    scenario.__name__: scenario for scenario in (density, adaptive, capacity, growth, overload, queue, peers)
}


def figure(column: str, name: str) -> Measure:
    """Measure the median of a figure."""
    return lambda rounds: _median(rounds, column, name)


def quotient(column: str, other: str) -> Measure:
    """Measure the CPU time per call in ``column`` by that in ``other``: the median of the quotients."""
    return lambda rounds: statistics.median(
        a["cpu_ms"] / b["cpu_ms"] for a, b in zip(rounds[column], rounds[other], strict=True)
    )


def _median(rounds: Rounds, column: str, name: str) -> float:
    return median_of(rounds[column], name)


def median_of(rounds: Sequence[Figures], name: str) -> float:
    """``name`` may lead into an inner dictionary, which lacks it when there was nothing to count."""
    outer, _, inner = name.partition(".")
    values: list[float] = [
        figures[outer].get(inner, float("nan")) if inner else figures[outer] for figures in rounds
    ]
    return statistics.median(values)


def _drift(rounds: Rounds) -> float:
    return abs(_median(rounds, GATEWAY, "frames_per_s.p50") - 50)


_IN_TIME = (
    Target("caller to agent p50, ms", figure(GATEWAY, "caller_to_agent_ms.p50"), 0.5),
    Target("caller to agent p99, ms", figure(GATEWAY, "caller_to_agent_ms.p99"), 3),
    Target("onset p99, ms", figure(GATEWAY, "onset_ms.p99"), 22),
    Target("stop p99, ms", figure(GATEWAY, "flush_ms.p99"), 22),
    Target("frames per second, away from 50", _drift, 0.02),
)
