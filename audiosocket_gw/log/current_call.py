"""Which call the running code works for: lines that don't say so themselves get its UUID.

It is part of the context (`contextvars`): tasks, callbacks and `asyncio.to_thread` inherit it. What a call
starts but all calls share, such as a timer, must run outside of it: `outside_calls`.
"""

from __future__ import annotations

from contextvars import Context, ContextVar, copy_context
from uuid import UUID

_call: ContextVar[UUID | None] = ContextVar("call", default=None)

current_call = _call.get
"""Return the UUID of the call that the running code works for, or None."""


def enter_call(uuid: UUID) -> None:
    """Let the current task, and what it will start, work for this call."""
    _call.set(uuid)


def outside_calls() -> Context:
    """Return a context that belongs to no call."""
    context = copy_context()
    context.run(_call.set, None)
    return context
