"""The connection to Asterisk, as a call sees it."""

from __future__ import annotations

from typing import Protocol


class CallerLeg(Protocol):
    """The connection to Asterisk, as the call sees it."""

    @property
    def host(self) -> str:
        """Asterisk's address."""
        ...

    @property
    def peer(self) -> str:
        """Asterisk's address and port."""
        ...

    @property
    def blocked(self) -> bool:
        """Whether audio waits to be sent: another frame might be cut in two, which ends the call."""
        ...

    @property
    def mid_frame(self) -> bool:
        """Whether a frame from Asterisk has begun and not ended."""
        ...

    def write(self, frame: bytes) -> None:
        """Send one whole frame with one write."""
        ...

    def collect(self) -> None:
        """Take in what has arrived, and from now on only when asked to: that is cheaper."""
        ...

    def listen(self) -> None:
        """Take in what arrives at once, again."""
        ...

    def hang_up(self) -> None:
        """End the connection the way that lets the dialplan go on."""
        ...
