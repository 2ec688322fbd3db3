"""Tools: what may be one, what the agent is told of it, and that every call is answered."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import httpx
import pytest
from elevenlabs.types import (
    ArrayJsonSchemaPropertyInput,
    ClientToolConfigInput,
    LiteralJsonSchemaProperty,
    ObjectJsonSchemaPropertyInput,
)
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.tools import (
    MAX_TIMEOUT_S,
    ToolContext,
    ToolError,
    ToolFunction,
    ToolRegistry,
    ToolResult,
    tool,
)
from audiosocket_gw.tools.blocking import MAX_STEP_S
from audiosocket_gw.tools.result import MAX_RESULT_CHARS
from audiosocket_gw.tools.signature import read_signature

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "tools"
CALL = UUID("0d9f3c1e-6f0f-4c3a-9d53-3f6f2a7c1b55")
UNUSED_HTTP = httpx.AsyncClient()


def _logged(caplog: pytest.LogCaptureFixture, words: str) -> list[logging.LogRecord]:
    """Return the records that have ``words``: a machine that stalls may add a report of a slow step."""
    return [record for record in caplog.records if words in record.getMessage()]


def _context(caller: dict[str, str] | None = None) -> ToolContext:
    return ToolContext(CALL, UNUSED_HTTP, caller or {})


def _registry(*functions: ToolFunction, timeout_s: float = 10.0) -> ToolRegistry:
    registry = ToolRegistry(timeout_s)
    for function in functions:
        registry.register(function)
    return registry


async def _call(function: ToolFunction, /, **parameters: Any) -> ToolResult:
    return await _registry(function).call(function.__name__, parameters, _context())


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Item(BaseModel):
    """Something ordered."""

    article: str = Field(description="The article's number.")
    pieces: int = Field(default=1, description="How many.")


class Tree(BaseModel):
    children: list[Tree] = Field(description="More of them.")


async def everything(
    context: ToolContext,
    text: str,
    whole: Annotated[int, Field(ge=1, description="Not used: the docstring is nearer.")],
    number: float = 1.5,
    flag: bool = False,
    choice: Literal["a", "b"] | None = None,
    one: Literal[1, 2] = 1,
    constant: Literal["only"] = "only",
    size: Size = Size.SMALL,
    day: date | None = None,
    names: list[str] | None = None,
    items: list[Item] | None = None,
    schema: Annotated[Item | None, Field(description="Named as a method of pydantic's models.")] = None,
) -> str:
    """Take a parameter
    of each kind.

    And say so.

    Args:
        context: Not the agent's.
        text: Any
            words.
        whole (int): At least 1.
        number: A number.
        flag: Yes or no.
        choice: One of two.
        one: One or two.
        constant: Always the same.
        size: How large.
        day: The day.
        names: Some names.
        items: What was ordered.

    Returns:
        What arrived.
    """
    return repr((text, whole, number, flag, choice, one, constant, size, day, names, items, schema))


# What the agent is told


def test_a_function_describes_itself() -> None:
    signature = read_signature(everything, ToolContext)
    assert signature.description == "Take a parameter of each kind.\n\nAnd say so."
    parameters = signature.schema
    assert parameters["type"] == "object"
    assert parameters["required"] == ["text", "whole"]
    item = {
        "type": "object",
        "required": ["article"],
        "properties": {
            "article": {"type": "string", "description": "The article's number."},
            "pieces": {"type": "integer", "description": "How many."},
        },
    }
    assert parameters["properties"] == {
        "text": {"type": "string", "description": "Any words."},
        "whole": {"type": "integer", "description": "At least 1.", "minimum": 1},
        "number": {"type": "number", "description": "A number."},
        "flag": {"type": "boolean", "description": "Yes or no."},
        "choice": {"type": "string", "description": "One of two.", "enum": ["a", "b"]},
        "one": {"type": "integer", "description": "One or two.", "enum": [1, 2]},
        "constant": {"type": "string", "description": "Always the same.", "enum": ["only"]},
        "size": {"type": "string", "description": "How large.", "enum": ["small", "large"]},
        "day": {"type": "string", "description": "The day.", "format": "date"},
        "names": {
            "type": "array",
            "description": "Some names.",
            "items": {"type": "string", "description": "Some names."},
        },
        "items": {
            "type": "array",
            "description": "What was ordered.",
            "items": item | {"description": "What was ordered."},
        },
        "schema": item | {"description": "Named as a method of pydantic's models."},
    }


def _assert_elevenlabs_takes(schema: dict[str, Any], *, top: bool = False) -> None:
    """Hold a schema to the fields of ElevenLabs' own SDK, and to its rule of one value source for each."""
    model: Any = {"object": ObjectJsonSchemaPropertyInput, "array": ArrayJsonSchemaPropertyInput}.get(
        schema["type"], LiteralJsonSchemaProperty
    )
    assert schema.keys() <= model.model_fields.keys()
    assert top or schema["description"]
    assert all(isinstance(value, str) for value in schema.get("enum", ()))
    for below in (*schema.get("properties", {}).values(), *filter(None, [schema.get("items")])):
        _assert_elevenlabs_takes(below)


def test_elevenlabs_gets_what_it_takes() -> None:
    (body,) = _registry(everything).elevenlabs_configs()
    config = body["tool_config"]
    assert config.keys() - {"type"} <= ClientToolConfigInput.model_fields.keys()
    assert config["type"] == "client"
    assert config["expects_response"] is True
    assert config["execution_mode"] == "immediate"
    _assert_elevenlabs_takes(config["parameters"], top=True)
    properties = config["parameters"]["properties"]
    assert properties["day"]["description"] == "The day. Format: YYYY-MM-DD."
    assert properties["choice"]["enum"] == ["a", "b"]
    assert "enum" not in properties["one"]
    json.dumps(body)


def test_a_decorator_says_what_is_special() -> None:
    @tool(name="say-goodbye", timeout_s=7.2, after_speech=True)
    async def goodbye() -> None:
        """Say goodbye."""

    registry = _registry(goodbye)
    assert registry.names == ("say-goodbye",)
    (body,) = registry.elevenlabs_configs()
    assert body == {
        "tool_config": {
            "type": "client",
            "name": "say-goodbye",
            "description": "Say goodbye.",
            "parameters": {"type": "object", "properties": {}, "required": []},
            "expects_response": True,
            "response_timeout_secs": 13,
            "execution_mode": "post_tool_speech",
            "pre_tool_speech": "force",
            "interruption_mode": "disable_during_tool",
            "tool_error_handling_mode": "passthrough",
        }
    }


@pytest.mark.parametrize("timeout_s", [0.5, MAX_TIMEOUT_S])
def test_elevenlabs_waits_longer_than_the_gateway(timeout_s: float) -> None:
    (body,) = _registry(everything, timeout_s=timeout_s).elevenlabs_configs()
    assert timeout_s < body["tool_config"]["response_timeout_secs"] <= 120


# What may be a tool


def _bad_functions() -> dict[str, Callable[..., Any]]:
    def plain() -> str:
        """Block everybody."""
        return ""

    async def generator() -> AsyncIterator[str]:
        """Yield."""
        yield ""

    async def silent() -> None:
        pass

    async def only_sections() -> None:
        """
        Returns:
            Nothing.
        """

    async def untyped(x) -> None:  # type: ignore[no-untyped-def]
        """Do it.

        Args:
            x: It.
        """

    async def undescribed(x: int) -> None:
        """Do it."""

    async def many(*x: int) -> None:
        """Do it."""

    async def union(x: Annotated[int | str, Field(description="X.")]) -> None:
        """Do it."""

    async def anything(x: Annotated[Any, Field(description="X.")]) -> None:
        """Do it."""

    async def any_list(x: Annotated[list[Any], Field(description="X.")]) -> None:
        """Do it."""

    async def any_dict(x: Annotated[dict[str, int], Field(description="X.")]) -> None:
        """Do it."""

    async def no_json(x: httpx.AsyncClient) -> None:
        """Do it."""

    async def recursive(x: Annotated[Tree, Field(description="X.")]) -> None:
        """Do it."""

    class Bare(BaseModel):
        y: int

    async def bare_field(x: Annotated[Bare, Field(description="X.")]) -> None:
        """Do it."""

    bare_field.__annotations__["x"] = Annotated[Bare, Field(description="X.")]

    async def bad_pattern(x: Annotated[str, Field(pattern="(", description="X.")]) -> None:
        """Do it."""

    async def unresolved(x: Missing) -> None:  # type: ignore[name-defined]  # noqa: F821
        """Do it."""

    @tool(name="has a space")
    async def bad_name() -> None:
        """Do it."""

    @tool(timeout_s=0)
    async def no_time() -> None:
        """Do it."""

    @tool(timeout_s=MAX_TIMEOUT_S + 1)
    async def too_long() -> None:
        """Do it."""

    return {name: value for name, value in locals().items() if not isinstance(value, type)}


REFUSALS = {
    "plain": "plain is not a coroutine function: .* make it `async def`",
    "generator": "generator is not a coroutine function",
    "silent": "silent has no docstring: .* add one",
    "only_sections": "has no docstring",
    "untyped": "has the parameter x without a type: write x: str",
    "undescribed": "has the parameter x, which has no description, .* Args section",
    "many": r"has the parameter \*x: an agent sends arguments by name",
    "union": "has the parameter x, which has a type that an agent can't send: use str, int",
    "anything": "type that an agent can't send",
    "any_list": "type that an agent can't send",
    "any_dict": "type that an agent can't send",
    "no_json": "has the parameter x, which has a type that an agent can't send",
    "recursive": r"has a field children that has a type that contains itself \(Tree\)",
    "bare_field": "has a field y that has no description",
    "bad_pattern": "has constraints that can't be checked: .*regex",
    "unresolved": "annotation that can't be resolved .*'Missing'.*TYPE_CHECKING",
    "bad_name": "has the name 'has a space': use 1 to 64",
    "no_time": "has a deadline of 0 s: set one above 0",
    "too_long": "has a deadline of 116 s: set one above 0 and at most 115 s",
}
"""What is said of each of `_bad_functions`."""


@pytest.mark.parametrize(("name", "says"), REFUSALS.items())
def test_what_can_not_be_a_tool_is_refused_with_the_fix(name: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"(?s){says}") as refused:
        _registry(_bad_functions()[name])
    assert str(refused.value).startswith(f"{name} ")


def test_every_bad_function_is_tested() -> None:
    assert _bad_functions().keys() == REFUSALS.keys()


def test_a_name_is_given_once() -> None:
    with pytest.raises(ConfigurationError, match=r"everything has the name of another tool, .*\(built in\)"):
        _registry(everything, everything)


def test_a_method_can_be_a_tool() -> None:
    class Desk:
        async def greet(self, name: Annotated[str, Field(description="Who.")]) -> str:
            """Greet someone."""
            return f"Hello {name}"

    assert asyncio.run(_call(Desk().greet, name="Ada")) == ToolResult("Hello Ada", is_error=False)


# Loading TOOLS_DIR


def _write(directory: Path, **sources: str) -> Path:
    for name, source in sources.items():
        (directory / f"{name}.py").write_text(textwrap.dedent(source))
    return directory


async def test_public_async_functions_of_the_files_are_tools(tmp_path: Path) -> None:
    _write(
        tmp_path,
        first='''
            from __future__ import annotations
            from dataclasses import dataclass
            from asyncio import sleep
            from textwrap import dedent

            @dataclass
            class Stock:
                pieces: int

            def _private(): ...

            async def stock() -> Stock:
                """Count."""
                return Stock(3)
            ''',
        second='''
            async def also(a: int = 1) -> int:
                """Count.

                Args:
                    a: From here.
                """
                return a + 1
            ''',
        _hidden="raise RuntimeError",
    )
    registry = ToolRegistry()
    registry.load(tmp_path)
    assert registry.names == ("stock", "also")
    assert await registry.call("stock", {}, _context()) == ToolResult('{"pieces":3}', is_error=False)
    assert await registry.call("also", {"a": "5"}, _context()) == ToolResult("6", is_error=False)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    good = 'async def {}() -> None:\n    """Do it."""\n'
    _write(
        tmp_path,
        a_syntax="x = (\n",
        b_crash="import os\n\nos.environ['NO_SUCH_VARIABLE']\n",
        c_exit="raise SystemExit(3)\n",
        d_plain='def one():\n    """Do."""\n\nasync def two():\n    pass\n',
        e_shadow=good.format("everything"),
        f_twin=good.format("twin"),
        g_twin=good.format("twin"),
    )
    (tmp_path / "h_null.py").write_bytes(b"x = '\xff'\n")
    registry = _registry(everything)
    with pytest.raises(ConfigurationError) as refused:
        registry.load(tmp_path)
    start = f"TOOLS_DIR={tmp_path}: "
    lines = str(refused.value).split("\n")
    assert all(line.startswith(start) for line in lines)
    for line, says in zip(
        lines,
        [
            r"a_syntax\.py: can't be imported, line 1: .*never closed: correct",
            r"b_crash\.py: can't be imported, line 3: KeyError: 'NO_SUCH_VARIABLE'",
            r"c_exit\.py: can't be imported, line 1: SystemExit: 3",
            r"d_plain\.py: one is not a coroutine function",
            r"d_plain\.py: two has no docstring",
            r"e_shadow\.py: everything has the name of another tool, everything \(built in\)",
            r"g_twin\.py: twin has the name of another tool, twin \(f_twin\.py\)",
            r"h_null\.py: can't be imported, ",
        ],
        strict=True,
    ):
        assert re.match(says, line.removeprefix(start)), line


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"TOOLS_DIR=.*nowhere: there is no such directory"):
        ToolRegistry().load(tmp_path / "nowhere")


# Arguments


async def test_arguments_are_made_to_fit() -> None:
    answer = await _call(
        everything,
        text=600,
        whole="5",
        number=None,
        flag="true",
        day="2026-03-04",
        names=[1, "b"],
        items=[{"article": "7", "pieces": "2"}],
        unknown=None,
    )
    expected = (
        *("600", 5, 1.5, True, None, 1, "only", Size.SMALL, date(2026, 3, 4), ["1", "b"]),
        [Item(article="7", pieces=2)],
        None,
    )
    assert answer == ToolResult(repr(expected), is_error=False)


async def test_a_null_is_a_value_where_the_tool_asks_for_one() -> None:
    async def note(text: Annotated[str | None, Field(description="Text.")]) -> str:
        """Note."""
        return repr(text)

    assert await _call(note, text=None) == ToolResult("None", is_error=False)


async def test_bad_arguments_are_named() -> None:
    answer = await _call(everything, whole="soon", number=float("nan"), city="Rome", items=[{"pieces": []}])
    assert answer.is_error
    for words in [
        "text: is missing",
        "whole: Input should be a valid integer, unable to parse string as an integer, not 'soon'",
        "number: Input should be a finite number",
        "items.0.article: is missing",
        "items.0.pieces: Input should be a valid integer",
        "The parameters are: text, whole, number, flag,",
        "ask the caller",
    ]:
        assert words in answer.text
    unknown = await _call(everything, text="a", whole=1, city="Rome")
    assert "city: there is no such parameter" in unknown.text


async def test_a_tool_without_parameters_says_so() -> None:
    async def now() -> None:
        """Tell the time."""

    assert "The parameters are: none." in (await _call(now, zone="UTC")).text


async def test_the_context_is_handed_in_and_can_not_be_forged() -> None:
    async def who(context: ToolContext) -> str:
        """Tell who calls."""
        return f"{context.uuid} {context.caller['number']}"

    registry = _registry(who)
    context = _context({"number": "600"})
    assert await registry.call("who", {}, context) == ToolResult(f"{CALL} 600", is_error=False)
    assert (await registry.call("who", {"context": {"uuid": "x"}}, context)).is_error


async def test_a_context_may_be_of_a_more_specific_type() -> None:
    @dataclass(frozen=True, slots=True)
    class DeskContext(ToolContext):
        desk: str = "front"

    async def where(at: DeskContext) -> str:
        """Tell where."""
        return at.desk

    where.__annotations__["at"] = DeskContext
    context = DeskContext(CALL, UNUSED_HTTP)
    assert await _registry(where).call("where", {}, context) == ToolResult("front", is_error=False)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.text("0123456789-"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=10,
)
EVERYTHING = _registry(everything)
NAMES = st.sampled_from([*read_signature(everything, ToolContext).schema["properties"], "context"])


@given(name=st.just("everything") | st.text(), parameters=st.dictionaries(NAMES | st.text(), JSON))
def test_any_json_gets_an_answer(name: str, parameters: dict[str, Any]) -> None:
    answer = asyncio.run(EVERYTHING.call(name, parameters, _context()))
    assert 0 < len(answer.text) <= MAX_RESULT_CHARS + 100
    answer.text.encode()


@given(text=st.text(st.characters()))
def test_any_docstring_is_read(text: str) -> None:
    async def documented() -> None: ...

    documented.__doc__ = text
    try:
        _registry(documented)
    except ConfigurationError as error:
        assert "no docstring" in str(error)


# Results


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("yes", "yes"),
        (" padded\n", "padded"),
        (None, "give is done. It had nothing to report."),
        ("  ", "give is done. It had nothing to report."),
        ({"a": [1, None, "ä"]}, '{"a":[1,null,"ä"]}'),
        ([], "[]"),
        (0, "0"),
        (False, "false"),
        (date(2026, 3, 4), '"2026-03-04"'),
        (Item(article="7"), '{"article":"7","pieces":1}'),
        ("lone \ud800 surrogate", "lone ? surrogate"),
        ("x" * MAX_RESULT_CHARS, "x" * MAX_RESULT_CHARS),
        (
            "x" * (MAX_RESULT_CHARS + 7),
            "x" * MAX_RESULT_CHARS + " [cut here: 7 more characters; ask for less at a time]",
        ),
    ],
)
async def test_every_result_is_text(result: object, text: str) -> None:
    async def give() -> object:
        """Give it."""
        return result

    assert await _call(give) == ToolResult(text, is_error=False)


async def test_the_tools_own_error_reaches_the_agent(caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(reason: Annotated[str, Field(description="Why.")] = "") -> None:
        """Refuse."""
        raise ToolError(reason)

    assert await _call(refuse, reason="Closed today.") == ToolResult("Closed today.", is_error=True)
    assert await _call(refuse) == ToolResult("refuse failed, and gave no reason.", is_error=True)
    assert not _logged(caplog, "tool refuse failed")


async def _crash() -> object:
    raise RuntimeError("password=hunter2")


async def _exit() -> object:
    raise SystemExit(1)


async def _stray_cancellation() -> object:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    return await future


async def _own_timeout() -> object:
    raise TimeoutError


async def _no_json() -> object:
    return object()


async def _endless_json() -> object:
    endless: list[object] = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize("way", [_crash, _exit, _stray_cancellation, _own_timeout, _no_json, _endless_json])
async def test_a_crash_is_for_the_log(way: Callable[[], Any], caplog: pytest.LogCaptureFixture) -> None:
    async def look_up() -> object:
        """Look up."""
        return await way()

    answer = await _call(look_up)
    assert answer.is_error
    assert answer.text.startswith("look_up failed for a technical reason. Don't say that it worked.")
    (record,) = _logged(caplog, "tool look_up failed")
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert str(CALL) in record.getMessage()
    assert "hunter2" not in answer.text


async def test_an_unknown_tool_is_answered_with_the_known_ones() -> None:
    answer = await _registry(everything).call("everithing", {}, _context())
    assert answer == ToolResult(
        "There is no tool named 'everithing'. The tools are: everything. "
        "Use one of these, or continue without one.",
        is_error=True,
    )
    assert "There are no tools." in (await ToolRegistry().call("x" * 100_000, {}, _context())).text


# Deadline, cancellation, blocking


@pytest.mark.virtual_time
async def test_a_tool_is_stopped_at_its_deadline(caplog: pytest.LogCaptureFixture) -> None:
    cleaned_up = []

    async def forever() -> None:
        """Wait."""
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up.append(True)

    @tool(timeout_s=3)
    async def short() -> None:
        """Wait."""
        await asyncio.sleep(3600)

    registry = _registry(forever, short)
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    answer = await registry.call("forever", {}, _context())
    assert answer.is_error
    assert answer.text.startswith(
        "forever took longer than 10 seconds and was stopped. Don't say that it worked."
    )
    assert loop.time() - began_at == pytest.approx(10)
    assert cleaned_up == [True]
    assert answer.outcome == "timed-out"
    assert "3 seconds" in (await registry.call("short", {}, _context())).text
    assert loop.time() - began_at == pytest.approx(13)


@pytest.mark.virtual_time
async def test_tools_run_side_by_side() -> None:
    async def wait(seconds: Annotated[float, Field(description="How long.")]) -> float:
        """Wait."""
        await asyncio.sleep(seconds)
        return seconds

    registry = _registry(wait)
    began_at = asyncio.get_running_loop().time()
    answers = await asyncio.gather(
        *(registry.call("wait", {"seconds": seconds}, _context()) for seconds in (3, 1, 2))
    )
    assert [answer.text for answer in answers] == ["3.0", "1.0", "2.0"]
    assert asyncio.get_running_loop().time() - began_at == pytest.approx(3)


async def test_the_call_can_cancel_a_tool() -> None:
    running = asyncio.Event()

    async def forever() -> None:
        """Wait."""
        running.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(_call(forever))
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_tool_that_blocks_the_loop_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    async def block() -> str:
        """Block."""
        await asyncio.sleep(0)
        time.sleep(MAX_STEP_S + 0.02)  # noqa: ASYNC251 - the mistake that is tested
        return "done"

    assert await _call(block) == ToolResult("done", is_error=False)
    *_, record = _logged(caplog, "tool block blocked")
    assert re.match(r"tool block blocked the gateway for \d+ ms, .*asyncio\.to_thread", record.getMessage())


async def test_a_tool_may_wait_in_every_way() -> None:
    async def busy() -> int:
        """Wait in many ways."""
        assert await asyncio.to_thread(int, "1") == 1
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0, number)) for number in (1, 2)]
        return sum(task.result() for task in tasks)

    assert await _call(busy) == ToolResult("3", is_error=False)


# The examples, and those in the documentation


@asynccontextmanager
async def _orders_service() -> AsyncIterator[tuple[str, list[str]]]:
    """Serve two orders over HTTP; yield the base URL, and the requests as they came."""
    requests: list[str] = []
    bodies = {"4711": b'{"state": "shipped", "arrives": "2026-03-04"}', "5000": b'{"broken": true}'}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        requests.append(request)
        body = bodies.get(request.split()[1].rpartition("/")[2])
        status, body = ("200 OK", body) if body else ("404 Not Found", b"")
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests


async def test_the_order_example_looks_up_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = ToolRegistry()
    async with _orders_service() as (url, requests), httpx.AsyncClient(trust_env=False) as http:
        monkeypatch.setenv("ORDERS_URL", f"{url}/api/")
        monkeypatch.setenv("ORDERS_TOKEN", "secret")
        registry.load(EXAMPLES)
        context = ToolContext(CALL, http)

        async def look_up(number: object) -> ToolResult:
            return await registry.call("order_status", {"order_number": number}, context)

        found = await look_up(4711)
        assert found == ToolResult("Order 4711 is shipped. It arrives on 2026-03-04.", is_error=False)
        assert requests[0].startswith("GET /api/orders/4711 HTTP/1.1\r\n")
        assert "authorization: bearer secret" in requests[0].lower()
        unknown = await look_up("4712")
        assert not unknown.is_error
        assert unknown.text.startswith("There is no order 4712.")
        assert (await look_up("5000")).text.startswith("order_status failed for a technical reason")
        for hostile in ["47/../11", "4711\r\nX: y", "4711\n", "", "١٢٣٤", "4711?x=1"]:
            assert (await look_up(hostile)).text.startswith("The arguments are wrong. order_number: ")
        assert len(requests) == 3
    async with httpx.AsyncClient(trust_env=False) as http:
        gone = await registry.call("order_status", {"order_number": "4711"}, ToolContext(CALL, http))
    assert gone == ToolResult(
        "The order system can't be reached. Offer the caller to be called back.", is_error=True
    )


def test_the_order_example_needs_its_address_at_start() -> None:
    with pytest.raises(ConfigurationError, match=r"order_status\.py: can't be imported, .*'ORDERS_URL'"):
        ToolRegistry().load(EXAMPLES)


@pytest.mark.parametrize(
    ("day", "says"),
    [
        ("2026-03-05", "On Thursday 05.03.2026 the shop is open from 09:00 to 20:00."),
        ("2026-03-07", "On Saturday 07.03.2026 the shop is open from 10:00 to 14:00."),
        ("2026-03-08", "On Sunday 08.03.2026 the shop is closed."),
        ("2026-12-25", "On Friday 25.12.2026 the shop is closed: Christmas Day."),
    ],
)
async def test_the_opening_hours_example(monkeypatch: pytest.MonkeyPatch, day: str, says: str) -> None:
    monkeypatch.setenv("ORDERS_URL", "http://127.0.0.1:1")
    registry = ToolRegistry()
    registry.load(EXAMPLES)
    answer = await registry.call("opening_hours", {"day": day}, _context())
    assert answer == ToolResult(says, is_error=False)
    today = await registry.call("opening_hours", {}, _context())
    assert today.text.startswith("On ")
    for told in registry.elevenlabs_configs():
        _assert_elevenlabs_takes(told["tool_config"]["parameters"], top=True)


def test_the_documentation_shows_tools_that_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCK_URL", "http://127.0.0.1:1")
    page = (REPOSITORY / "docs" / "tools.md").read_text()
    for name, source in re.findall(r"```python\n# my-tools/(\w+)\.py\n(.*?)```", page, re.DOTALL):
        (tmp_path / f"{name}.py").write_text(source)
    registry = ToolRegistry()
    registry.load(tmp_path)
    assert registry.names == ("free_appointments", "stock_level")
