"""The rate limit: what is admitted, what is counted, and when that is said."""

from __future__ import annotations

import logging
from uuid import UUID, uuid4

from audiosocket_gw.log.limit import BURST, CALLS_BURST, ONCE, WINDOW_S, RateLimit, Topic, at_most

STRANGER = Topic("audiosocket_gw.server", logging.WARNING, "%s: closed before a call began: %s")


def about(call: UUID, template: str = "call %s: interrupted, %d ms discarded") -> Topic:
    return Topic("audiosocket_gw.call", logging.INFO, template, call)


def test_a_burst_passes_and_the_rest_is_counted_once() -> None:
    limit = RateLimit()
    admitted = [limit.accepts(STRANGER, number / 1000) for number in range(9_000)]
    assert admitted == [True] * BURST + [False] * (9_000 - BURST)
    assert limit.ended(WINDOW_S - 0.001) == []
    assert limit.ended(WINDOW_S) == [(STRANGER, 9_000 - BURST)]
    assert limit.ended(WINDOW_S * 10) == []
    assert limit.accepts(STRANGER, WINDOW_S)


def test_what_stays_below_is_never_held_back() -> None:
    limit = RateLimit()
    for number in range(10_000):
        now = number * WINDOW_S / BURST
        assert limit.ended(now) == []
        assert limit.accepts(STRANGER, now)


def test_level_and_template_and_call_have_limits_of_their_own() -> None:
    limit = RateLimit()
    one, other = uuid4(), uuid4()
    for _ in range(1_000):
        limit.accepts(about(one), 0)
    assert not limit.accepts(about(one), 1)
    assert limit.accepts(about(one)._replace(level=logging.WARNING), 1)
    assert limit.accepts(about(one, "call %s: key pressed"), 1)
    assert limit.accepts(about(other), 1)
    assert limit.ended(WINDOW_S) == [(about(one), 1_001 - BURST)]


def test_150_honest_calls_a_second_are_all_logged() -> None:
    limit = RateLimit()
    for number in range(150 * 60):
        now = number / 150
        call = uuid4()
        assert limit.ended(now) == []
        for template in ("call %s: started by %s", "call %s: ended, reason=%s"):
            assert limit.accepts(about(call, template), now)


def test_strangers_that_pretend_to_be_calls_are_limited_all_together() -> None:
    limit = RateLimit()
    admitted = sum(limit.accepts(about(uuid4()), 0) for _ in range(10_000))
    assert admitted == CALLS_BURST
    together = Topic("audiosocket_gw.call", logging.INFO, "call %s: interrupted, %d ms discarded")
    assert limit.ended(WINDOW_S) == [(together, 10_000 - CALLS_BURST)]
    assert limit._windows == {}, "nothing is left of past calls"


def test_what_may_repeat_is_said_once_in_a_window_for_each_subject() -> None:
    limit = RateLimit()
    for _ in range(34):
        for host in ("192.0.2.7", "192.0.2.8"):
            limit.accepts(STRANGER._replace(about=host), 0, burst=1)
    assert limit.ended(WINDOW_S) == [
        (STRANGER._replace(about="192.0.2.7"), 33),
        (STRANGER._replace(about="192.0.2.8"), 33),
    ]


def test_subjects_are_limited_all_together() -> None:
    limit = RateLimit()
    admitted = sum(limit.accepts(STRANGER._replace(about=f"{host}"), 0, burst=1) for host in range(500))
    assert admitted == BURST
    assert limit.ended(WINDOW_S) == [(STRANGER, 500 - BURST)]
    assert limit._windows == {}


def test_what_a_line_says_of_its_limit() -> None:
    assert ONCE == {"burst": 1, "about": None}
    assert at_most(3, "pbx") == {"burst": 3, "about": "pbx"}


def test_a_topic_says_what_its_lines_look_like() -> None:
    call = UUID("40325ec2-5efd-4bd3-805f-53576e581d13")
    assert str(STRANGER) == "...: closed before a call began: ..."
    assert str(about(call)) == "interrupted, ... ms discarded"
    assert str(about(call, "call %s: %.200r, 5 %% of %(name)s")) == "..., 5 % of ..."
    assert str(about(call, "printed: %s")) == "printed: ..."
    assert str(STRANGER._replace(about="192.0.2.7")) == "192.0.2.7: closed before a call began: ..."
    assert str(Topic("asyncio", logging.ERROR, "")) == "asyncio"
