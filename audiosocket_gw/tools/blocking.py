"""Names a tool that blocks the event loop, while it does: the gateway can't say so itself then.

An ``async def`` can block like a ``def``; only running it shows.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath

from audiosocket_gw.log.limit import at_most
from audiosocket_gw.log.text import Sentence

logger = logging.getLogger("audiosocket_gw.tools")

MAX_STEP_S = 0.1
"""A tool that blocks the event loop for longer is audible: the ticker catches up on no more than this."""

LOOK_EVERY_S = 0.05

MAX_PLACES = 4
"""Functions that are named, the innermost first."""

_REMEDY = "use libraries with await (httpx.AsyncClient, not requests), or await asyncio.to_thread(...)"


class BlockingWatch:
    """Watches the steps of the tools that run on one event loop, in a thread that lives as long as one of
    them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._thread: threading.Thread | None = None
        self._loop_thread = 0
        self._step: tuple[str, float] | None = None  # the tool, and when its step began

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch while the context is open; enter it on the event loop."""
        self._loop_thread = threading.get_ident()
        with self._lock:
            self._running += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="tools' watch", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Watch one step of the tool ``name``: from an ``await`` to the next."""
        began_at = time.monotonic()
        self._step = (name, began_at)
        try:
            yield
        finally:
            self._step = None
            _report_if_slow(name, time.monotonic() - began_at)

    def _watch(self) -> None:
        reported: tuple[str, float] | None = None
        while self._is_needed():
            time.sleep(LOOK_EVERY_S)
            step = self._step
            if step is not None and step is not reported and time.monotonic() - step[1] > MAX_STEP_S:
                places = self._places()
                if self._step is step:  # or they are of another step
                    reported = step
                    logger.warning(
                        "tool %s is blocking the gateway, and with it the audio of every call, in %s: %s",
                        step[0],
                        Sentence(places),
                        _REMEDY,
                        extra=at_most(1, step[0]),
                    )

    def _is_needed(self) -> bool:
        with self._lock:
            if self._running:
                return True
            self._thread = None
            return False

    def _places(self) -> str:
        """Return where the event loop's thread is: the innermost functions."""
        frame = sys._current_frames().get(self._loop_thread)
        places: list[str] = []
        while frame is not None and frame.f_code.co_filename != __file__ and len(places) < MAX_PLACES:
            code = frame.f_code
            places.append(f"{code.co_name} ({PurePath(code.co_filename).name}:{frame.f_lineno})")
            frame = frame.f_back
        return ", called by ".join(places)


def _report_if_slow(name: str, took_s: float) -> None:
    if took_s > MAX_STEP_S:
        logger.warning(
            "tool %s blocked the gateway for %d ms, and with it the audio of every call: %s",
            name,
            took_s * 1000,
            _REMEDY,
            extra=at_most(1, name),
        )
