"""Closes the process's sockets in a forked child, such as a worker of a tool's process pool."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class SocketOwner(Protocol):
    """Has sockets that a child must not keep open."""

    def descriptors(self) -> list[int]:
        """Return the descriptors of the sockets."""
        ...


_owners: WeakSet[SocketOwner] = WeakSet()


def close_in_child(owner: SocketOwner) -> None:
    """Close the sockets of ``owner`` in every child that is forked from now on, as long as it exists.

    A child survives the gateway if that is killed. It would keep the connections open, so that neither a
    reset nor a FIN is sent, and the port in use.
    """
    _owners.add(owner)


def _close_sockets() -> None:
    """Reuse each number for another file, since objects in the child may close it."""
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for owner in _owners:
        for descriptor in owner.descriptors():
            if descriptor >= 0:
                os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)


os.register_at_fork(after_in_child=_close_sockets)
