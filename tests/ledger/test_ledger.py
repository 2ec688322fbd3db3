"""The ledger: live records, those that ended last, counts, followers and subscribers."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from audiosocket_gw import events
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.ledger.ledger import Ledger
from audiosocket_gw.ledger.record import CallRecord, CallState
from tests.ledger.calls import CALL, WHOLE_CALL, record_of

START, *MIDDLE, END = WHOLE_CALL
WALL_CLOCK = 1_764_072_000.0


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(wall_clock=lambda: WALL_CLOCK, max_recent=3)


def started(uuid: UUID, at: float | None = None) -> events.CallStarted:
    return events.CallStarted(uuid, asyncio.get_running_loop().time() if at is None else at, "pbx:1")


def ended(uuid: UUID, reason: EndReason = EndReason.CALLER_HANGUP) -> events.CallEnded:
    return events.CallEnded(uuid, asyncio.get_running_loop().time(), CallEnd(reason, "why"), 1_000, 500)


async def test_a_call_is_live_until_it_ends_and_recent_afterwards(ledger: Ledger) -> None:
    for event in (START, *MIDDLE):
        ledger.observe(event)
    (live,) = ledger.live()
    assert ledger.find(CALL) is live
    assert (live.state, ledger.recent()) == (CallState.TALKING, ())
    ledger.observe(END)
    assert ledger.live() == ()
    (recent,) = ledger.recent()
    assert ledger.find(CALL) is recent
    assert recent == replace(record_of(), started_at=recent.started_at)


async def test_the_start_on_the_wall_clock_follows_from_the_loop_time(ledger: Ledger) -> None:
    now = asyncio.get_running_loop().time()
    ledger.observe(started(CALL, now - 60))
    (record,) = ledger.live()
    assert record.started_at == pytest.approx(WALL_CLOCK - 60, abs=5)
    age_ms = ledger.age_ms(CALL)
    assert age_ms is not None and 60_000 <= age_ms < 65_000
    ledger.observe(ended(CALL))
    assert ledger.age_ms(CALL) is None


async def test_only_the_last_endings_are_kept_the_latest_first(ledger: Ledger) -> None:
    calls = [uuid4() for _ in range(5)]
    for call in calls:
        ledger.observe(started(call))
        ledger.observe(ended(call))
    assert [record.uuid for record in ledger.recent()] == calls[:1:-1]
    assert ledger.find(calls[0]) is None


async def test_calls_are_counted_by_their_ends(ledger: Ledger) -> None:
    for reason in (EndReason.CALLER_HANGUP, EndReason.CALLER_HANGUP, EndReason.AGENT_QUOTA):
        call = uuid4()
        ledger.observe(started(call))
        ledger.observe(ended(call, reason))
    silent = uuid4()
    ledger.observe(started(silent))
    ledger.observe(events.AgentSilent(silent, 1.0, 5_000))
    ledger.observe(ended(silent))
    ledger.observe(started(uuid4()))
    counts = ledger.counts()
    assert (counts.started, counts.bad) == (5, 2)
    assert counts.ended == {EndReason.CALLER_HANGUP: 3, EndReason.AGENT_QUOTA: 1}


async def test_what_comes_after_the_end_or_before_the_start_changes_nothing(ledger: Ledger) -> None:
    followed: list[events.CallEvent] = []
    ledger.follow(lambda event, record: followed.append(event))
    ledger.observe(END)
    for event in WHOLE_CALL:
        ledger.observe(event)
    ledger.observe(MIDDLE[-1])
    assert ledger.live() == ()
    assert len(followed) == len(WHOLE_CALL)


async def test_a_call_that_takes_the_uuid_of_one_that_is_still_ending(ledger: Ledger) -> None:
    first, second = UUID(str(CALL)), UUID(str(CALL))  # equal, and not the same
    endings: list[CallRecord] = []
    ledger.follow(lambda _, record: endings.append(record) if record.end else None)
    ledger.observe(started(first))
    ledger.observe(events.AgentConnected(first, 1.0, "conv_1", 1.0))
    ledger.observe(started(second))
    ledger.observe(events.AgentConnected(second, 1.0, "conv_2", 1.0))
    ledger.observe(events.DigitPressed(first, 1.0, "1"))
    assert [record.conversation_id for record in ledger.live()] == ["conv_2"]
    ledger.observe(ended(first))
    (live,) = ledger.live()
    assert (live.conversation_id, live.digits) == ("conv_2", 0)
    ledger.observe(ended(second, EndReason.AGENT_LOST))
    assert [(record.conversation_id, record.digits) for record in endings] == [("conv_1", 1), ("conv_2", 0)]
    assert ledger.live() == ()


async def test_followers_get_each_event_with_the_record_after_it(ledger: Ledger) -> None:
    followed: list[tuple[events.CallEvent, CallRecord]] = []
    ledger.follow(lambda event, record: followed.append((event, record)))
    for event in WHOLE_CALL:
        ledger.observe(event)
    assert [event for event, _ in followed] == list(WHOLE_CALL)
    assert [len(record.turns) for _, record in followed][-1] == 2
    assert followed[0][1].turns == ()


async def test_a_follower_that_fails_harms_no_other(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    followed: list[events.CallEvent] = []

    def fail(event: events.CallEvent, record: CallRecord) -> None:
        raise RuntimeError

    ledger.follow(fail)
    ledger.follow(lambda event, record: followed.append(event))
    ledger.observe(START)
    assert followed == [START]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


# Subscriptions


async def test_a_subscriber_gets_what_happens_from_now_on(ledger: Ledger) -> None:
    ledger.observe(START)
    with ledger.subscribe() as updates:
        loop = asyncio.get_running_loop()
        for event in (*MIDDLE, END):
            loop.call_soon(ledger.observe, event)
        loop.call_soon(ledger.close)
        assert [update async for update in updates] == [
            (event, record_of_first(index + 2), round((event.at - START.at) * 1000))
            for index, event in enumerate((*MIDDLE, END))
        ]


def record_of_first(count: int) -> CallRecord:
    class _AnyTime(float):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = float.__hash__

    return record_of(WHOLE_CALL[:count], _AnyTime())


async def test_a_subscriber_of_one_call_gets_no_other(ledger: Ledger) -> None:
    other = uuid4()
    with ledger.subscribe(CALL) as updates:
        ledger.observe(started(other))
        ledger.observe(START)
        ledger.close()
        assert [update.event.uuid async for update in updates] == [CALL]


async def test_pings_are_for_followers_alone(ledger: Ledger) -> None:
    followed: list[events.CallEvent] = []
    ledger.follow(lambda event, _: followed.append(event))
    ping = events.AgentPinged(CALL, 104.0, 48.0)
    with ledger.subscribe() as updates:
        ledger.observe(START)
        ledger.observe(ping)
        ledger.close()
        assert [update.event async for update in updates] == [START]
    assert followed == [START, ping]


async def test_a_slow_subscriber_loses_the_oldest_and_is_told_how_many(ledger: Ledger) -> None:
    with ledger.subscribe(limit=4) as slow, ledger.subscribe() as fast:
        for event in WHOLE_CALL:
            ledger.observe(event)
        ledger.close()
        assert [update.event async for update in slow] == list(WHOLE_CALL[-4:])
        assert slow.dropped == len(WHOLE_CALL) - 4
        assert [update.event async for update in fast] == list(WHOLE_CALL)
        assert fast.dropped == 0


async def test_a_subscriber_that_is_cancelled_leaves_nothing(ledger: Ledger) -> None:
    async def watch() -> None:
        with ledger.subscribe() as updates:
            async for _ in updates:
                pass

    task = asyncio.create_task(watch())
    await asyncio.sleep(0)
    ledger.observe(START)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    ledger.observe(END)
    ledger.close()


async def test_a_waiting_subscriber_may_give_up_and_wait_again(ledger: Ledger) -> None:
    """As a stream of server-sent events does, which sends a comment when nothing has happened for a while."""
    with ledger.subscribe() as updates:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await anext(updates)
        ledger.observe(START)
        assert (await anext(updates)).event is START


async def test_who_subscribes_while_the_gateway_stops_is_told_the_end(ledger: Ledger) -> None:
    ledger.close()
    with ledger.subscribe() as updates:
        assert [update async for update in updates] == []
