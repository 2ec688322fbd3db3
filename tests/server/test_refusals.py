"""What is refused is counted, in all and without a pause."""

from __future__ import annotations

from audiosocket_gw.server.refusals import PAUSE_S, Refusal, Refusals, Row


def test_refusals_without_a_pause_are_a_row() -> None:
    now = 1_000.0
    refusals = Refusals()
    assert not list(refusals.going_on(now))
    refusals.add(Refusal.FULL, now)
    now += PAUSE_S
    refusals.add(Refusal.FULL, now)
    refusals.add(Refusal.PEER, now)
    assert dict(refusals.going_on(now)) == {
        Refusal.FULL: Row(2, 1_000.0, now),
        Refusal.PEER: Row(1, now, now),
    }
    now += PAUSE_S + 1
    assert not list(refusals.going_on(now))
    refusals.add(Refusal.FULL, now)
    assert dict(refusals.going_on(now)) == {Refusal.FULL: Row(1, now, now)}
    assert (refusals.counts[Refusal.FULL], refusals.counts[Refusal.DRAINING]) == (3, 0)
