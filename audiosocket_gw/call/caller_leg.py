"""The interface of the connection to Asterisk for a call."""

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
    def queue(self) -> str:
        """The queue in which the call waits for its set-up: one for each known PBX, one for all guests."""
        ...

    @property
    def blocked(self) -> bool:
        """Whether audio waits to be sent: another frame might be split, which ends the call."""
        ...

    @property
    def mid_frame(self) -> bool:
        """Whether a frame from Asterisk is unfinished."""
        ...

    def write(self, frame: bytes) -> None:
        """Send one whole frame with one write."""
        ...

    def collect(self) -> None:
        """Read what has arrived, and from now on only when called, which is cheaper."""
        ...

    def listen(self) -> None:
        """Read at once again whenever something arrives."""
        ...

    def hang_up(self) -> None:
        """End the connection so that the dialplan continues."""
        ...
