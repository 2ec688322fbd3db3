"""The thread that writes the log. It may block on standard error; no caller blocks on the thread."""

from __future__ import annotations

import os
import queue
import select
import threading
from collections.abc import Callable

MAX_WAITING = 2**20
"""Characters that may wait to be written, about 8,000 lines; further lines are dropped and counted."""

MAX_BATCH = 2**14
"""Characters per write, unless one line has more."""

IDLE_S = 1.0

DRAIN_S = 1.0
"""How long writing the waiting lines may take when the process ends."""


class LineWriter:
    """Writes lines to a descriptor, in order, from `start` to `close`.

    `put` may be called from any thread and never blocks. While the descriptor accepts nothing (it isn't read,
    its terminal is gone, its disk is full) lines are dropped; their number is logged as soon as it accepts
    lines again.
    """

    def __init__(
        self,
        descriptor: int,
        on_idle: Callable[[], None],
        dropped: Callable[[int, str], str],
        *,
        drain_s: float = DRAIN_S,
    ) -> None:
        """``on_idle`` runs in the thread once a second and after each batch; ``drain_s`` limits `close`.

        ``dropped`` returns the line that says how many lines were dropped, and why.
        """
        self._descriptor = descriptor
        self._format_dropped = dropped
        self._drain_s = drain_s
        self._on_idle = on_idle
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        # Reentrant: the garbage collector may run while it is held, and log something.
        self._lock = threading.RLock()
        self.dropped_lines = 0
        """Lines that were never written, since the start."""
        self._waiting = 0
        self._dropping = False
        self._dropped = 0
        self._refused = 0  # used only by the thread
        self._refusal = ""

    def start(self) -> None:
        self._thread.start()
        os.register_at_fork(after_in_child=self._write_at_once)

    def close(self) -> bool:
        """Write the waiting lines, for at most ``drain_s``. Return False if they could not be written."""
        self._lines.put(None)
        self._thread.join(self._drain_s)
        return not self._thread.is_alive()

    def put(self, line: str) -> None:
        """Queue ``line``, without its line break, for writing."""
        with self._lock:
            if self._dropping and self._waiting <= MAX_WAITING // 2:
                self._say_dropped()
            if self._dropping or self._waiting >= MAX_WAITING:
                self._dropping = True
                self._dropped += 1
                self.dropped_lines += 1
            else:
                self._enqueue(line)

    def _enqueue(self, line: str) -> None:
        self._waiting += len(line)
        self._lines.put(line)

    def _say_dropped(self) -> None:
        dropped, self._dropped, self._dropping = self._dropped, 0, False
        self._enqueue(self._format_dropped(dropped, "the reader of standard error is too slow"))

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
        """Return the next lines, as soon as there are any, and whether they are the last."""
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
            lines = [self._format_dropped(self._refused, f"standard error failed: {self._refusal}"), *lines]
        try:
            self._write_whole("".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))
        except OSError as error:  # no reader, no terminal, no space: it may work again at the next line
            refused = len(lines) - bool(self._refused)
            self._refused += refused
            with self._lock:
                self.dropped_lines += refused
            self._refusal = error.strerror or str(error)
        else:
            self._refused = 0

    def _write_whole(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # another process that shares it made it non-blocking
                _wait_until_writable(self._descriptor)


def _wait_until_writable(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    poll.poll()
