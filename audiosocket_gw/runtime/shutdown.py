"""The guarantee that the process ends: a time limit of a stop, and what happens to what is left."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from typing import NoReturn

from audiosocket_gw.log.handler import LogHandler

logger = logging.getLogger("audiosocket_gw.runtime")

STOP_S = 5.0
"""Time limit of a stop, beyond ``DRAIN_TIMEOUT``."""

DRAIN_S = 1.0
"""The part of it for the log, whose reader may be blocked."""

LEFTOVERS_S = 0.5
"""Time for remaining tasks and threads to end after everything else."""


async def end_with_nothing_left(status: int) -> None:
    """Return if no task and no thread is left; otherwise end the process, which would otherwise wait for
    them.

    A tool may swallow its cancellation, or wait in a thread for ever.
    """
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=LEFTOVERS_S)
    until = time.monotonic() + LEFTOVERS_S
    # There is no event for the end of a thread.
    while (threads := _waited_for()) and time.monotonic() < until:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    left = [task.get_name() for task in tasks if not task.done()] + [thread.name for thread in threads]
    if left:
        end_now(status, f"abandoned what did not stop: {', '.join(left)}")


def end_now(status: int, why: str) -> NoReturn:
    """End the process without waiting, except for the log, for at most `DRAIN_S`."""
    try:
        logger.error("%s", why)
        for handler in logging.getLogger().handlers:
            if isinstance(handler, LogHandler):
                handler.stop()
    finally:
        os._exit(status)


def end_after(drain_timeout_s: float) -> None:
    """End the process after ``drain_timeout_s`` plus `STOP_S`, whatever hangs; an earlier end is its own."""
    seconds = drain_timeout_s + STOP_S - DRAIN_S
    why = f"the stop took longer than DRAIN_TIMEOUT plus {STOP_S:g} s: ending the process now"
    watchdog = threading.Timer(min(seconds, threading.TIMEOUT_MAX), end_now, (1, why))
    watchdog.daemon = True
    watchdog.start()


def _waited_for() -> list[threading.Thread]:
    """Return the threads that Python waits for at the end of the process."""
    return [t for t in threading.enumerate() if not t.daemon and t is not threading.main_thread()]
