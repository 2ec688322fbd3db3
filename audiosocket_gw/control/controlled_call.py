"""The call, as control sees it: a Protocol, since the room of the call is above this one."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from audiosocket_gw.events import CallEvent, EndReason


class ControlledCall(Protocol):
    """A call, as its tool calls, its hand-over and its keys see it."""

    uuid: UUID

    def send_to_agent(self, message: bytes) -> None:
        """Send the agent a message, or nothing when it is gone."""
        ...

    async def last_words(self) -> bool:
        """Wait until the caller has heard what the agent says; False when the caller cut in."""
        ...

    def refuse_new_replies(self) -> None:
        """Let the agent finish what it says, and say nothing more."""
        ...

    def accept_replies(self) -> None:
        """Undo `refuse_new_replies` and `silence_agent`."""
        ...

    def silence_agent(self) -> None:
        """Stop what the agent is saying, until `accept_replies`."""
        ...

    def end(self, reason: EndReason, detail: str, /) -> None:
        """End the call."""
        ...

    def emit(self, event: CallEvent) -> None:
        """Report the event to the observers."""
        ...
