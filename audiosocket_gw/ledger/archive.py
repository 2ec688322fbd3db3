"""Where the records of calls go when they have ended: ``CALL_LOG`` and ``HISTORY_DB``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from audiosocket_gw.errors import Faults
from audiosocket_gw.events import CallEvent
from audiosocket_gw.ledger.call_log import STANDARD_OUTPUT, CallLog
from audiosocket_gw.ledger.history import History
from audiosocket_gw.ledger.record import CallRecord
from audiosocket_gw.ledger.settings import LedgerSettings
from audiosocket_gw.log.text import Sentence
from audiosocket_gw.runtime.permissions import who_else_may_write

logger = logging.getLogger("audiosocket_gw.ledger")


class Archive:
    """Keeps the records of ended calls as the settings want it, while its context is open."""

    def __init__(self, settings: LedgerSettings) -> None:
        self._settings = settings
        self._resources = ExitStack()
        self.call_log: CallLog | None = None
        if settings.call_log is not None:
            self.call_log = CallLog(settings.call_log, settings.caller_numbers)
        self.history: History | None = None
        if settings.history_db is not None:
            self.history = History(settings.history_db, settings.history_max_calls, settings.caller_numbers)

    def __enter__(self) -> Self:
        """Raises:
        ConfigurationError: files can't be opened; the message has a line for each.
        """
        faults = Faults()
        for name, path in self._files():
            _warn_of_others(name, path.parent)
        with ExitStack() as opening:
            if self.call_log is not None:
                with faults.collected():
                    opening.enter_context(self.call_log)
            if self.history is not None:
                with faults.collected():
                    opening.enter_context(self.history)
            faults.raise_if_any()
            self._resources = opening.pop_all()
        return self

    def _files(self) -> Iterator[tuple[str, Path]]:
        settings = self._settings
        if settings.call_log is not None and settings.call_log != STANDARD_OUTPUT:
            yield "CALL_LOG", settings.call_log
        if settings.history_db is not None:
            yield "HISTORY_DB", settings.history_db

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._resources.__exit__(kind, error, traceback)

    def follow(self, event: CallEvent, record: CallRecord) -> None:
        """Keep a call that has ended: a `Follower`."""
        if self.call_log is not None:
            self.call_log.follow(event, record)
        if self.history is not None:
            self.history.follow(event, record)

    @property
    def losses(self) -> dict[str, int]:
        """The records that were lost since the start, by what doesn't have them."""
        places = {"call_log": self.call_log, "history": self.history}
        return {name: place.losses.total for name, place in places.items() if place is not None}

    def reopen(self) -> None:
        """Open the files again that `logrotate` may have moved."""
        if self.call_log is not None:
            self.call_log.reopen()


def _warn_of_others(setting: str, folder: Path) -> None:
    """Warn if others could put another file, or a symbolic link, in place of the one that is named."""
    with suppress(OSError):  # it is told when the file is opened
        others = who_else_may_write(folder)
        if others is not None:
            logger.warning("the folder of %s, %s: %s", setting, folder, Sentence(others))
