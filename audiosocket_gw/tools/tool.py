"""One tool: a function that the agent may call, its declaration, and what it may know of its call."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import TypeVar
from uuid import UUID

import httpx

from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.tools.schema import Schema, elevenlabs_property
from audiosocket_gw.tools.signature import Signature, read_signature

ToolFunction = Callable[..., Awaitable[object]]
_F = TypeVar("_F", bound=ToolFunction)

MAX_RESPONSE_TIMEOUT_S = 120
"""The longest response timeout of a client tool at ElevenLabs."""

RESPONSE_MARGIN_S = 5
"""Added to our own timeout when declaring the tool, so that our error message reaches the agent before
ElevenLabs gives up."""

MAX_TIMEOUT_S = MAX_RESPONSE_TIMEOUT_S - RESPONSE_MARGIN_S

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
