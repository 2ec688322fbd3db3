"""The thread that writes the log. It may wait for whoever reads it; nobody waits for the thread."""

from __future__ import annotations

import os
import queue
import select
import threading
import time
from collections.abc import Callable

from audiosocket_gw.log.formatter import stamped

MAX_WAITING = 2**20
"""Characters that wait to be written, about 8,000 lines; beyond it lines are dropped, and counted."""

MAX_BATCH = 2**14
"""Characters that are written at once, or one line."""

IDLE_S = 1.0

FLUSH_S = 1.0
"""How long what is waiting may take to be written when the process ends."""


class LineWriter:
    """Writes lines to a descriptor, in their order, from `start` to `close`.

    `put` may be called from any thread, and never waits. While the descriptor takes nothing (nobody reads it,
    its terminal is gone, its disk is full) lines are lost; how many is said as soon as it takes some again.
    """

    def __init__(self, descriptor: int, on_idle: Callable[[], None]) -> None:
        """``on_idle`` is called in the thread, once a second and after each batch."""
        self._descriptor = descriptor
        self._on_idle = on_idle
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        # Reentrant: the collector may run, and have something to log, while it is held.
        self._lock = threading.RLock()
        self._waiting = 0
        self._dropping = False
        self._dropped = 0
        self._refused = 0  # the thread's own
        self._refusal = ""

    def start(self) -> None:
        self._thread.start()
        os.register_at_fork(after_in_child=self._write_at_once)

    def close(self) -> bool:
        """Write what is waiting, for `FLUSH_S` at most. Return False when it could not be."""
        self._lines.put(None)
        self._thread.join(FLUSH_S)
        return not self._thread.is_alive()

    def put(self, line: str) -> None:
        """Have ``line``, without its line break, written soon."""
        with self._lock:
            if self._dropping and self._waiting <= MAX_WAITING // 2:
                self._say_dropped()
            if self._dropping or self._waiting >= MAX_WAITING:
                self._dropping = True
                self._dropped += 1
            else:
                self._enqueue(line)

    def _enqueue(self, line: str) -> None:
        self._waiting += len(line)
        self._lines.put(line)

    def _say_dropped(self) -> None:
        dropped, self._dropped, self._dropping = self._dropped, 0, False
        self._enqueue(_dropped(dropped, "the reader of standard error is too slow"))

    def _write_at_once(self) -> None:
        """After a fork: the child doesn't have the thread."""
        self._lock = threading.RLock()
        self._waiting = self._dropped = 0
        self._dropping = False
        self._enqueue = self._write_line  # type: ignore[method-assign]

    def _write_line(self, line: str) -> None:
        self._write([line])

    # In the thread

    def _run(self) -> None:
        closing = False
        while not (closing and self._lines.empty()):
            batch, ends = self._next()
            closing = closing or ends
            self._write(batch)
            with self._lock:
                self._waiting -= sum(map(len, batch))
                if self._dropping and self._lines.empty():
                    self._say_dropped()
            self._on_idle()

    def _next(self) -> tuple[list[str], bool]:
        """Return lines, at once or when there are any, and whether they are the last ones."""
        batch: list[str] = []
        size = 0
        try:
            line = self._lines.get(timeout=IDLE_S)
            while line is not None:
                batch.append(line)
                size += len(line)
                if size >= MAX_BATCH:
                    return batch, False
                line = self._lines.get_nowait()
        except queue.Empty:
            return batch, False
        return batch, True

    def _write(self, lines: list[str]) -> None:
        if not lines:
            return
        if self._refused:
            lines = [_dropped(self._refused, f"standard error failed: {self._refusal}"), *lines]
        try:
            self._write_whole("".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))
        except OSError as error:  # nobody reads, no terminal, no room: it may be over by the next line
            self._refused += len(lines) - bool(self._refused)
            self._refusal = error.strerror or str(error)
        else:
            self._refused = 0

    def _write_whole(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # somebody who shares it has set it so
                _wait_until_writable(self._descriptor)


def _wait_until_writable(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    poll.poll()


def _dropped(lines: int, why: str) -> str:
    return stamped(time.time(), "WARNING", f"{lines:,} log lines were dropped: {why}")
