"""Logging of the process: one handler gets everything that would be printed to standard error."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from audiosocket_gw.log.formatter import PACKAGE, LogFormat
from audiosocket_gw.log.handler import LogHandler

STDERR = 2

logger = logging.getLogger("audiosocket_gw")


@contextmanager
def log_to_stderr() -> Iterator[None]:
    """Log to standard error while the context is open: warnings and errors, until `set_level`.

    At its end the waiting lines are written, for at most a second. If that fails, standard error is
    redirected to /dev/null, so that later output can't keep the process from ending.
    """
    handler = LogHandler(STDERR)
    with _root_handler(handler), _hooks():
        try:
            yield
        finally:
            if not handler.stop():
                _to_nowhere(STDERR)


def dropped_lines() -> int:
    """Return how many lines of the log were never written, since nothing took them."""
    handlers = logging.getLogger().handlers
    return sum(handler.dropped_lines for handler in handlers if isinstance(handler, LogHandler))


def set_level(level: str) -> None:
    """Set the level of this package; others log warnings and errors."""
    logging.getLogger(PACKAGE).setLevel(level)


def set_format(log_format: LogFormat) -> None:
    """Set the format of further lines."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LogHandler):
            handler.log_format = log_format


def current_format() -> LogFormat:
    """Return the format that is set, for another process."""
    handlers = (each for each in logging.getLogger().handlers if isinstance(each, LogHandler))
    return next((handler.log_format for handler in handlers), LogFormat.TEXT)


def open_standard_descriptors() -> None:
    """Open those of the first three descriptors that are closed, on /dev/null.

    Otherwise the next socket or file of the process would get such a number, and the log would be written
    into it.
    """
    for descriptor in range(STDERR + 1):
        try:
            os.fstat(descriptor)
        except OSError:
            _to_nowhere(descriptor)
    # Python omits these if it finds them closed, and prints output of the one to the other.
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 (a descriptor, open to the end)
    if sys.stderr is None:
        sys.stderr = open(STDERR, "w", closefd=False)  # noqa: SIM115


def _to_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


@contextmanager
def _root_handler(handler: logging.Handler) -> Iterator[None]:
    root, package = logging.getLogger(), logging.getLogger(PACKAGE)
    levels = root.level, package.level
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(levels[0])
        package.setLevel(levels[1])


@contextmanager
def _hooks() -> Iterator[None]:
    """Log what Python itself would print, which would block on standard error."""
    before = sys.unraisablehook, threading.excepthook
    sys.unraisablehook, threading.excepthook = _unraisable, _thread_failed
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        sys.unraisablehook, threading.excepthook = before


def _unraisable(event: sys.UnraisableHookArgs) -> None:
    logger.error("ignored error: %s", event.err_msg, exc_info=event.exc_value)


def _thread_failed(event: threading.ExceptHookArgs) -> None:
    name = event.thread.name if event.thread else "unknown"
    logger.error("the thread %s failed", name, exc_info=event.exc_value)
