"""The Unix socket of the HTTP surface: who may connect is decided by the file system."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

from audiosocket_gw.errors import ConfigurationError

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class UnixSocket:
    """A socket that is bound to ``path``, for this user alone (mode 0600); it doesn't listen yet.

    What a gateway that was killed has left there is replaced.

    Raises:
        ConfigurationError: the setting ``HTTP_SOCKET`` can't be used.
    """

    def __init__(self, path: Path) -> None:
        check(path)
        self._path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            path.unlink(missing_ok=True)
            self.socket.bind(str(path))
            path.chmod(0o600)  # before it listens, so that no one has connected
            self._file = _identity(path)
        except OSError as error:
            self.socket.close()
            raise _fault(path, f"can't listen there: {error.strerror or error}") from None

    def remove(self) -> None:
        """Remove the file, unless another one is in its place."""
        with suppress(OSError):
            if _identity(self._path) == self._file:
                self._path.unlink()


def check(path: Path) -> None:
    """Check the path, and that no other process listens there.

    Raises:
        ConfigurationError: it can't be used.
    """
    try:
        folder = path.parent.stat()
    except OSError as error:
        raise _fault(path, f"its folder: {error.strerror}; create it") from None
    if folder.st_uid not in (os.geteuid(), 0) or folder.st_mode & _OTHERS_MAY_WRITE:
        raise _fault(
            path,
            "others can write to its folder, and could put a socket of theirs in its place; use a folder "
            "that only the gateway's user can write to (mode 0700), such as /run/audiosocket-gw",
        )
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise _fault(path, "there is a file that isn't a socket; remove it, or name another path")
    except FileNotFoundError:
        return
    except OSError as error:
        raise _fault(path, error.strerror or str(error)) from None
    if _is_alive(path):
        raise _fault(path, "another process listens there; stop it, or name another path")


def _identity(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino


def _is_alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except TimeoutError:  # its backlog is full: it listens
            return True
        except OSError:
            return False
    return True


def _fault(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(f"HTTP_SOCKET={str(path)!r}: {why}")
