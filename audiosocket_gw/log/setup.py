"""Logging as a process has it: everything that would be printed on standard error goes to one handler."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from audiosocket_gw.log.formatter import PACKAGE
from audiosocket_gw.log.handler import LogHandler

STDERR = 2

logger = logging.getLogger("audiosocket_gw")


@contextmanager
def log_to_stderr() -> Iterator[None]:
    """Log to standard error while the context is open: warnings and worse, until `set_level`.

    On leaving it what is waiting is written, for a second at most. If nobody takes it, standard error goes
    nowhere from then on: nothing that the process still says may keep it from ending.
    """
    handler = LogHandler(STDERR)
    with _root_handler(handler), _hooks():
        try:
            yield
        finally:
            if not handler.stop():
                _to_nowhere(STDERR)


def set_level(level: str) -> None:
    """Set what is logged of this package; of others it is warnings and worse."""
    logging.getLogger(PACKAGE).setLevel(level)


def open_standard_descriptors() -> None:
    """Open those of the first three descriptors that are closed, to nowhere.

    Otherwise the next socket or file of the process would be given such a number, and the log be written
    into it.
    """
    for descriptor in range(STDERR + 1):
        try:
            os.fstat(descriptor)
        except OSError:
            _to_nowhere(descriptor)
    # Python leaves these away where it finds them closed, and prints what is for the one on the other.
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
    """Log what Python would print by itself: it would wait for whoever reads standard error."""
    before = sys.unraisablehook, threading.excepthook
    sys.unraisablehook, threading.excepthook = _unraisable, _thread_failed
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        sys.unraisablehook, threading.excepthook = before


def _unraisable(event: sys.UnraisableHookArgs) -> None:
    logger.error("an error that nobody could be told of: %s", event.err_msg, exc_info=event.exc_value)


def _thread_failed(event: threading.ExceptHookArgs) -> None:
    name = event.thread.name if event.thread else "unknown"
    logger.error("the thread %s failed", name, exc_info=event.exc_value)
