"""All the tools that the agent may call: the built-in ones, and those of ``TOOLS_DIR``."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from inspect import isfunction
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Protocol

from audiosocket_gw.errors import ConfigurationError, ToolError, ToolFault
from audiosocket_gw.tools.blocking import BlockingWatch
from audiosocket_gw.tools.inline import InlineTool
from audiosocket_gw.tools.result import ToolResult, agent_text
from audiosocket_gw.tools.schema import Schema
from audiosocket_gw.tools.tool import Tool, ToolContext, ToolFunction

BUILT_IN = "built in"

UNLIMITED = sys.maxsize


class RunnableTool(Protocol):
    """A tool that can be declared and run, wherever it runs."""

    @property
    def elevenlabs_config(self) -> Schema:
        """The request body that creates it in ElevenLabs: ``POST /v1/convai/tools``."""

    async def run(self, parameters: Mapping[str, Any], context: ToolContext) -> str:
        """Run it and return its result as text.

        Raises:
            ToolError: there is no result, for any reason; the message is for the agent.
        """

    def close(self) -> None:
        """Release what it uses; it can't be run any more."""


class ToolRegistry:
    """Holds the tools by name and calls them.

    ``timeout_s`` applies to tools without a deadline of their own, ``max_running`` to those of ``TOOLS_DIR``:
    so often each may run at once. ``may_block``: there is no audio on this event loop.
    """

    def __init__(
        self, timeout_s: float = 10.0, *, max_running: int = UNLIMITED, may_block: bool = False
    ) -> None:
        self._timeout_s = timeout_s
        self._max_running = max_running
        self._watch = None if may_block else BlockingWatch()
        self._tools: dict[str, RunnableTool] = {}
        self._origins: dict[str, str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all tools, in the order of their registration."""
        return tuple(self._tools)

    def register(self, function: ToolFunction) -> None:
        """Add a built-in tool.

        Raises:
            ConfigurationError: the function can't be a tool, or the name is taken.
        """
        try:
            self._add_function(function, BUILT_IN, UNLIMITED)
        except ConfigurationError as error:
            raise ConfigurationError(f"{function.__name__} {error}") from None

    def add(self, name: str, tool: RunnableTool, origin: str) -> None:
        """Add a tool; ``origin`` is the file that it is from.

        Raises:
            ConfigurationError: the name is taken.
        """
        if name in self._tools:
            raise ConfigurationError(
                f"has the name of another tool, {name} ({self._origins[name]}): rename it, or put "
                '@tool(name="...") above it'
            )
        self._tools[name] = tool
        self._origins[name] = origin

    def load(self, directory: Path) -> None:
        """Add every public async function of the Python files in ``TOOLS_DIR``.

        Ignored: files and functions whose names begin with an underscore, and imported functions.

        Raises:
            ConfigurationError: a file can't be imported, or a function can't be a tool; the message has one
            line per problem.
        """
        if not directory.is_dir():
            raise ConfigurationError(
                f"TOOLS_DIR={directory}: there is no such directory; name one, or unset it"
            )
        try:
            list(directory.iterdir())  # glob() takes a directory that can't be read for an empty one
        except OSError as error:
            raise ConfigurationError(
                f"TOOLS_DIR={directory}: it can't be read: {error.strerror}; let the gateway's user read it"
            ) from None
        problems = [
            f"TOOLS_DIR={directory}: {path.name}: {problem}"
            for path in sorted(directory.glob("[!_]*.py"))
            for problem in self._load_file(path)
        ]
        if problems:
            raise ConfigurationError("\n".join(problems))

    def elevenlabs_configs(self) -> list[Schema]:
        """Return the request bodies that create the tools in ElevenLabs: ``POST /v1/convai/tools``, one per
        tool.
        """
        return [tool.elevenlabs_config for tool in self._tools.values()]

    def close(self) -> None:
        """Release what the tools use; none can be called any more."""
        for tool in self._tools.values():
            tool.close()

    async def call(self, name: str, parameters: Mapping[str, Any], context: ToolContext) -> ToolResult:
        """Run a tool for the agent and always return a result; raise nothing but `CancelledError`."""
        try:
            text = await self._named(name).run(parameters, context)
        except ToolError as error:
            text = agent_text(str(error), f"{name} failed, and gave no reason.")
            return ToolResult(text, is_error=True, fault=error.fault)
        return ToolResult(agent_text(text, f"{name} is done. It had nothing to report."), is_error=False)

    def _named(self, name: str) -> RunnableTool:
        try:
            return self._tools[name]
        except KeyError:
            known = f"The tools are: {', '.join(self._tools)}" if self._tools else "There are no tools"
            raise ToolError(
                f"There is no tool named {name!r:.80}. {known}. Use one of these, or continue without one.",
                ToolFault.UNKNOWN,
            ) from None

    def _add_function(self, function: ToolFunction, origin: str, max_running: int) -> None:
        tool = Tool.of(function, self._timeout_s)
        self.add(tool.name, InlineTool(tool, max_running, self._watch), origin)

    def _load_file(self, path: Path) -> list[str]:
        """Add the tools of a file; return its problems."""
        try:
            module = _import(path)
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - a file of the user's can fail in any way
            return [f"can't be imported, {_describe(error, path)}: correct the file"]
        problems = []
        for name, function in _public_functions(module).items():
            try:
                self._add_function(function, path.name, self._max_running)
            except ConfigurationError as error:
                problems.append(f"{name} {error}")
        return problems


def _import(path: Path) -> ModuleType:
    """Import a file under a unique module name, so that it shadows no module and none shadows it.

    A file that has been imported before is imported again.
    """
    name = f"tools_dir.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_SourceLoader(name, str(path)))
    assert spec is not None and spec.loader is not None, "there is a loader"
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
        raise
    return module


class _SourceLoader(SourceFileLoader):
    """Compiles the source each time: cached bytecode is out of date for a second after a change."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _public_functions(module: ModuleType) -> dict[str, FunctionType]:
    return {
        name: value
        for name, value in vars(module).items()
        if isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }


def _describe(error: BaseException, path: Path) -> str:
    """Describe the error, with the line of the file that caused it."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    where = f"line {lines[-1]}: " if lines else ""
    return f"{where}{type(error).__name__}: {error}"
