"""One tool: a function, and how it is run: arguments checked, within a deadline, always with an answer."""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from functools import partial
from inspect import isasyncgenfunction, iscoroutinefunction
from types import coroutine
from typing import Any, TypeVar
from uuid import UUID

import httpx
from pydantic_core import to_json

from audiosocket_gw.errors import ConfigurationError, ToolError
from audiosocket_gw.tools.schema import Schema, elevenlabs_property
from audiosocket_gw.tools.signature import Signature, read_signature

logger = logging.getLogger("audiosocket_gw.tools")

ToolFunction = Callable[..., Awaitable[object]]
_F = TypeVar("_F", bound=ToolFunction)

MAX_RESULT_CHARS = 8_000
"""About 2,000 tokens: more makes the agent slow before it makes it wiser."""

MAX_RESPONSE_TIMEOUT_S = 120
"""The longest that ElevenLabs can be told to wait for a client tool."""

RESPONSE_MARGIN_S = 5
"""By so much ElevenLabs waits longer than the gateway, so that the agent hears of a time-out from us."""

MAX_TIMEOUT_S = MAX_RESPONSE_TIMEOUT_S - RESPONSE_MARGIN_S

STOP_S = 1.0
"""How long a tool that is stopped may take to clean up; then its call goes on, or ends, without it."""

MAX_STEP_S = 0.1
"""A tool that keeps the event loop for longer is heard: the ticker makes up no more lateness than this."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What language models take as the name of a function."""

_OPTIONS = "__tool_options__"


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may know and use of the call that it runs for.

    ``caller`` is what Asterisk told of the caller, and may be empty. All calls share ``http``.
    """

    uuid: UUID
    http: httpx.AsyncClient
    caller: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What the agent is told: never empty, at most a little longer than ``MAX_RESULT_CHARS``."""

    text: str
    is_error: bool


@dataclass(frozen=True, slots=True)
class _Options:
    name: str | None = None
    timeout_s: float | None = None
    after_speech: bool = False


def tool(
    *, name: str | None = None, timeout_s: float | None = None, after_speech: bool = False
) -> Callable[[_F], _F]:
    """Say what is special about a tool; an ordinary one needs no decorator.

    ``name`` replaces the function's name, ``timeout_s`` the ``TOOL_TIMEOUT``. ``after_speech``: ElevenLabs is
    told to have the agent announce the tool, and to run it only when that has been said, uninterrupted.
    """

    def mark(function: _F) -> _F:
        function.__dict__[_OPTIONS] = _Options(name, timeout_s, after_speech)
        return function

    return mark


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the agent may call."""

    name: str
    timeout_s: float
    after_speech: bool
    signature: Signature
    function: ToolFunction

    @classmethod
    def of(cls, function: ToolFunction, timeout_s: float) -> Tool:
        """Make a tool of a function; ``timeout_s`` applies if it has no deadline of its own.

        Raises:
            ConfigurationError: it can't be one; the message is a sentence without its subject.
        """
        if isasyncgenfunction(function) or not iscoroutinefunction(function):
            raise ConfigurationError(
                "is not a coroutine function: while it ran, the audio of all calls would stand still; make "
                "it `async def` with `await` (and `return`, not `yield`), or hide it by a name that begins "
                "with an underscore"
            )
        options: _Options = getattr(function, _OPTIONS, _Options())
        name = options.name or function.__name__
        deadline_s = timeout_s if options.timeout_s is None else options.timeout_s
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"has the name {name!r}: use 1 to 64 of A-Z a-z 0-9 _ -")
        if not 0 < deadline_s <= MAX_TIMEOUT_S:
            raise ConfigurationError(
                f"has a deadline of {deadline_s:g} s: set one above 0 and at most {MAX_TIMEOUT_S} s, since "
                f"ElevenLabs waits {MAX_RESPONSE_TIMEOUT_S} s for a tool, no longer"
            )
        return cls(name, deadline_s, options.after_speech, read_signature(function, ToolContext), function)

    @property
    def elevenlabs_config(self) -> Schema:
        """The body that creates this tool in ElevenLabs: ``POST /v1/convai/tools``."""
        return {
            "tool_config": {
                "type": "client",
                "name": self.name,
                "description": self.signature.description,
                "parameters": elevenlabs_property(self.signature.schema),
                "expects_response": True,
                "response_timeout_secs": math.ceil(self.timeout_s) + RESPONSE_MARGIN_S,
                "execution_mode": "post_tool_speech" if self.after_speech else "immediate",
                "pre_tool_speech": "force" if self.after_speech else "auto",
                "interruption_mode": "disable_during_tool" if self.after_speech else "allow",
                # The default hides errors from the agent; ours are written for it.
                "tool_error_handling_mode": "passthrough",
            }
        }

    async def run(self, parameters: Mapping[str, Any], context: ToolContext) -> str:
        """Run the tool and return its result as text.

        Raises:
            ToolError: for whatever reason there is none; the message is meant for the agent.
        """
        # In a task of its own: a tool that swallows its cancellation must not keep its call from ending.
        running = asyncio.get_running_loop().create_task(self._attempt(parameters, context))
        try:
            await asyncio.wait([running], timeout=self.timeout_s)
            if running.done():
                return running.result()
            await self._stop(running, context.uuid)
        except asyncio.CancelledError:
            await self._stop(running, context.uuid)
            raise
        if running.done() and not running.cancelled() and running.exception() is None:
            return running.result()  # in the last moment
        logger.warning("call %s: tool %s stopped after %g s", context.uuid, self.name, self.timeout_s)
        raise ToolError(
            f"{self.name} took longer than {self.timeout_s:g} seconds and was stopped. Don't say that it "
            "worked. Tell the caller that it can't be done right now, and offer something else."
        )

    async def _attempt(self, parameters: Mapping[str, Any], context: ToolContext) -> str:
        try:
            arguments = self.signature.bind(parameters, context)
            return _as_text(await _watched(self.name, self.function(**arguments)))
        except ToolError:
            raise
        except (Exception, SystemExit, KeyboardInterrupt, asyncio.CancelledError) as error:
            # Out of a task, SystemExit and KeyboardInterrupt would end the event loop, and so every call.
            if _is_ours_to_obey(error):
                raise
            raise self._failed(error, context.uuid) from error

    async def _stop(self, running: asyncio.Task[str], call: UUID) -> None:
        if running.done():
            return
        running.add_done_callback(_retrieve)
        running.cancel()
        await asyncio.wait([running], timeout=STOP_S)
        if not running.done():
            message = "call %s: tool %s abandoned: it still runs %g s after it was cancelled"
            logger.error(message, call, self.name, STOP_S)

    def _failed(self, error: BaseException, call: UUID) -> ToolError:
        logger.error("call %s: tool %s failed", call, self.name, exc_info=error)
        return ToolError(
            f"{self.name} failed for a technical reason. Don't say that it worked. Tell the caller that it "
            "can't be done right now, and offer something else."
        )


def agent_text(text: str, empty: str) -> str:
    """Make a text fit to send: valid Unicode, bounded, and ``empty`` if there is nothing in it."""
    text = text.strip().encode(errors="replace").decode()
    if len(text) > MAX_RESULT_CHARS:
        more = len(text) - MAX_RESULT_CHARS
        return f"{text[:MAX_RESULT_CHARS]} [cut here: {more} more characters; ask for less at a time]"
    return text or empty


def _retrieve(stopped: asyncio.Task[str]) -> None:
    """Look at how a stopped tool ended, or asyncio would report that nobody did."""
    if not stopped.cancelled():
        stopped.exception()


def _as_text(result: object) -> str:
    if result is None:
        return ""
    return result if isinstance(result, str) else to_json(result).decode()


def _is_ours_to_obey(error: BaseException) -> bool:
    """Tell a cancellation of the call from one that a tool caught from something it waited for."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


@coroutine
def _watched(name: str, running: Awaitable[object]) -> Generator[Any, Any, object]:
    """Run a tool step by step, and report each step that kept the event loop for too long.

    An ``async def`` can block as well as a ``def``; only its run shows.
    """
    steps = running.__await__()
    step = partial(next, steps)
    while True:
        began_at = time.perf_counter()
        try:
            waits_for = step()
        except StopIteration as end:
            return end.value
        finally:
            _report_if_slow(name, time.perf_counter() - began_at)
        try:
            answer = yield waits_for
        except BaseException as error:  # noqa: BLE001 - handed to the tool, whose it is
            step = partial(steps.throw, error)
        else:
            step = partial(steps.send, answer)


def _report_if_slow(name: str, took_s: float) -> None:
    if took_s > MAX_STEP_S:
        logger.warning(
            "tool %s blocked the gateway for %d ms, and with it the audio of every call: use libraries with "
            "await (httpx.AsyncClient, not requests), or await asyncio.to_thread(...)",
            name,
            took_s * 1000,
        )
