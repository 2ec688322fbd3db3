"""Stop signals, and the guarantee that the process ends.

The first SIGTERM, SIGINT, SIGQUIT or SIGPWR requests an orderly stop, the second one ends the process at
once. Other signals whose default would kill the process, and cut every call off, are ignored: SIGHUP of a
closed terminal or a reload, SIGUSR1 of a log rotation.

The handlers are Python's, not the event loop's, so that they run even if the event loop is blocked. The
second signal calls `os._exit`, since the kernel ignores default actions for process 1 of a container.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from audiosocket_gw.log.handler import LogHandler

logger = logging.getLogger("audiosocket_gw.runtime")

STOP_S = 5.0
"""Time limit of a stop, beyond ``DRAIN_TIMEOUT``."""

DRAIN_S = 1.0
"""The part of it for the log, whose reader may be blocked."""

LEFTOVERS_S = 0.5
"""Time for remaining tasks and threads to end after everything else."""


def _known(*names: str) -> frozenset[int]:
    return frozenset(getattr(signal, name) for name in names if hasattr(signal, name))


STOPPING = _known("SIGTERM", "SIGINT", "SIGQUIT", "SIGPWR")

_FAULTS = _known("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS")
_NOT_DEADLY = _known(
    *("SIGCHLD", "SIGCONT", "SIGURG", "SIGWINCH", "SIGTSTP", "SIGTTIN", "SIGTTOU"), *("SIGKILL", "SIGSTOP")
)
"""Signals that are ignored by default or stop and continue a process; the last two can't be handled."""

_HINTS = {"SIGHUP": "settings are read at the start only; restart the gateway to change them"}


@contextmanager
def stop_signals(drain_timeout_s: float) -> Iterator[asyncio.Event]:
    """Handle signals while the context is open; the event is set when a stop is requested.

    After that the process ends within ``drain_timeout_s`` plus `STOP_S`, whatever hangs.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    asked = False

    def on_stop(number: int, _: FrameType | None) -> None:
        nonlocal asked
        name = _name(number)
        if asked:
            end_now(128 + number, f"{name} again: ending the process at once; calls in progress are cut off")
        asked = True
        _end_after(drain_timeout_s + STOP_S - DRAIN_S)
        logger.info("%s: stopping: no new calls; a second signal ends the process at once", name)
        loop.call_soon_threadsafe(stop.set)

    handlers = dict.fromkeys(_ignored(), _ignore) | dict.fromkeys(STOPPING, on_stop)
    with _wakened(loop):
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield stop
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _wakened(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Make signals wake the event loop, so that Python runs the handler.

    A signal just before the wait begins wouldn't interrupt it.
    """
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        loop.add_reader(reader, lambda: reader.recv(4_096))
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            loop.remove_reader(reader)


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


def _end_after(seconds: float) -> None:
    why = f"the stop took longer than DRAIN_TIMEOUT plus {STOP_S:g} s: ending the process now"
    watchdog = threading.Timer(min(seconds, threading.TIMEOUT_MAX), end_now, (1, why))
    watchdog.daemon = True
    watchdog.start()


def _waited_for() -> list[threading.Thread]:
    """Return the threads that Python waits for at the end of the process."""
    return [t for t in threading.enumerate() if not t.daemon and t is not threading.main_thread()]


def _ignored() -> list[int]:
    """Return the signals that would kill the process without being a stop request or a fault."""
    others = set(map(int, signal.valid_signals())) - STOPPING - _FAULTS - _NOT_DEADLY
    return [number for number in sorted(others) if signal.getsignal(number) is signal.SIG_DFL]


def _ignore(number: int, _: FrameType | None) -> None:
    name = _name(number)
    logger.warning("%s ignored: %s", name, _HINTS.get(name, "the gateway doesn't use it"))


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
