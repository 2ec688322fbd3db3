"""What each signal does.

The first SIGTERM, SIGINT, SIGQUIT or SIGPWR requests an orderly stop, the second one ends the process at
once. SIGHUP stops in order if the terminal is gone. Otherwise, as SIGUSR1, it has an action that ends nothing
(`Signals.acting`). Other signals whose default would kill the process, and cut every call off, are ignored.

The handlers are Python's, not the event loop's, so that a stop runs even if the event loop is blocked. The
second signal calls `os._exit`, since the kernel ignores default actions for process 1 of a container.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from audiosocket_gw.log.limit import at_most
from audiosocket_gw.runtime.shutdown import end_after, end_now

logger = logging.getLogger("audiosocket_gw.runtime")

Action = Callable[[], None]


def _known(*names: str) -> frozenset[int]:
    return frozenset(getattr(signal, name) for name in names if hasattr(signal, name))


STOPPING = _known("SIGTERM", "SIGINT", "SIGQUIT", "SIGPWR")

_FAULTS = _known("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS")
_NOT_DEADLY = _known(
    *("SIGCHLD", "SIGCONT", "SIGURG", "SIGWINCH", "SIGTSTP", "SIGTTIN", "SIGTTOU"), *("SIGKILL", "SIGSTOP")
)
"""Signals that are ignored by default or stop and continue a process; the last two can't be handled."""


class Signals:
    """The signals of the process, from `handled_signals`; ``stop`` is set when a stop is requested."""

    def __init__(self, drain_timeout_s: float) -> None:
        self.stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._drain_timeout_s = drain_timeout_s
        self._asked = False
        self._actions: Mapping[int, Action] = {}
        self._terminals = [descriptor for descriptor in range(3) if os.isatty(descriptor)]

    @contextmanager
    def acting(self, actions: Mapping[int, Action]) -> Iterator[None]:
        """Run these on the event loop when their signals come, while the context is open, until a stop.

        Signals that come at the same time may run an action once.
        """
        self._actions = actions
        try:
            yield
        finally:
            self._actions = {}

    # Python calls these, between any two steps of the main thread.

    def on_stop(self, number: int, _: FrameType | None) -> None:
        name = _name(number)
        if self._asked:
            end_now(128 + number, f"{name} again: ending the process at once; calls in progress are cut off")
        self._request_stop(f"{name}: stopping: no new calls; a second signal ends the process at once")

    def on_other(self, number: int, _: FrameType | None) -> None:
        if number == getattr(signal, "SIGHUP", 0) and not self._asked and self._terminal_is_gone:
            # It may come twice, from the kernel and from the shell, and never counts as the second signal.
            self._request_stop("SIGHUP: the terminal is gone: stopping: no new calls")
        elif number in self._actions and not self._asked:
            self._loop.call_soon_threadsafe(self._actions[number])
        else:
            name = _name(number)
            why = "the gateway is starting or stopping" if number in ACTING else "the gateway doesn't use it"
            logger.warning("%s ignored: %s", name, why, extra=at_most(1, name))

    def _request_stop(self, why: str) -> None:
        self._asked = True
        end_after(self._drain_timeout_s)
        logger.info("%s", why)
        self._loop.call_soon_threadsafe(self.stop.set)

    @property
    def _terminal_is_gone(self) -> bool:
        """Whether one of the standard descriptors was a terminal, which has been closed."""
        return not all(map(os.isatty, self._terminals))


ACTING = _known("SIGHUP", "SIGUSR1")
"""Signals that have an action between start and stop."""


@contextmanager
def handled_signals(drain_timeout_s: float) -> Iterator[Signals]:
    """Handle signals while the context is open.

    After a request to stop the process ends within ``drain_timeout_s`` plus `shutdown.STOP_S`.
    """
    signals = Signals(drain_timeout_s)
    handlers = dict.fromkeys(_others(), signals.on_other) | dict.fromkeys(STOPPING, signals.on_stop)
    with _wakened(asyncio.get_running_loop()):
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield signals
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


def _others() -> list[int]:
    """Return the signals that would kill the process without being a stop request or a fault.

    Those that are ignored from the beginning, such as SIGHUP under ``nohup``, stay ignored.
    """
    others = set(map(int, signal.valid_signals())) - STOPPING - _FAULTS - _NOT_DEADLY
    return [number for number in sorted(others) if signal.getsignal(number) is signal.SIG_DFL]


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
