"""What the process itself knows, at each scrape; and the text of a scrape."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from audiosocket_gw import __version__
from audiosocket_gw.metrics.metrics import CONTENT_TYPE, PIECE
from audiosocket_gw.runtime.lateness import BOUNDS_S, Lateness
from audiosocket_gw.runtime.load import Load
from tests.ledger.calls import ended_call
from tests.metrics.figures import metrics_of, scrape


async def test_the_calls_that_are_up() -> None:
    calls = [ended_call(uuid4(), agent=agent, pbx=pbx) for agent, pbx in (("a", "p"), ("a", "p"), ("b", ""))]
    found = await scrape(metrics_of(calls=calls))
    assert found.value("calls_active", agent="a", pbx="p") == 2
    assert found.value("calls_active", agent="b", pbx="unknown") == 1


async def test_a_place_without_calls_has_none_instead_of_its_last_value() -> None:
    up = [ended_call(uuid4(), agent="a", pbx="p")]
    metrics = metrics_of(calls=up)
    assert (await scrape(metrics)).value("calls_active", agent="a", pbx="p") == 1
    up.clear()
    assert (await scrape(metrics)).value("calls_active", agent="a", pbx="p") == 0


async def test_the_process() -> None:
    metrics = metrics_of(
        ready=False,
        draining=True,
        pbxs={"pbx-1": True, "pbx-2": False},
        queued_ms=1_500,
        stalls=2,
        stall_silence_s=0.38,
        refused={"full": 3, "peer": 0},
        recorder_failures={"recording": 1, "flight": 0},
        log_lines_dropped=7,
    )
    found = await scrape(metrics)
    assert found.value("build_info", version=__version__) == 1
    assert found.value("calls_max") == 500
    assert found.value("plan_concurrency_limit") == 30
    assert found.value("ready") == 0
    assert found.value("draining") == 1
    assert found.value("ami_connected", pbx="pbx-1") == 1
    assert found.value("ami_connected", pbx="pbx-2") == 0
    assert found.value("playout_queue_seconds") == 1.5
    assert found.value("loop_busy_ratio") == 0
    assert found.value("audio_batch_seconds") == 0.02
    assert found.value("stalls_total") == 2
    assert found.value("stall_silence_seconds_total") == 0.38
    assert found.value("calls_refused_total", reason="full") == 3
    assert found.value("calls_refused_total", reason="peer") == 0
    assert found.value("recorder_failures_total", recorder="recording") == 1
    assert found.value("log_lines_dropped_total") == 7
    assert found.values["process_resident_memory_bytes", frozenset()] > 0
    assert found.values["process_open_fds", frozenset()] > 0


async def test_a_plan_that_is_not_set_has_no_series() -> None:
    found = await scrape(metrics_of(plan_concurrency=None))
    assert "plan_concurrency" not in found.text


async def test_actions_of_the_manager_interface() -> None:
    metrics = metrics_of()
    metrics.count_action("Redirect", "ok", 0.02)
    metrics.count_action("Redirect", "timed_out", 5.0)
    found = await scrape(metrics)
    assert found.value("ami_actions_total", action="Redirect", outcome="ok") == 1
    assert found.value("ami_actions_total", action="Redirect", outcome="timed_out") == 1
    assert found.value("ami_seconds_sum", action="Redirect") == 5.02
    assert dict(found.buckets("ami_seconds", action="Redirect"))["0.025"] == 1


# Lateness


async def test_the_lateness_of_ticks() -> None:
    lateness = Lateness()
    lateness.add([0.0, 0.001, 0.0011, 0.04, 0.6])
    found = await scrape(metrics_of(lateness=lateness))
    assert dict(found.buckets("frame_lateness_seconds")) == {
        "0.001": 2,
        "0.002": 3,
        "0.005": 3,
        "0.01": 3,
        "0.02": 3,
        "0.04": 4,
        "0.06": 4,
        "0.1": 4,
        "0.2": 4,
        "0.5": 4,
        "+Inf": 5,
    }
    assert found.value("frame_lateness_seconds_count") == 5
    assert found.value("frame_lateness_seconds_sum") == pytest.approx(0.6421)


def test_the_load_counts_every_tick_once_a_window_also_the_last_ones() -> None:
    load = Load()
    now = 0.0
    load.record_tick(0.0, now, 0.0)  # begins the first window
    for tick in range(1, 51):
        now += 0.005
        load.record_tick(0.003 if tick % 10 else 0.03, now, now / 10)
    counted = load.lateness.cumulative[-1]
    assert 0 < counted <= 50
    load.reset()
    assert load.lateness.cumulative[-1] == 50
    assert load.lateness.cumulative[BOUNDS_S.index(0.005)] == 45


# The text


async def test_the_text_is_what_prometheus_reads() -> None:
    found = await scrape(metrics_of("a_tool"))
    assert CONTENT_TYPE.startswith("text/plain; version=")
    assert "_created" not in found.text
    assert found.types["audiosocket_gw_frame_lateness_seconds"] == "histogram"
    assert found.types["audiosocket_gw_calls_refused"] == "counter"
    assert found.text.endswith("\n")


async def test_a_long_metric_is_written_in_steps_and_other_calls_work_between_them() -> None:
    metrics = metrics_of(pbxs={f"pbx-{number}": True for number in range(3 * PIECE)})
    iterations = 0

    async def other() -> None:
        nonlocal iterations
        while True:
            await asyncio.sleep(0)
            iterations += 1

    task = asyncio.create_task(other())
    found = await scrape(metrics)
    task.cancel()
    assert len(found.of("ami_connected")) == 3 * PIECE
    assert found.text.count("# TYPE audiosocket_gw_ami_connected ") == 1
    assert iterations > len(found.types)


async def test_two_gateways_of_a_process_count_apart() -> None:
    one, other = metrics_of(), metrics_of()
    one.count_action("Ping", "ok", 0.001)
    assert (await scrape(one)).of("ami_actions_total")
    assert not (await scrape(other)).of("ami_actions_total")
