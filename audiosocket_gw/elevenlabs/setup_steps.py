"""Times the steps of a call's set-up, from the caller data to the agent's metadata. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from audiosocket_gw.events import Observer, SetupStep, SetupStepDone

MAX_AGENT = 100
"""Characters of an agent's id that are reported; those of ElevenLabs have about 30."""


class SetupSteps:
    """The steps of one call; each that is done is reported. A step that fails isn't: the call ends by it."""

    __slots__ = ("_agent", "_emit", "_now", "_uuid")

    def __init__(self, uuid: UUID, emit: Observer, now: Callable[[], float]) -> None:
        """``now`` returns the loop time in seconds."""
        self._uuid = uuid
        self._emit = emit
        self._now = now
        self._agent = ""

    def set_agent(self, agent_id: str) -> None:
        """Set the agent of this call: the steps that are done from now on name it."""
        self._agent = agent_id[:MAX_AGENT]

    @contextmanager
    def timed(self, step: SetupStep) -> Iterator[None]:
        """Report the time that the block took, unless it raises."""
        began = self._now()
        yield
        now = self._now()
        self._emit(SetupStepDone(self._uuid, now, step, (now - began) * 1000, self._agent))
