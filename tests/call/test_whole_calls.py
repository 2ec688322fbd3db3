"""Whole calls on the sans-I/O core: formats of both sides x packet times x batches x how they end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest

from audiosocket_gw import events
from audiosocket_gw.audio import FRAME_MS, PCM_8000, AudioFormat, Converter
from audiosocket_gw.call.lifecycle import State
from audiosocket_gw.call.limits import STALL_TICKS
from audiosocket_gw.call.outputs import LastWordsOver, StaleAudioDropped
from audiosocket_gw.elevenlabs import client_messages, messages
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.protocol.audiosocket import Kind
from tests.call.driver import Driver
from tests.harness.audio import ramp

GREETING_MS = 200
REPLY_MS = 500
TRANSFERRED = CallEnd(EndReason.TRANSFERRED, "put through")


@dataclass(frozen=True)
class Caller:
    """What Asterisk sends: the label of its frames, and what is in them."""

    kind: Kind
    format: str
    codec: str = ""
    """What Asterisk says of it, through AMI."""

    def __str__(self) -> str:
        return f"{self.format}-as-{self.kind.name.lower()}"


CALLERS = [
    Caller(Kind.SLIN, "pcm_8000"),
    Caller(Kind.SLIN16, "pcm_16000"),
    Caller(Kind.SLIN, "ulaw_8000", "ulaw"),
]
AGENTS = ["pcm_8000", "ulaw_8000", "pcm_16000"]
PACKETS_MS = [10, 20, 60]
BATCHES = [1, 3]


@cache
def speech(name: str, ms: int) -> bytes:
    """Return speech in a format: the samples can be followed in those of 8 kHz."""
    converter = Converter(PCM_8000, AudioFormat.parse(name))
    return converter.convert(ramp(ms)) + converter.drain()


class WholeCall:
    """A caller at a telephone, who sends audio all the time, and an agent."""

    def __init__(self, caller: Caller, agent: str, packet_ms: int, batch_frames: int) -> None:
        self.driver = Driver(batch_frames, measures_rate=False, report_heard=True)
        self._caller = caller
        self._agent = agent
        self._packet_ms = packet_ms
        self._packet = speech(caller.format, packet_ms)
        self._due_ms = 0
        self.said_ms = 0
        if caller.codec:
            self.driver.conversation.caller_audio.set_codec(caller.codec)

    def pass_ms(self, ms: int) -> None:
        driver = self.driver
        for _ in range(ms // FRAME_MS):
            self._due_ms += FRAME_MS
            while self._due_ms >= self._packet_ms:
                self._due_ms -= self._packet_ms
                self.said_ms += self._packet_ms
                driver.caller_says(self._packet, self._caller.kind)
            driver.tick()

    def agent_says(self, ms: int, event_id: int) -> None:
        """Send a reply in two pieces, the first of which ends in the middle of a sample."""
        audio = speech(self._agent, ms)
        self.driver.agent_says(audio[:1_001], event_id)
        self.driver.agent_says(audio[1_001:], event_id)

    @property
    def heard_ms(self) -> int:
        return self.driver.conversation.agent_audio.playout.heard_ms

    def begin(self) -> None:
        """Let the agent answer after 100 ms, and greet the caller."""
        driver = self.driver
        self.pass_ms(100)
        assert not driver.to_agent
        assert driver.is_in(State.CONNECTING)
        driver.connect(self._agent, self._agent)
        driver.receive(messages.AgentResponse("Hello!", 1))
        self.agent_says(GREETING_MS, 1)
        self.pass_ms(GREETING_MS + FRAME_MS)
        (finished,) = driver.of(events.ReplyFinished)
        assert finished.heard_ms == GREETING_MS
        if self._agent == self._caller.format.replace("ulaw", "pcm"):
            assert speech(self._agent, GREETING_MS) in driver.heard
        driver.receive(messages.UserTranscript("When do you open?"))
        assert driver.of(events.ReplyHeard)[0].heard == "Hello!"

    def barge_in(self) -> None:
        """Let the caller interrupt a long reply, of which more is on its way."""
        driver = self.driver
        driver.receive(messages.AgentResponse("We open at nine, but on Sundays", 2))
        self.agent_says(REPLY_MS, 2)
        self.pass_ms(200)
        driver.interrupt(3)
        self.agent_says(REPLY_MS, 2)
        self.pass_ms(3 * FRAME_MS)
        assert driver.of(StaleAudioDropped) == [StaleAudioDropped(2)] * 2
        assert not any(driver.frames[-1].payload)
        heard = driver.of(events.ReplyHeard)[-1]
        assert heard.interrupted
        assert heard.heard_ms == self.heard_ms - GREETING_MS
        assert 200 <= heard.heard_ms <= 220
        assert b"heard only" in driver.messages[-1]

    def use_tool(self) -> None:
        """Let the agent call a tool, and say what it found."""
        driver = self.driver
        call = messages.ClientToolCall("opening_hours", "id1", {})
        driver.receive(call)
        assert driver.outputs[-1] is call
        driver.conversation.send(client_messages.tool_result("id1", "9 to 5", is_error=False))
        before_ms = self.heard_ms
        self.agent_says(100, 3)
        self.pass_ms(100 + FRAME_MS)
        assert b"9 to 5" in driver.messages[-1]
        assert self.heard_ms == before_ms + 100

    def check_end(self, reason: EndReason) -> None:
        """Close the call, and see that both sides got what they should have got."""
        driver = self.driver
        assert driver.is_drained
        assert driver.is_in(State.ENDED)
        if not driver.of(events.CallEnded):
            driver.close(TRANSFERRED if reason is EndReason.TRANSFERRED else None)
        driver.tick(2)
        ended = driver.outputs[-1]
        assert isinstance(ended, events.CallEnded)
        assert (ended.reason, ended.heard_ms) == (reason, self.heard_ms)
        assert {frame.kind for frame in driver.frames[self._packet_ms // FRAME_MS :]} == {self._caller.kind}
        heard_ms = AudioFormat.parse(self._agent).seconds_of(driver.agent_heard) * 1_000
        if self._agent == self._caller.format:
            assert (self._packet * (self.said_ms // self._packet_ms)).startswith(driver.agent_heard)
        # A batch, and the resampler's last milliseconds, may be on their way.
        assert self.said_ms - 3 * FRAME_MS - 5 <= heard_ms <= self.said_ms


# How it ends


def caller_hangs_up(call: WholeCall) -> EndReason:
    call.agent_says(500, 4)
    call.pass_ms(100)
    call.driver.hang_up()
    return EndReason.CALLER_HANGUP


def agent_hangs_up(call: WholeCall) -> EndReason:
    before_ms = call.heard_ms
    call.agent_says(100, 4)
    call.driver.agent_gone()
    assert call.driver.is_in(State.DRAINING)
    call.driver.tick(7)
    assert call.heard_ms == before_ms + 100
    return EndReason.AGENT_HANGUP


def agent_is_lost(call: WholeCall) -> EndReason:
    call.driver.agent_gone(EndReason.AGENT_LOST)
    return EndReason.AGENT_LOST


def _last_words(call: WholeCall) -> None:
    before_ms = call.heard_ms
    call.driver.receive(messages.UserTranscript("Goodbye."))
    call.driver.await_last_words()
    assert call.driver.is_in(State.HANDING_OVER)
    call.agent_says(100, 4)
    call.pass_ms(700)
    assert call.driver.of(LastWordsOver)[-1] == LastWordsOver()
    assert call.heard_ms == before_ms + 100


def tool_hangs_up(call: WholeCall) -> EndReason:
    call.driver.receive(messages.UserTranscript("Goodbye."))
    call.driver.conversation.speech.refuse_new_replies()
    _last_words(call)
    call.driver.end(EndReason.AGENT_HANGUP)
    return EndReason.AGENT_HANGUP


def transfer(call: WholeCall) -> EndReason:
    _last_words(call)
    call.driver.hang_up()
    return EndReason.TRANSFERRED


def transfer_fails(call: WholeCall) -> EndReason:
    _last_words(call)
    call.driver.go_on()
    before_ms = call.heard_ms
    call.agent_says(100, 5)
    call.pass_ms(120)
    assert call.heard_ms == before_ms + 100
    call.driver.hang_up()
    return EndReason.CALLER_HANGUP


def longest_call(call: WholeCall) -> EndReason:
    call.agent_says(100, 4)
    end = CallEnd(EndReason.MAX_DURATION, "it lasted")
    call.driver.conversation.lifecycle.end_after_handover(end, call.driver.now)
    call.driver.tick(7)
    return EndReason.MAX_DURATION


def gateway_stops(call: WholeCall) -> EndReason:
    call.agent_says(500, 4)
    end = CallEnd(EndReason.DRAINED, "the gateway stops")
    call.driver.conversation.lifecycle.cut(end, call.driver.now)
    call.driver.collect()
    return EndReason.DRAINED


def caller_stalls(call: WholeCall) -> EndReason:
    call.driver.tick(STALL_TICKS, blocked=True)
    return EndReason.CALLER_STALLED


def defect(call: WholeCall) -> EndReason:
    call.driver.end(EndReason.INTERNAL_ERROR)
    return EndReason.INTERNAL_ERROR


ENDS: list[Callable[[WholeCall], EndReason]] = [
    caller_hangs_up,
    agent_hangs_up,
    agent_is_lost,
    tool_hangs_up,
    transfer,
    transfer_fails,
    longest_call,
    gateway_stops,
    caller_stalls,
    defect,
]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
@pytest.mark.parametrize("batch_frames", BATCHES)
@pytest.mark.parametrize("packet_ms", PACKETS_MS)
@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("caller", CALLERS, ids=str)
def test_a_whole_call(
    caller: Caller, agent: str, packet_ms: int, batch_frames: int, end: Callable[[WholeCall], EndReason]
) -> None:
    call = WholeCall(caller, agent, packet_ms, batch_frames)
    call.begin()
    call.barge_in()
    call.use_tool()
    reason = end(call)
    call.check_end(reason)
