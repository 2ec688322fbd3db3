"""The official Python SDK takes the simulator for ElevenLabs."""

from __future__ import annotations

import asyncio
import queue
import threading
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx

from audiosocket_gw.audio import PCM_8000
from audiosocket_gw.testing.simulator import Close, Simulator, Speech, Tool, Turn, prompts
from audiosocket_gw.testing.simulator.websocket import EndedBy
from tests.harness.waiting import until
from tests.testing.simulator.client import QUIET, SILENCE, SPEECH

with warnings.catch_warnings():
    # The SDK mentions a class that newer versions of websockets deprecate.
    warnings.filterwarnings("ignore", r"websockets\.\S+ is deprecated", DeprecationWarning)
    from elevenlabs.client import ElevenLabs
    from elevenlabs.conversational_ai.conversation import (
        AudioInterface,
        ClientTools,
        Conversation,
        DisconnectionDetails,
    )

PATIENCE_S = 20
"""How long to wait for what must come."""


class Line(AudioInterface):
    """The caller's telephone: what the SDK calls an audio interface."""

    def __init__(self) -> None:
        self.say: Callable[[bytes], None] | None = None
        self.started = threading.Event()
        self.stopped = threading.Event()
        self.heard = bytearray()
        self.interruptions = 0

    def start(self, input_callback: Callable[[bytes], None]) -> None:
        self.say = input_callback
        self.started.set()

    def stop(self) -> None:
        self.stopped.set()

    def output(self, audio: bytes) -> None:
        self.heard += audio

    def interrupt(self) -> None:
        self.interruptions += 1


class Caller:
    """Holds one conversation by means of the SDK, in a thread of its own."""

    def __init__(
        self, base_url: str, http: httpx.Client | None = None, *, api_key: str | None = None
    ) -> None:
        self.line = Line()
        self.replies: queue.Queue[str] = queue.Queue()
        self.transcripts: list[str] = []
        self.corrections: list[tuple[str, str]] = []
        self.tool_calls: list[dict[str, Any]] = []
        self.disconnections: list[DisconnectionDetails] = []
        tools = ClientTools()
        tools.register("look_up", self._look_up)
        self.conversation = Conversation(
            ElevenLabs(base_url=base_url, api_key=api_key or "none", httpx_client=http),
            "agent_1",
            requires_auth=api_key is not None,
            audio_interface=self.line,
            client_tools=tools,
            callback_agent_response=self.replies.put,
            callback_user_transcript=self.transcripts.append,
            callback_agent_response_correction=lambda *texts: self.corrections.append(texts),
            callback_disconnect=self.disconnections.append,
        )

    def _look_up(self, parameters: dict[str, Any]) -> str:
        self.tool_calls.append(parameters)
        return f"It is {parameters['number']}."

    def start(self) -> None:
        self.conversation.start_session()  # type: ignore[no-untyped-call]
        assert self.line.started.wait(PATIENCE_S)

    def next_reply(self) -> str:
        return self.replies.get(timeout=PATIENCE_S)

    def say_something(self) -> None:
        assert self.line.say is not None
        self.line.say(SPEECH)
        self.line.say(SILENCE)

    def wait_for_end(self) -> None:
        self.conversation.wait_for_session_end()
        assert self.line.stopped.wait(PATIENCE_S)


async def test_the_sdk_holds_a_whole_conversation() -> None:
    scenario = replace(
        QUIET,
        private=True,
        greeting=Turn(say=Speech("greeting")),
        turns=(
            Turn(
                heard="Look it up.",
                tools=(Tool("look_up", {"number": "7"}),),
                say_after_tools=Speech("long-answer"),
            ),
            Turn(heard="Stop. Goodbye.", say=Speech("goodbye"), close=Close(1000, "Goodbye")),
        ),
    )

    def call(base_url: str) -> Caller:
        with httpx.Client() as http:
            caller = Caller(base_url, http, api_key="a key")
            caller.start()
            assert caller.next_reply() == prompts.WORDS["greeting"]
            caller.say_something()
            assert caller.next_reply() == prompts.WORDS["long-answer"]
            caller.say_something()
            assert caller.next_reply() == "Goodbye."
            caller.wait_for_end()
        return caller

    async with Simulator(scenario, api_key="a key") as simulator:
        caller = await asyncio.to_thread(call, simulator.base_url)
        (conversation,) = simulator.conversations

    assert caller.transcripts == ["Look it up.", "Stop. Goodbye."]
    assert caller.line.interruptions == 2
    assert [original for original, _ in caller.corrections] == [
        prompts.WORDS["greeting"],
        prompts.WORDS["long-answer"],
    ]
    (parameters,) = caller.tool_calls
    assert parameters["number"] == "7"
    (result,) = conversation.log.tool_results
    assert (result.result, result.is_error) == ("It is 7.", False)
    assert caller.line.heard == conversation.log.sent_audio
    assert caller.line.heard.endswith(prompts.audio_of("goodbye", PCM_8000))
    assert conversation.log.received_audio == (SPEECH + SILENCE) * 2
    assert conversation.log.violations == []
    (details,) = caller.disconnections
    assert (details.reason, details.close_code, details.close_reason) == ("agent", 1000, "Goodbye")


async def test_the_sdk_answers_pings_and_hangs_up() -> None:
    async with Simulator(replace(QUIET, ping_interval_s=0.05, pong_timeout_s=5)) as simulator:
        caller = Caller(simulator.base_url)
        await asyncio.to_thread(caller.start)
        conversation = await simulator.wait_for_conversation()
        await until(
            lambda: sum((message["type"] == "pong" for _, message in conversation.log.received)),
            lambda seen: seen >= 3,
        )
        await asyncio.to_thread(caller.conversation.end_session)
        await asyncio.to_thread(caller.wait_for_end)
        await conversation.connection.ended.wait()
    assert conversation.log.initiation is not None
    assert conversation.log.initiation["source_info"]["source"] == "python_sdk"
    assert (conversation.connection.close_code, conversation.connection.ended_by) == (1000, EndedBy.CLIENT)


async def test_the_sdk_sees_how_the_agent_breaks_off() -> None:
    async with Simulator(replace(QUIET, close_at_start=Close(3000, "quota_exceeded"))) as simulator:
        caller = Caller(simulator.base_url)
        await asyncio.to_thread(caller.conversation.start_session)
        await asyncio.to_thread(caller.conversation.wait_for_session_end)
    (details,) = caller.disconnections
    assert (details.reason, details.close_code, details.close_reason) == ("error", 3000, "quota_exceeded")
