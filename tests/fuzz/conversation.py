"""A conversation: any input in any order keeps the rules of `Driver`; what is over holds no memory."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from audiosocket_gw import events
from audiosocket_gw.audio import AGENT_FORMATS, TELEPHONE_RATE
from audiosocket_gw.audio.hold_audio import HoldAudio, HoldAudioMode
from audiosocket_gw.call.conversation import Conversation
from audiosocket_gw.call.lifecycle import State
from audiosocket_gw.call.outputs import EndDecided
from audiosocket_gw.elevenlabs import messages
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.protocol.audiosocket import SAMPLE_RATES
from tests.call.driver import HUNG_UP, Driver
from tests.call.test_conversation_any_order import HOLD_AUDIO, INPUTS, drains_in_time
from tests.fuzz.choices import Choices
from tests.fuzz.target import Target

KINDS = sorted(SAMPLE_RATES)
FORMATS = (*map(str, AGENT_FORMATS), "opus_48000", "")
SIZES = (0, 1, 2, 3, 20, 159, 160, 320, 321, 640, 1_600, 4_000, 16_000)
CODECS = ("ulaw", "alaw", "slin", "g722", "")
IDS = (None, 0, 1, 2, 3, -1, 2**63)
REASONS = tuple(EndReason)

MAX_INPUTS = 60
MAX_TICKS = 3_000

PLAYED_BYTES = 128 * 1024
"""What the queue may hold beyond what the agent sent: the piece that is converted and being played."""

HELD_BYTES = 64 * 1024
"""What a conversation that is over may still hold: its counters, and the state of its filters."""


def _message(choices: Choices) -> messages.ServerMessage:
    event_id = choices.of(IDS)
    match choices.number(9):
        case 0:
            return messages.Interruption(event_id)
        case 1:
            return messages.Metadata("c", choices.of(FORMATS), choices.of(FORMATS))
        case 2:
            return messages.UserTranscript(choices.text(8))
        case 3:
            return messages.AgentResponse(choices.text(8), event_id)
        case 4:
            return messages.AgentResponseCorrection(choices.text(8))
        case 5:
            return messages.ClientToolCall("t", "id", {})
        case 6:
            return messages.McpToolCall("t", "id", "loading")
        case 7:
            return messages.QueueStatus("waiting")
        case _:
            return messages.GuardrailTriggered()


def _alignment(choices: Choices) -> messages.Alignment:
    return tuple((choices.number(300), "ab "[choices.number(3)]) for _ in range(choices.number(4)))


def _audio(choices: Choices) -> bytes:
    size = choices.of(SIZES)
    return (choices.some(40) * size or bytes(size))[:size]


def _end(choices: Choices) -> CallEnd:
    return CallEnd(choices.of(REASONS), "x")


ARGUMENTS: dict[str, Callable[[Choices], tuple[Any, ...]]] = {
    "tick": lambda c: (1 + c.number(60),),
    "blocked": lambda c: (1 + c.number(300),),
    "mid-frame": lambda c: (1 + c.number(300),),
    "frame": lambda c: (c.of(KINDS), _audio(c)),
    "speech": lambda c: (c.of(KINDS),),
    "digit": lambda c: (c.of("0#*a"),),
    "audio": lambda c: (c.of(SIZES), c.of(IDS), _alignment(c), c.flag()),
    "quiet audio": lambda c: (c.of(SIZES), c.of(IDS)),
    "message": lambda c: (_message(c),),
    "agent gone": lambda c: (c.of(REASONS),),
    "end": lambda c: (_end(c),),
    "end after hand-over": lambda c: (_end(c),),
    "go on": lambda c: (c.flag(),),
    "codec": lambda c: (c.of(CODECS),),
    "batch": lambda c: (c.of((1, 2, 5)),),
    "close": lambda c: (_end(c),),
}
"""The arguments of those `INPUTS` that have some."""

NAMES = tuple(INPUTS)


def _driver(choices: Choices) -> Driver:
    mode = choices.of((None, *HoldAudioMode))
    return Driver(
        choices.of((1, 3)),
        measures_rate=choices.flag(),
        hold_audio=mode and HoldAudio(HOLD_AUDIO, mode, TELEPHONE_RATE),
        interruptible=choices.flag(),
        barge_in_deadline_s=choices.of((None, 0.1, 5)),
        drop_interrupted_audio=choices.flag(),
        report_heard=choices.flag(),
    )


def check(data: bytes) -> None:
    choices = Choices(data)
    driver = _driver(choices)
    if choices.flag():
        driver.connect()
    began_at = driver.now
    sent = 0
    for _ in choices.repeat(MAX_INPUTS):
        name = choices.of(NAMES)
        arguments = ARGUMENTS[name](choices) if name in ARGUMENTS else ()
        INPUTS[name](driver, *arguments)
        driver.collect()
        sent += arguments[0] if name in ("audio", "quiet audio") else 0
        assert driver.conversation.agent_audio.playout.kept_bytes <= sent + PLAYED_BYTES
        if driver.now - began_at > MAX_TICKS * 0.02:
            break
    driver.end(EndReason.CALLER_HANGUP)
    drains_in_time(driver)
    driver.close(HUNG_UP)
    driver.hang_up()
    driver.agent_gone()
    driver.tick(2)
    assert driver.is_in(State.CLOSED)
    assert len(driver.of(events.CallEnded)) == 1
    assert len(driver.of(EndDecided)) <= 1
    assert held_bytes(driver.conversation) <= HELD_BYTES, driver.conversation


SHARED = {"_Bank", "HoldAudioFile", "_Loop"}
"""Types whose objects all calls share: filters of a resampler, and files."""


def held_bytes(conversation: Conversation) -> int:
    """Return the memory of all objects of a conversation, without those that all calls share."""
    found: set[int] = set()
    waiting: list[Any] = [conversation]
    total = 0
    while waiting:
        one = waiting.pop()
        if id(one) in found or callable(one) or type(one).__name__ in SHARED:
            continue
        found.add(id(one))
        match one:
            case np.ndarray():
                total += one.nbytes
            case bytes() | bytearray() | str():
                total += len(one)
            case dict():
                total += sys.getsizeof(one)
                waiting += one.values()
            case list() | tuple() | deque() | set():
                total += sys.getsizeof(one)
                waiting += one
            case _ if type(one).__module__.startswith("audiosocket_gw"):
                total += sys.getsizeof(one)
                names = [name for kind in type(one).__mro__ for name in getattr(kind, "__slots__", ())]
                waiting += [getattr(one, name) for name in names if hasattr(one, name)]
                waiting += vars(one).values() if hasattr(one, "__dict__") else ()
    return total


def inputs() -> Iterator[bytes]:
    """Each kind of input, alone and after a second of a call."""
    for number in range(len(NAMES)):
        options = bytes(7)
        talk = bytes([NAMES.index("audio"), 12, 2, 0, 0, NAMES.index("tick"), 50])
        yield options + b"\1" + talk + bytes([number]) + b"\2" * 8 + talk
        yield options + b"\0" + bytes([number]) + b"\1" * 8


TARGETS = (Target("conversation", check, inputs, max_bytes=400),)
