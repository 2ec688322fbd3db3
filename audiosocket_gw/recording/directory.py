"""A directory of files that are named after calls."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.log.text import Sentence
from audiosocket_gw.runtime.permissions import who_else_may_write

logger = logging.getLogger("audiosocket_gw.recording")

_NAME = re.compile(r"(\d{8}T\d{6}\.\d{3}Z)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


def call_name(uuid: UUID, started_on: datetime) -> str:
    """Return the name of a call's files, without a suffix. Names sort by time."""
    utc = started_on.astimezone(UTC)
    return f"{utc:%Y%m%dT%H%M%S}.{utc.microsecond // 1000:03}Z-{uuid}"


def started_on(name: str) -> datetime | None:
    """Return the start of the call whose files have this name, or None if it isn't such a name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        return datetime.fromisoformat(match[1])
    except ValueError:
        return None


def prepare(directory: Path, setting: str) -> None:
    """Create the directory, for its owner only, if it is missing; check that files can be created in it.

    A directory that is a symbolic link, or that another user may write to, gets a warning.

    Raises:
        ConfigurationError: it can't be used; the message names ``setting``.
    """
    try:
        _make(directory)
        with tempfile.TemporaryFile(dir=directory):
            pass
        others = who_else_may_write(directory)
    except OSError as error:
        raise ConfigurationError(
            f"{setting}={str(directory)!r}: files can't be written there: {error.strerror}. "
            "Name a directory that the gateway can create, or that its user may write to."
        ) from None
    if directory.is_symlink():
        logger.warning("%s=%s is a symbolic link to %s", setting, directory, directory.resolve())
    if others is not None:
        logger.warning("%s=%s: %s", setting, directory, Sentence(others))


def _make(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


class Claim:
    """A directory locked by this process. The thread that writes into it calls `renew`."""

    def __init__(self, directory: Path, setting: str) -> None:
        """Raises:
        ConfigurationError: another process has locked it, or it can't be read; the message names ``setting``.
        """
        self._directory = directory
        self._setting = setting
        try:
            self._descriptor = self._open()
        except OSError as error:
            raise ConfigurationError(
                f"{setting}={str(directory)!r}: it can't be read: {error.strerror}. "
                "Name a directory that the gateway's user may read."
            ) from None

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

    def renew(self) -> None:
        """Lock the directory again if it was removed or replaced; call it before creating a call's files.

        Raises:
            OSError: it can't be created, or another process has locked it.
        """
        if self._descriptor < 0:
            return  # the gateway has stopped without waiting for the disk
        claimed = os.fstat(self._descriptor)
        try:
            if os.path.samestat(self._directory.stat(), claimed):
                return
            what = "it is another directory than it was: moved, or its file system was mounted or unmounted"
        except FileNotFoundError:
            what = "it was removed, and is created again"
        logger.warning("%s=%s: %s", self._setting, self._directory, what)
        _make(self._directory)
        try:
            descriptor = self._open()
        except ConfigurationError:
            raise OSError(errno.EBUSY, "another gateway uses the directory") from None
        self.close()
        self._descriptor = descriptor

    def _open(self) -> int:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _lock(descriptor, self._directory, self._setting)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


@contextmanager
def claim(directory: Path, setting: str) -> Iterator[Claim]:
    """Prepare the directory, and lock it against other processes while the context is open.

    The kernel's lock on the directory itself leaves no file, and ends with the process.

    Raises:
        ConfigurationError: it can't be used, or another process has locked it; the message names ``setting``.
    """
    prepare(directory, setting)
    claimed = Claim(directory, setting)
    try:
        yield claimed
    finally:
        claimed.close()


def _lock(descriptor: int, directory: Path, setting: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigurationError(
            f"{setting}={str(directory)!r} is in use: a gateway removes old calls from its directory, and "
            "knows only its own. Name one for each gateway, and for each of RECORD_DIR and FLIGHT_DIR."
        ) from None
    except OSError as error:  # such as NFS, which only locks files
        logger.warning(
            "%s=%s: it can't be locked: %s. Make sure that no other gateway uses it",
            setting,
            directory,
            error.strerror,
        )
