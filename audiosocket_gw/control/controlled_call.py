"""The interface of a call for control: a Protocol, since the folder of the call is above this one."""

from __future__ import annotations

import asyncio
from typing import Protocol
from uuid import UUID

from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.events import CallEvent


class ControlledCall(Protocol):
    """A call, as seen by its tool calls, its hand-over and its keys."""

    uuid: UUID

    def send_to_agent(self, message: bytes) -> None:
        """Send the agent a message; do nothing if it has gone."""
        ...

    def last_words(self) -> asyncio.Future[bool]:
        """Begin a hand-over: from now on the end of the agent doesn't end the call.

        The future is done when the caller has heard the agent's last words; False: the caller interrupted.
        """
        ...

    def refuse_new_replies(self) -> None:
        """Let the agent finish its reply, and reject further ones."""
        ...

    def accept_replies(self) -> None:
        """Undo `refuse_new_replies` and `silence_agent`."""
        ...

    def silence_agent(self) -> None:
        """Stop the agent's speech until `accept_replies`."""
        ...

    def end(self, reason: EndReason, detail: str, /) -> None:
        """End the call."""
        ...

    def emit(self, event: CallEvent, /) -> None:
        """Report the event to the observers."""
        ...
