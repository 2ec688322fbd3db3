"""Which other users may change what the gateway reads and writes."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def who_else_may_write(directory: Path) -> str | None:
    """Return a sentence on other users who may add or remove files, or None: root alone may.

    A group that may write is trusted: the operator has chosen its members.

    Raises:
        OSError: the directory can't be looked at.
    """
    status = directory.stat()
    if status.st_mode & stat.S_IWOTH:
        mode = stat.S_IMODE(status.st_mode)
        return f"every user of this machine may add or remove files there (mode {mode:03o}): chmod 700"
    if status.st_uid not in (os.geteuid(), 0):
        return (
            f"the user {status.st_uid}, whose directory it is, may add or remove files there: make it the "
            f"gateway's (user {os.geteuid()})"
        )
    return None


def may_be_planted(file: Path) -> bool:
    """Return whether another user, but root, owns the file, in a directory that every user may write to.

    Raises:
        OSError: it can't be looked at; there is no such file, for instance.
    """
    is_foreign = file.stat().st_uid not in (os.geteuid(), 0)
    return is_foreign and bool(file.absolute().parent.stat().st_mode & stat.S_IWOTH)
