"""The softphone's record of one call: its ending, and each frame with its time."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from audiosocket_gw.audio.frame_timing import FrameTiming, TimedFrame
from audiosocket_gw.errors import RemoteProtocolError
from audiosocket_gw.protocol.audiosocket import SAMPLE_RATES, Kind
from audiosocket_gw.testing.softphone.asterisk_peer import Ending


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call from the caller's side. All times are loop times in seconds."""

    uuid: UUID
    kind: Kind
    started_at: float
    """When the UUID frame was sent. The audio of the first frame was spoken from then on."""
    connect_ms: float
    """How long the TCP connection took."""
    ended_at: float
    ending: Ending
    error: str
    """What ended the call if `ending` is `Ending.ERROR`, otherwise empty."""
    sent: tuple[TimedFrame, ...]
    heard: tuple[TimedFrame, ...]
    keys: tuple[tuple[float, str], ...]
    """The keys pressed: loop time and digit."""

    @property
    def rate(self) -> int:
        return SAMPLE_RATES[self.kind]

    @property
    def duration_ms(self) -> float:
        return (self.ended_at - self.started_at) * 1000

    @property
    def heard_audio(self) -> bytes:
        """The audio that the caller heard, frame after frame: sample for sample what the server sent."""
        return b"".join(frame.payload for frame in self.heard)

    @property
    def timing(self) -> FrameTiming:
        """The regularity of the server's frames."""
        return FrameTiming.of(self.heard, self.rate)

    def raise_for_error(self) -> None:
        """Raise if the server made Asterisk abort the call.

        Raises:
            RemoteProtocolError: the server did something that makes Asterisk abort the call.
        """
        if self.ending is Ending.ERROR:
            raise RemoteProtocolError(self.error)
