"""A line a minute for the log while calls are up: how many, how they ended, how fast the agent answers."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from audiosocket_gw.events import CallEnded, CallEvent, CallStarted, TurnTaken
from audiosocket_gw.ledger.record import CallRecord
from audiosocket_gw.log.current_call import outside_calls
from audiosocket_gw.log.text import Sentence

logger = logging.getLogger("audiosocket_gw.ledger")

PERIOD_S = 60.0

MAX_TURNS = 10_000
"""Turns of a minute whose latencies are kept: more than a thousand calls have."""


@dataclass(slots=True)
class _Minute:
    started: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    turns_ms: list[int] = field(default_factory=list)


class MinuteLines:
    """Follows the ledger. Its timer runs while calls are up, and until the minute of the last one is over."""

    def __init__(self, calls: Callable[[], int], load: Callable[[], object]) -> None:
        """``calls`` returns how many are up, ``load`` the figures of the load."""
        self._calls = calls
        self._load = load
        self._minute = _Minute()
        self._timer: asyncio.TimerHandle | None = None
        self._context = outside_calls()

    def follow(self, event: CallEvent, _: CallRecord) -> None:
        """Count an event: a `Follower`."""
        match event:
            case CallStarted():
                self._minute.started += 1
                self._arm()
            case TurnTaken(latency_ms=latency_ms) if len(self._minute.turns_ms) < MAX_TURNS:
                self._minute.turns_ms.append(latency_ms)
            case CallEnded(reason=reason):
                self._minute.ended[reason] += 1

    def close(self) -> None:
        """Log nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(PERIOD_S, self._log, context=self._context)

    def _log(self) -> None:
        self._timer = None
        minute, self._minute = self._minute, _Minute()
        calls = self._calls()
        ended = ", ".join(f"{reason} {count}" for reason, count in minute.ended.most_common()) or "none"
        logger.info(
            "last %d s: calls=%d started=%d ended=%d turns=%d turn_ms_p50=%s turn_ms_max=%s; ended: %s; %s",
            PERIOD_S,
            calls,
            minute.started,
            minute.ended.total(),
            len(minute.turns_ms),
            round(median(minute.turns_ms)) if minute.turns_ms else None,
            max(minute.turns_ms, default=None),
            Sentence(ended),
            self._load(),
        )
        if calls:
            self._arm()
