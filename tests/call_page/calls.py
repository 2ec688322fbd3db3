"""Calls for the page, kind and unkind, as the records of their flight recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from uuid import UUID

import numpy as np

from audiosocket_gw import events
from audiosocket_gw.causes import TimedOut
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.events import CallEvent, SetupStep, TransferOutcome
from audiosocket_gw.flight.capture import event_record
from audiosocket_gw.flight.format import CallerFrame, HeardFrame, Record, Start
from audiosocket_gw.protocol.audiosocket import Kind

CALL = UUID("11111111-2222-3333-4444-555555555555")
START = Start(CALL, datetime(2026, 3, 1, 12, 30, tzinfo=UTC), "1.2.3", "192.0.2.7:40000")
SILENCE = bytes(320)
TONE = (12_000 * np.sin(np.arange(160) / 3)).astype("<i2").tobytes()

HOSTILE = "</title></div>\"'><script>alert(1)</script><img src=x onerror=alert(2)> &amp; \x00\u202e\ud800"
ARABIC = "مرحبا، كيف يمكنني مساعدتك اليوم؟ لدينا عروض خاصة لجميع العملاء الجدد."
CHINESE = "您好，请问有什么可以帮助您的吗？我们今天为所有新客户提供特别优惠。"

Spans = Iterable[tuple[float, float]]


def frames(
    duration: float,
    caller: Spans = (),
    agent: Spans = (),
    *,
    hold: bytes = SILENCE,
    missing: Callable[[float], bool] = lambda at: False,
) -> Iterator[Record]:
    """Yield both directions' frames, with tone in the spans; the agent's others are of ``hold``.

    ``missing``: at which times nothing is sent to the caller.
    """
    speaks = [_speaks(duration, spans) for spans in (caller, agent)]
    for number in range(round(duration * 50)):
        at_us = number * 20_000
        if not missing(number / 50):
            yield HeardFrame(at_us + 1_000, Kind.SLIN, TONE if speaks[1][number] else hold)
        yield CallerFrame(at_us + 20_000, Kind.SLIN, TONE if speaks[0][number] else SILENCE)


def _speaks(duration: float, spans: Spans) -> list[bool]:
    found = [False] * round(duration * 50)
    for start, end in spans:
        for number in range(round(start * 50), min(len(found), round(end * 50))):
            found[number] = True
    return found


def call(audio: Iterable[Record], *happened: CallEvent) -> list[Record]:
    """Return a whole recording, in order of time."""
    recorded = [event_record(round(event.at * 1e6), event) for event in happened]
    return [START, *sorted([*audio, *recorded], key=lambda record: record.at_us)]


def connected(at: float = 0.4) -> list[CallEvent]:
    return [
        events.SetupStepDone(CALL, at / 2, SetupStep.SIGNED_URL, at * 500, "front desk"),
        events.SetupStepDone(CALL, at, SetupStep.CONNECT, at * 500),
        events.AgentConnected(CALL, at, "conv_1", at * 1000),
    ]


def ended(
    at: float, reason: EndReason = EndReason.AGENT_HANGUP, cause: object = "closed with 1000"
) -> CallEvent:
    return events.CallEnded(CALL, at, CallEnd(reason, cause), round(at * 1000), 1_000)  # type: ignore[arg-type]


def said(at: float, text: str) -> CallEvent:
    return events.CallerSaid(CALL, at, text)


def reply(at: float, end: float, text: str) -> list[CallEvent]:
    return [
        events.ReplyStarted(CALL, at),
        events.AgentSaid(CALL, at + 0.01, text, corrected=False),
        events.ReplyFinished(CALL, end, 1_000),
    ]


def conversation() -> list[Record]:
    """A call with everything: set-up, two answers, a barge-in, a tool, a transfer that works."""
    return call(
        frames(12, [(1.5, 2.5), (5.0, 6.0)], [(0.5, 1.2), (3.2, 5.3), (6.9, 8.0)]),
        *connected(),
        *reply(0.5, 1.2, "Hello & welcome."),
        said(3.0, "What are <your> hours?"),
        events.TurnTaken(CALL, 3.2, 700),
        events.ReplyStarted(CALL, 3.2),
        events.AgentSaid(CALL, 3.21, "We are open from nine to five.", corrected=False),
        events.Interrupted(CALL, 5.28, 9_000, 300),
        events.ReplyHeard(
            CALL, 5.29, 2, "We are open from nine to five.", "We are open", 900, 2_000, interrupted=True
        ),
        events.AgentSaid(CALL, 5.3, "We are...", corrected=True),
        said(6.2, "Put me through to sales, 0301234567."),
        events.ToolCalled(CALL, 6.3, "look_up", "t1"),
        events.ToolAnswered(CALL, 6.8, "look_up", "t1", is_error=False),
        events.TurnTaken(CALL, 6.9, 900),
        *reply(6.9, 8.0, "One moment."),
        events.TransferRequested(CALL, 9.0, "sales", "sales"),
        events.DigitPressed(CALL, 9.5, "7"),
        events.TransferDecided(CALL, 11.0, "sales", "sales", TransferOutcome.DONE),
        ended(12.0, EndReason.TRANSFERRED, "to sales"),
    )


def turns_without_pause(turns: int = 200, every: float = 1.6) -> list[Record]:
    """The caller and the agent take turns, all the call long."""
    happened: list[CallEvent] = []
    for number in range(turns):
        at = 0.5 + number * every
        happened += [
            said(at + 0.5, f"Question {number}, which is rather long and goes on and on"),
            events.TurnTaken(CALL, at + 0.9, 400 + number),
            *reply(at + 0.9, at + 1.5, f"Answer {number}, which is just as long as the question was"),
        ]
    duration = 1 + turns * every
    spans = [(0.5 + number * every, 1.0 + number * every) for number in range(turns)]
    audio = frames(duration, spans, [(start + 0.9, start + 1.5) for start, _ in spans])
    return call(audio, *connected(), *happened, ended(duration))


def turns_in_bursts() -> list[Record]:
    """Answers 100 ms apart."""
    answers = [events.TurnTaken(CALL, 1 + number / 10, 90) for number in range(150)]
    return call(frames(18, [(0.5, 16)], [(1, 17)]), *connected(), *answers, ended(18))


def long_texts() -> list[Record]:
    words = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft " * 60
    return call(
        frames(20, [(2, 4), (10, 12)], [(5, 9), (13, 19)]),
        *connected(),
        said(4, words),
        events.ToolCalled(CALL, 4.5, "a_tool_with_a_name_that_never_ends_" * 8, "t1"),
        events.ToolAnswered(CALL, 9.5, "a_tool_with_a_name_that_never_ends_" * 8, "t1", is_error=True),
        *reply(5, 9, words),
        said(12, "W" * 3_000),
        *reply(13, 19, "i" * 3_000),
        ended(20, EndReason.AGENT_FAILED, "1011 " + "reason " * 80),
    )


def other_scripts() -> list[Record]:
    return call(
        frames(20, [(2, 4), (10, 12)], [(5, 9), (13, 19)]),
        *connected(),
        said(4, ARABIC),
        *reply(5, 9, CHINESE * 3),
        events.ToolCalled(CALL, 9.1, "查询订单状态工具名称", "t1"),
        events.ToolAnswered(CALL, 9.6, "查询订单状态工具名称", "t1", is_error=False),
        said(12, CHINESE),
        *reply(13, 19, ARABIC * 2),
        events.TransferDecided(CALL, 19.5, ARABIC, ARABIC, TransferOutcome.REFUSED, CHINESE),
        ended(20),
    )


def one_second() -> list[Record]:
    return call(frames(1, [(0.3, 0.6)]), ended(1, EndReason.CALLER_HANGUP, "the caller hung up"))


def nothing_at_all() -> list[Record]:
    return [START]


def never_connected() -> list[Record]:
    return call(
        frames(10.2, [(3, 4)]),
        events.SetupStepDone(CALL, 0.3, SetupStep.SIGNED_URL, 300, "front desk"),
        ended(10.2, EndReason.AGENT_TIMEOUT, TimedOut("no WebSocket", 10, "AGENT_CONNECT_TIMEOUT")),
    )


def refused_thrice() -> list[Record]:
    refusals = [
        events.TransferDecided(
            CALL,
            3 + number / 5,
            "+4930123456",
            "",
            TransferOutcome.REFUSED,
            "TRANSFER_ALLOWED has no such place",
        )
        for number in range(3)
    ]
    return call(frames(8, [(1, 2)], [(2.5, 6)]), *connected(), *refusals, ended(8))


def silent_agent() -> list[Record]:
    """The agent connects and says nothing; hold audio plays."""
    return call(
        frames(15, [(3, 5)], hold=TONE),
        *connected(),
        events.AgentSilent(CALL, 5.4, 5_000),
        ended(15, EndReason.CALLER_HANGUP, "the caller hung up"),
    )


def hold_audio() -> list[Record]:
    """Hold audio plays whenever the agent doesn't speak, also after an interruption."""
    return call(
        frames(20, [(3, 4), (9, 10)], [(1, 2)], hold=TONE),
        *connected(),
        *reply(1, 2, "Please hold."),
        *reply(5, 9.2, "Thank you for waiting."),
        events.Interrupted(CALL, 9.3, 4_000),
        *reply(12, 13, "Yes?"),
        ended(20),
    )


def undecodable() -> list[Record]:
    """The caller's codec can't be decoded: the agent greets, and asks whether anyone is there."""
    return call(
        frames(9, [], [(0.5, 1.2), (6, 7)]),
        events.CallerUndecodable(CALL, 0.2, "g722"),
        *connected(),
        *reply(0.5, 1.2, "Hello."),
        *reply(6, 7, "Are you still there?"),
        ended(9, EndReason.CALLER_HANGUP, "the caller hung up"),
    )


def slow_tool() -> list[Record]:
    """Two answers wait for a tool, and one for the agent."""
    return call(
        frames(50, [(2, 3), (16, 17), (30, 31)], [(0.5, 1), (13, 14), (25, 26), (36, 37)]),
        *connected(),
        *reply(0.5, 1, "Hello."),
        events.ToolCalled(CALL, 3.8, "price_list", "t1"),
        events.AnswerLate(CALL, 6.0, 3_000),
        events.ToolAnswered(CALL, 12.8, "price_list", "t1", is_error=False),
        events.TurnTaken(CALL, 13, 10_000),
        *reply(13, 14, "It costs ten euros."),
        events.ToolCalled(CALL, 18, "price_list", "t2"),
        events.AnswerLate(CALL, 20.0, 3_000),
        events.ToolAnswered(CALL, 24.8, "price_list", "t2", is_error=False),
        events.TurnTaken(CALL, 25, 8_000),
        *reply(25, 26, "It costs eleven euros."),
        events.ToolCalled(CALL, 31.2, "price_list", "t3"),
        events.ToolAnswered(CALL, 31.4, "price_list", "t3", is_error=False),
        events.AnswerLate(CALL, 34, 3_000),
        events.TurnTaken(CALL, 36, 5_000),
        *reply(36, 37, "Twelve."),
        ended(50),
    )


def slow_answers() -> list[Record]:
    return call(
        frames(20, [(2, 3), (10, 11)], [(0.5, 1), (7.2, 9)], missing=lambda at: 8 < at < 8.3),
        *connected(),
        *reply(0.5, 1, "Hello."),
        said(3.2, "Are you there?"),
        events.AnswerLate(CALL, 6.0, 3_000),
        events.TurnTaken(CALL, 7.2, 4_200),
        *reply(7.2, 9, "Yes."),
        said(11.2, "And now?"),
        events.AnswerLate(CALL, 14.0, 3_000),
        ended(20, EndReason.CALLER_HANGUP, "the caller hung up"),
    )


def old_recording() -> list[Record]:
    """A recording of an earlier gateway: none of the events that came with call records."""
    return call(
        frames(12, [(2, 3), (6, 7)], [(0.5, 1), (3.6, 5)]),
        events.AgentConnected(CALL, 0.3, "conv_1", 300.0),
        *reply(0.5, 1, "Hello."),
        said(3.2, "Are you there?"),
        *reply(3.6, 5, "Yes."),
        ended(12, EndReason.CALLER_HANGUP, "the caller hung up"),
    )


def hostile() -> list[Record]:
    return call(
        frames(6, [(1, 2)], [(3, 4)]),
        *connected(),
        said(2.1, HOSTILE),
        *reply(3, 4, HOSTILE),
        events.ToolCalled(CALL, 4.1, HOSTILE, "t1"),
        events.ToolAnswered(CALL, 4.2, HOSTILE, "t1", is_error=True),
        events.TransferDecided(CALL, 4.5, HOSTILE, HOSTILE, TransferOutcome.FAILED, HOSTILE),
        ended(6, EndReason.AGENT_REJECTED, HOSTILE),
    )


def two_hours() -> Iterator[Record]:
    """Both speak all the time, in turns, with an event of each kind now and then; made as it is read."""
    end = 7_200
    happened: list[CallEvent] = [*connected()]
    for at in range(5, end - 10, 10):
        happened += [
            said(at + 2, f"Question {at}. " + "And so on. " * 20),
            events.TurnTaken(CALL, at + 3, 1_000),
            *reply(at + 3, at + 8, f"Answer {at}. " + "And so on. " * 20),
            events.Interrupted(CALL, at + 8.5, 100, 250),
            events.ToolCalled(CALL, at + 9, "look_up", str(at)),
            events.ToolAnswered(CALL, at + 9.5, "look_up", str(at), is_error=at % 500 == 5),
        ]
    happened.append(ended(end, EndReason.MAX_DURATION, "the call lasted MAX_CALL_SECONDS"))
    recorded = [event_record(round(event.at * 1e6), event) for event in happened]
    yield START
    number = 0
    audio = frames(
        end, ((at, at + 2) for at in range(5, end, 10)), ((at + 3, at + 8) for at in range(5, end, 10))
    )
    for record in audio:
        while number < len(recorded) and recorded[number].at_us <= record.at_us:
            yield recorded[number]
            number += 1
        yield record
    yield from recorded[number:]


UNKIND: dict[str, Callable[[], Iterable[Record]]] = {
    made.__name__: made
    for made in (
        conversation,
        turns_without_pause,
        turns_in_bursts,
        long_texts,
        other_scripts,
        one_second,
        nothing_at_all,
        never_connected,
        refused_thrice,
        silent_agent,
        hold_audio,
        slow_answers,
        old_recording,
        hostile,
        two_hours,
    )
}
