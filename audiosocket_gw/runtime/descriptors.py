"""The limit of open files and sockets of the process."""

from __future__ import annotations

import resource

from audiosocket_gw.errors import ConfigurationError

ROOM = 65_536
"""The limit that is set if the hard one allows it: an estimate that is too low would end calls."""


def raise_descriptor_limit(needed: int, why: str) -> None:
    """Raise the limit of open files to `ROOM`, or else as far as allowed.

    Raises:
        ConfigurationError: not even ``needed`` are allowed; ``why`` is the setting, with its value, and how
            the number follows from it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if hard != unlimited and needed > hard:
        raise ConfigurationError(
            f"{why}: needs {needed} open files, this process may have {hard}. "
            "Lower MAX_CALLS, or raise the limit (ulimit -Hn, or LimitNOFILE= in the systemd unit)."
        )
    wanted = max(needed, ROOM if hard == unlimited else min(ROOM, hard))
    if soft != unlimited and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
