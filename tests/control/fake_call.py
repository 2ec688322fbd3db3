"""A call that control acts on, without a gateway around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.events import CallEvent
from tests.ami.recorded import CALL


@dataclass
class FakeCall:
    """Takes down what is done to it; ``words`` says how the last words end."""

    uuid: UUID = CALL
    done: list[str] = field(default_factory=list)
    is_handed_over: bool = False
    sent: list[bytes] = field(default_factory=list)
    events: list[CallEvent] = field(default_factory=list)
    ended: asyncio.Future[EndReason] = field(default_factory=asyncio.Future)
    words: asyncio.Future[bool] = field(default_factory=asyncio.Future)

    def send_to_agent(self, message: bytes) -> None:
        self.sent.append(message)

    def last_words(self) -> asyncio.Future[bool]:
        self.is_handed_over = True
        return self.words

    def hears_last_words(self) -> None:
        self.words.set_result(True)

    def cuts_in(self) -> None:
        self.words.set_result(False)

    def refuse_new_replies(self) -> None:
        self.done.append("refuse")

    def accept_replies(self) -> None:
        self.done.append("accept")

    def silence_agent(self) -> None:
        self.done.append("silence")

    def end(self, reason: EndReason, detail: str, /) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)

    def emit(self, event: CallEvent) -> None:
        self.events.append(event)


class _Over(Exception):
    """Ends the tasks of a call."""


@asynccontextmanager
async def call_tasks() -> AsyncIterator[asyncio.TaskGroup]:
    """Yield the task group of a call, whose tasks are cancelled at its end."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
            raise _Over
    except* _Over:
        pass
