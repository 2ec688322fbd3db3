"""What the thread of the event loop got of its core: time asleep, and time waiting for the core.

Linux counts how long a thread was runnable while others had its core (``/proc/thread-self/schedstat``, also
under a CPU quota). What the host of a virtual machine takes, and Python's lock while another thread has it,
shows only as time in which the loop neither slept nor used the CPU. So both are read.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from audiosocket_gw.runtime.event_loop import GatewayEventLoop

SCHEDSTAT = "/proc/thread-self/schedstat"
"""Nanoseconds on the core, nanoseconds waiting for it, and turns of the thread that opens it (proc(5))."""


@dataclass(frozen=True, slots=True)
class CoreTime:
    """Seconds so far; only differences have a meaning."""

    asleep_s: float
    """The loop had nothing to do."""
    waited_s: float
    """The thread was runnable, and others had its core."""


ReadCoreTime = Callable[[], CoreTime]


def stolen_s(before: CoreTime, after: CoreTime, wall_s: float, cpu_s: float) -> float:
    """Return for how many of ``wall_s`` seconds others kept the thread from running.

    Both measures are too low: the kernel's knows neither the host nor Python's lock, and time asleep includes
    the wait for the core after a wake-up. The higher one counts.
    """
    asleep_s = after.asleep_s - before.asleep_s
    return min(wall_s, max(0.0, after.waited_s - before.waited_s, wall_s - cpu_s - asleep_s))


@contextmanager
def core_time_of(loop: asyncio.AbstractEventLoop) -> Iterator[ReadCoreTime]:
    """Yield a function that reads the times of the calling thread, which runs ``loop``.

    Other loops than the gateway's don't count their sleep, and other systems than Linux not the wait: then
    nothing is stolen by that measure.
    """
    with ExitStack() as stack:
        read_waited_s = _no_wait
        with suppress(OSError):
            # Kept open: it is read four times a second, and opening it costs more than reading it.
            stack.enter_context(schedstat := open(SCHEDSTAT, "rb", buffering=0))  # noqa: PTH123, SIM115
            read_waited_s = partial(_read_waited_s, schedstat.fileno())
        asleep = loop if isinstance(loop, GatewayEventLoop) else None
        yield lambda: CoreTime(loop.time() if asleep is None else asleep.asleep_s, read_waited_s())


def _no_wait() -> float:
    return 0.0


def _read_waited_s(descriptor: int) -> float:
    try:
        return int(os.pread(descriptor, 128, 0).split()[1]) / 1e9
    except (OSError, IndexError, ValueError):  # a kernel without these statistics
        return 0.0
