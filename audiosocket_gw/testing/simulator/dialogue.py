"""The dialogue of the simulated agent: it takes turns with the caller, according to the scenario."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, repeat

from audiosocket_gw.audio import AudioFormat
from audiosocket_gw.testing.simulator import prompts, server_messages
from audiosocket_gw.testing.simulator.expected_answers import ToolCall
from audiosocket_gw.testing.simulator.scenario import BargeIn, Noise
from audiosocket_gw.testing.simulator.simulated_agent import SimulatedAgent
from audiosocket_gw.testing.simulator.turn import Close, CloseAt, Speech, Tool, ToolsAt, Turn
from audiosocket_gw.testing.simulator.vad import EnergyVad, Heard

_SILENCE_TRANSCRIPT = "..."
"""The transcript of a turn that timed out in silence: not the caller's words."""

_LATE_AUDIO_MS = 100
_TOOL_AUDIO_MS = 1_000


@dataclass(frozen=True, slots=True)
class _Reply:
    """A reply that has been sent, or is being sent."""

    words: str
    audio: bytes
    starts_at: float


class Dialogue:
    """The agent's part: `hear` and `read` receive what the caller says, `run` answers."""

    def __init__(self, agent: SimulatedAgent) -> None:
        scenario = agent.scenario
        self._agent = agent
        self._scenario = scenario
        rate = AudioFormat.parse(scenario.input_format).rate
        self._vad = EnergyVad(rate, scenario.speech_level, scenario.speech_ms, scenario.silence_ms)
        self._caller_turns: asyncio.Queue[str | None] = asyncio.Queue()
        """What the caller wrote, or None for something spoken."""
        self._interrupted = asyncio.Event()
        """Set while the rest of the current turn is void."""
        self._reply: _Reply | None = None
        self._said: Speech | None = None

    async def hear(self, linear: bytes) -> None:
        """Receive linear audio from the caller."""
        for heard in self._vad.feed(linear):
            if heard == Heard.SPEECH_ENDED:
                self._caller_turns.put_nowait(None)
            elif self._is_playing or self._scenario.barge_in == BargeIn.IDLE:
                await self._barge_in()

    async def read(self, text: str) -> None:
        """Receive a written message from the caller; it interrupts like speech."""
        if self._is_playing:
            await self._barge_in()
        self._caller_turns.put_nowait(text)

    async def run(self) -> None:
        """Greet, then answer the caller turn by turn."""
        turns = self._scenario.turns or (Turn(),)
        self._agent.begin_reply()
        await self._take_turn(self._scenario.greeting)
        for turn in chain(turns, repeat(turns[-1])):
            written = await self._caller_turn()
            self._interrupted.clear()
            self._agent.begin_reply()
            if written is None:
                await self._transcribe(turn.heard)
            await asyncio.sleep(self._scenario.think_s)
            await self._take_turn(turn)

    @property
    def _is_playing(self) -> bool:
        return self._agent.playing_until > self._agent.now()

    async def _transcribe(self, text: str) -> None:
        await self._agent.send(server_messages.user_transcript(text, self._agent.event_id))

    # The caller's turn.

    async def _caller_turn(self) -> str | None:
        """Wait until the caller has said something, for as long as the scenario allows."""
        await self._playback()
        ends_at = self._agent.now() + (self._scenario.silence_end_call_s or math.inf)
        while True:
            left = min(self._scenario.turn_timeout_s or math.inf, ends_at - self._agent.now())
            try:
                return await asyncio.wait_for(self._caller_turns.get(), None if math.isinf(left) else left)
            except TimeoutError:
                if self._vad.is_speech:
                    return await self._caller_turns.get()
                await self._break_silence(ends_at)

    async def _break_silence(self, ends_at: float) -> None:
        if self._agent.now() >= ends_at:
            await self._agent.end(Close(reason="The caller has been silent for too long"))
            return
        self._agent.begin_reply()
        await self._transcribe(_SILENCE_TRANSCRIPT)
        await self._say(self._said)
        await self._playback()

    # The agent's turn.

    async def _take_turn(self, turn: Turn) -> None:
        if not turn.tools:
            await self._say(turn.say, turn.close)
        elif turn.tools_at == ToolsAt.BEFORE_SPEECH:
            worked = await self._use_tools(turn.tools)
            await self._say(turn.say)
            await self._say_result(turn, worked)
        else:
            await self._say(turn.say)
            if turn.tools_at == ToolsAt.AFTER_SPEECH:
                await self._playback()
            if not self._interrupted.is_set():
                await self._say_result(turn, await self._use_tools(turn.tools))
        if turn.close is not None:
            await self._close(turn.close)

    async def _say_result(self, turn: Turn, worked: bool) -> None:
        speech = turn.say_after_tools if worked else turn.say_after_failed_tools
        if speech is not None:
            self._agent.begin_reply()
            await self._say(speech)

    async def _close(self, close: Close) -> None:
        if close.at == CloseAt.AFTER_PLAYBACK:
            await self._playback()
        if not self._interrupted.is_set():
            await self._agent.end(close)

    async def _use_tools(self, tools: Sequence[Tool]) -> bool:
        """Call all tools at once; return whether each expected answer came without an error."""
        agent = self._agent
        calls = [await self._call(tool) for tool in tools]
        audio = self._scenario.barge_in == BargeIn.TOOL_AUDIO
        if audio:
            await agent.send_audio(prompts.tone(_TOOL_AUDIO_MS, agent.output_format))
        awaited = [(call, tool) for call, tool in zip(calls, tools, strict=True) if tool.expects_response]
        await asyncio.gather(*(_answer(call, tool.timeout_s) for call, tool in awaited))
        if audio:
            agent.playing_until = agent.now()
            await agent.send(server_messages.interruption(agent.event_id - 1))
        return all(call.result is not None and not call.result.is_error for call, _ in awaited)

    async def _call(self, tool: Tool) -> ToolCall:
        if tool.mcp:
            return await self._agent.call_mcp_tool(tool.name, tool.parameters)
        return await self._agent.call_tool(tool.name, tool.parameters, with_id=not tool.without_id)

    async def _say(self, speech: Speech | None, close: Close | None = None) -> None:
        """Send a reply in bursts, faster than real time. ``close`` may end it in the middle."""
        if speech is None:
            return
        agent, scenario = self._agent, self._scenario
        audio = prompts.audio_of(speech.prompt, agent.output_format)
        starts_at = max(agent.now(), agent.playing_until)
        self._said, self._reply = speech, _Reply(speech.words, audio, starts_at)
        if scenario.text_first:
            await self._send_text(speech.words)
        cuts = burst_cuts(len(audio), scenario.bursts, agent.output_format.sample_bytes, scenario.odd_bytes)
        for start, end in pairwise(cuts):
            if start and close is not None and close.at == CloseAt.MID_REPLY:
                return
            if start and scenario.burst_gap_s:
                await self._pause(scenario.burst_gap_s)
            if self._interrupted.is_set():
                return
            words = speech.words[
                len(speech.words) * start // len(audio) : len(speech.words) * end // len(audio)
            ]
            await agent.send_audio(audio[start:end], text=words)
        if not scenario.text_first:
            await self._send_text(speech.words)
        await self._finish_reply()

    async def _send_text(self, words: str) -> None:
        await self._agent.send(server_messages.agent_response(words, self._agent.event_id))

    async def _finish_reply(self) -> None:
        agent, scenario = self._agent, self._scenario
        if Noise.EMPTY_AUDIO in scenario.noise:
            await agent.send_audio(b"")
        if Noise.UNKNOWN_EVENTS in scenario.noise:
            for message in server_messages.unknown_events(agent.event_id):
                await agent.send(message)
        if Noise.SILENCE_TRANSCRIPT in scenario.noise:
            await self._transcribe(_SILENCE_TRANSCRIPT)
        if scenario.is_final:
            await agent.send(server_messages.final_audio(agent.event_id))
        if scenario.response_complete:
            await agent.send(server_messages.agent_response_complete(agent.event_id))

    # Interruption.

    async def _barge_in(self) -> None:
        """Stop speaking: the caller has interrupted."""
        agent = self._agent
        interrupted_id, reply = agent.event_id, self._reply if self._is_playing else None
        self._interrupted.set()
        await agent.interrupt()
        if reply is None:
            return
        await agent.send(
            server_messages.agent_response_correction(reply.words, self._heard_of(reply), interrupted_id)
        )
        if self._scenario.barge_in == BargeIn.LATE_AUDIO:
            late = reply.audio[: agent.output_format.bytes_for(_LATE_AUDIO_MS)]
            await agent.send_audio(late, event_id=interrupted_id - 1)
            await agent.send_audio(late, event_id=interrupted_id)
            agent.playing_until = agent.now()

    def _heard_of(self, reply: _Reply) -> str:
        """Return the words of ``reply`` that, by the clock, the caller has heard."""
        seconds = self._agent.now() - reply.starts_at
        share = min(max(seconds / self._agent.output_format.seconds_of(reply.audio), 0.0), 1.0)
        words = reply.words.split()
        return " ".join(words[: int(len(words) * share)])

    async def _playback(self) -> None:
        """Wait until the caller has heard everything, or interrupts."""
        while self._is_playing and not self._interrupted.is_set():
            await self._pause(self._agent.playing_until - self._agent.now())

    async def _pause(self, seconds: float) -> None:
        """Wait, but not beyond an interruption."""
        try:
            await asyncio.wait_for(self._interrupted.wait(), seconds)
        except TimeoutError:
            return


async def _answer(call: ToolCall, timeout_s: float) -> None:
    """Wait for the answer to a tool call, or its timeout."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(call.answered.wait(), timeout_s)


def burst_cuts(size: int, bursts: int, sample_bytes: int, odd_bytes: bool) -> list[int]:
    """Return where to cut a reply of ``size`` bytes: 0, the cuts, ``size``.

    The first burst is the smallest: a real greeting came in 1.0 and 2.4 s. No cut is at a multiple of 320
    bytes, 20 ms of pcm_8000; with ``odd_bytes`` every second cut is in mid-sample.
    """
    cuts = [0]
    for index in range(1, bursts):
        cut = int(size * (index / bursts) ** 1.7) // 320 * 320 + 22 * sample_bytes + odd_bytes * index % 2
        if cuts[-1] < cut < size:
            cuts.append(cut)
    return [*cuts, size]
