"""A directory of files that are named after calls."""

from __future__ import annotations

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

logger = logging.getLogger("audiosocket_gw.recording")

_NAME = re.compile(r"(\d{8}T\d{6}\.\d{3}Z)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


def call_name(uuid: UUID, started_on: datetime) -> str:
    """Return the name of a call's files, without a suffix. In order of the names is in order of time."""
    utc = started_on.astimezone(UTC)
    return f"{utc:%Y%m%dT%H%M%S}.{utc.microsecond // 1000:03}Z-{uuid}"


def started_on(name: str) -> datetime | None:
    """Return when the call started whose files have this name, or None if it is no such name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        return datetime.fromisoformat(match[1])
    except ValueError:
        return None


def prepare(directory: Path, setting: str) -> None:
    """Make the directory, for its owner alone, unless it is there; see whether files can be made in it.

    Raises:
        ConfigurationError: it can't be used; the message names ``setting``.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"{setting}={str(directory)!r}: files can't be written there: {error.strerror}. "
            "Name a directory that the gateway may make, or that its user may write to."
        ) from None


@contextmanager
def claim(directory: Path, setting: str) -> Iterator[None]:
    """Prepare the directory, and let nobody else claim it while the context is open.

    The lock is the kernel's, on the directory itself: it leaves no file, and ends with the process.

    Raises:
        ConfigurationError: it can't be used, or is another's; the message names ``setting``.
    """
    prepare(directory, setting)
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ConfigurationError(
            f"{setting}={str(directory)!r}: it can't be read: {error.strerror}. "
            "Name a directory that the gateway's user may read."
        ) from None
    try:
        _lock(descriptor, directory, setting)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, directory: Path, setting: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigurationError(
            f"{setting}={str(directory)!r} is in use: a gateway removes old calls from its directory, and "
            "knows only its own. Name one for each gateway, and for each of RECORD_DIR and FLIGHT_DIR."
        ) from None
    except OSError as error:  # such as NFS, which locks files only
        logger.warning(
            "%s=%s: it can't be locked: %s. See to it that no other gateway uses it",
            setting,
            directory,
            error.strerror,
        )
