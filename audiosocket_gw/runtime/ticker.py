"""The clock of all calls: one timer for the process, every 20 ms, with absolute deadlines.

Asterisk doesn't pace what it receives, so the gateway is the clock of the caller's audio. A sleep after each
frame runs 2 to 60 % slow, and a task per call costs far more than one timer for all calls (measured; see
`docs/performance.md`).
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from audiosocket_gw.audio import FRAME_MS
from audiosocket_gw.log.current_call import outside_calls
from audiosocket_gw.log.limit import ONCE
from audiosocket_gw.runtime.load import Load

logger = logging.getLogger("audiosocket_gw.runtime")

PERIOD_S = FRAME_MS / 1000

SLOTS = 4
"""The calls are spread over this many slots, 5 ms apart, so that they don't all wait for one burst."""

SLOT_S = PERIOD_S / SLOTS

MAX_CATCH_UP_S = 0.1
"""How much lost time the clock catches up on, frame after frame, after the loop was blocked. It skips the
rest (of time, not of audio): a longer burst would only fill the far end's jitter buffer."""

LATE_S = 0.01
"""A frame that is this late may come after the audio before it has been played."""

Tick = Callable[[], None]


class Regularity:
    """How regular the ticks of one slot were since this was created: ``late`` ones, and ``skipped`` ones."""

    __slots__ = ("_late", "_skipped", "_slot", "_ticker")

    def __init__(self, ticker: Ticker, slot: int) -> None:
        self._ticker = ticker
        self._slot = slot
        self._late = ticker.late[slot]
        self._skipped = ticker.skipped

    @property
    def late(self) -> int:
        """Ticks that were more than `LATE_S` late."""
        return self._ticker.late[self._slot] - self._late

    @property
    def skipped(self) -> int:
        """Ticks that there were not, since the loop was blocked."""
        return self._ticker.skipped - self._skipped


class Ticker:
    """Calls each attached function every 20 ms. It has no timer while none is attached."""

    def __init__(self, load: Load | None = None, backlog_s: Callable[[], float] = lambda: 0.0) -> None:
        """``load`` records every tick; ``backlog_s`` returns how long sockets have waited to be read."""
        self._load = load
        self._backlog_s = backlog_s
        self._slots: list[set[Tick]] = [set() for _ in range(SLOTS)]
        self.late = [0] * SLOTS
        """Ticks of each slot that were more than `LATE_S` late."""
        self.skipped = 0
        """Ticks of any slot that were skipped."""
        self.stalls = 0
        """How often the loop was blocked for longer than the clock catches up on."""
        self._next_slot = 0
        self._deadline = 0.0
        self._timer: asyncio.Handle | None = None
        self._context = outside_calls()

    @property
    def overdue_s(self) -> float:
        """How late the next tick is now, in seconds; 0.0 while nothing is attached."""
        if self._timer is None:
            return 0.0
        return max(0.0, asyncio.get_running_loop().time() - self._deadline)

    @contextmanager
    def attach(self, tick: Tick) -> Iterator[Regularity]:
        """Call ``tick`` every 20 ms while the context is open. It must neither raise nor block.

        Yield how regular the ticks are.
        """
        place = min(range(SLOTS), key=lambda place: len(self._slots[place]))
        slot = self._slots[place]
        slot.add(tick)
        if self._load is not None:
            self._load.on_clock += 1
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.time()
            self._timer = loop.call_soon(self._fire, context=self._context)
        try:
            yield Regularity(self, place)
        finally:
            slot.discard(tick)
            if self._load is not None:
                self._load.on_clock -= 1
            if self._timer is not None and not any(self._slots):
                self._timer.cancel()
                self._timer = None
                if self._load is not None:
                    self._load.reset()

    def _fire(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        late_s = now - self._deadline
        if late_s > MAX_CATCH_UP_S:
            lost_s = math.ceil((late_s - MAX_CATCH_UP_S) / PERIOD_S) * PERIOD_S
            self._deadline += lost_s
            self.skipped += round(lost_s / PERIOD_S)
            self.stalls += 1
            logger.warning(
                "the process was blocked for %.0f ms: all callers heard silence for %.0f ms of it",
                late_s * 1000,
                lost_s * 1000,
                extra=ONCE,
            )
        # A late timer also runs the slots that are due by now: the next loop iteration may take as long.
        due = 1 + int((now - self._deadline) / SLOT_S)
        if late_s > LATE_S:
            self._count_late(now, due)
        # Schedule the next one first: the clock continues whatever happens in a tick.
        self._deadline += due * SLOT_S
        self._timer = loop.call_at(self._deadline, self._fire, context=self._context)
        for _ in range(due):
            slot = self._slots[self._next_slot]
            self._next_slot = (self._next_slot + 1) % SLOTS
            for tick in tuple(slot):
                tick()
        if self._load is not None:
            # The clock runs before the sockets: they may be late when it isn't.
            self._load.record_tick(max(late_s, self._backlog_s()), now, time.thread_time())

    def _count_late(self, now: float, due: int) -> None:
        for place in range(due):
            if now - self._deadline - place * SLOT_S > LATE_S:
                self.late[(self._next_slot + place) % SLOTS] += 1
