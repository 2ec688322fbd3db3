"""One tool: a function that runs with checked arguments, within a deadline, and always gives a result."""

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
"""About 2,000 tokens; longer results mainly slow the agent down."""

MAX_RESPONSE_TIMEOUT_S = 120
"""The longest response timeout of a client tool at ElevenLabs."""

RESPONSE_MARGIN_S = 5
"""Added to our own timeout when declaring the tool, so that our error message reaches the agent before
ElevenLabs gives up."""

MAX_TIMEOUT_S = MAX_RESPONSE_TIMEOUT_S - RESPONSE_MARGIN_S

STOP_S = 1.0
"""Time for a cancelled tool to clean up; after it the call continues or ends without waiting."""

MAX_STEP_S = 0.1
"""A tool that blocks the event loop for longer is audible: the ticker catches up on no more than this."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What language models accept as the name of a function."""

_OPTIONS = "__tool_options__"


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may know and use of its call.

    ``caller`` is the caller data from Asterisk and may be empty. All calls share ``http``.
    """

    uuid: UUID
    http: httpx.AsyncClient
    caller: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The text for the agent: never empty, at most slightly longer than ``MAX_RESULT_CHARS``."""

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
    """Set options of a tool; a tool without options needs no decorator.

    ``name`` replaces the function's name, ``timeout_s`` the ``TOOL_TIMEOUT``. ``after_speech``: the
    declaration makes ElevenLabs let the agent announce the tool and run it only after the announcement,
    uninterrupted.
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
            ConfigurationError: the function can't be a tool; the message is a sentence without its subject.
        """
        if isasyncgenfunction(function) or not iscoroutinefunction(function):
            raise ConfigurationError(
                "is not a coroutine function: it would block the audio of all calls while it runs; make "
                "it `async def` with `await` (and `return`, not `yield`), or hide it with a name that begins "
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
                f"ElevenLabs waits at most {MAX_RESPONSE_TIMEOUT_S} s for a tool"
            )
        return cls(name, deadline_s, options.after_speech, read_signature(function, ToolContext), function)

    @property
    def elevenlabs_config(self) -> Schema:
        """The request body that creates this tool in ElevenLabs: ``POST /v1/convai/tools``."""
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
                # The default hides errors from the agent; our messages are written for it.
                "tool_error_handling_mode": "passthrough",
            }
        }

    async def run(self, parameters: Mapping[str, Any], context: ToolContext) -> str:
        """Run the tool and return its result as text.

        Raises:
            ToolError: there is no result, for any reason; the message is for the agent.
        """
        # In its own task: a tool that swallows its cancellation must not keep its call from ending.
        running = asyncio.get_running_loop().create_task(self._attempt(parameters, context))
        try:
            await asyncio.wait([running], timeout=self.timeout_s)
            if running.done():
                return running.result()
            await self._stop(running, context.uuid)
            if running.done() and not running.cancelled() and running.exception() is None:
                return running.result()  # at the deadline
        except asyncio.CancelledError:
            await self._stop(running, context.uuid)
            raise
        finally:
            del running  # its error knows this frame: a cycle that would keep the call alive
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
            # Raised from a task, SystemExit and KeyboardInterrupt would end the event loop, and with it every
            # call.
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
            message = "call %s: tool %s abandoned: still running %g s after its cancellation"
            logger.error(message, call, self.name, STOP_S)

    def _failed(self, error: BaseException, call: UUID) -> ToolError:
        logger.error("call %s: tool %s failed", call, self.name, exc_info=error)
        return ToolError(
            f"{self.name} failed for a technical reason. Don't say that it worked. Tell the caller that it "
            "can't be done right now, and offer something else."
        )


def agent_text(text: str, empty: str) -> str:
    """Return a text that can be sent: valid Unicode, of limited length, and ``empty`` if it is blank."""
    text = text.strip().encode(errors="replace").decode()
    if len(text) > MAX_RESULT_CHARS:
        more = len(text) - MAX_RESULT_CHARS
        return f"{text[:MAX_RESULT_CHARS]} [cut here: {more} more characters; ask for less at a time]"
    return text or empty


def _retrieve(stopped: asyncio.Task[str]) -> None:
    """Retrieve the exception of a stopped tool; otherwise asyncio reports that it was never retrieved."""
    if not stopped.cancelled():
        stopped.exception()


def _as_text(result: object) -> str:
    if result is None:
        return ""
    return result if isinstance(result, str) else to_json(result).decode()


def _is_ours_to_obey(error: BaseException) -> bool:
    """Distinguish the call's own cancellation from one that the tool got from something that it awaited."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


@coroutine
def _watched(name: str, running: Awaitable[object]) -> Generator[Any, Any, object]:
    """Run a tool step by step, and log each step that blocked the event loop for too long.

    An ``async def`` can block like a ``def``; only running it shows.
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
