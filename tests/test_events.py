"""What happened in a few words: each event has some, and what was said or typed is in none."""

from __future__ import annotations

from uuid import UUID

import pytest

from audiosocket_gw import events
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.events import describe

CALL = UUID(int=1)
PRIVATE = "my pin is 1234"

DESCRIBED: list[tuple[events.CallEvent, str]] = [
    (events.CallStarted(CALL, 1.0, "10.0.0.1:4000"), "started by 10.0.0.1:4000"),
    (events.AgentConnected(CALL, 1.0, "conv_1", 123.4), "agent connected in 123 ms, conversation conv_1"),
    (events.CallerIdentified(CALL, 1.0, "pbx", PRIVATE, PRIVATE, "5001", PRIVATE), "caller identified"),
    (
        events.SetupStepDone(CALL, 1.0, events.SetupStep.SIGNED_URL, 123.4),
        "set-up step signed_url took 123 ms",
    ),
    (events.TurnTaken(CALL, 1.0, 900), "answered after 900 ms"),
    (events.AgentSilent(CALL, 1.0, 5_000), "nothing heard of the agent for 5000 ms"),
    (events.AgentQueued(CALL, 1.0, "waiting"), "in ElevenLabs' queue: waiting"),
    (events.AgentPinged(CALL, 1.0, 48.6), "agent pings, round trip 49 ms"),
    (events.AnswerLate(CALL, 1.0, 3_000), "no answer for 3000 ms"),
    (events.CallerUndecodable(CALL, 1.0, "g722"), "the caller's audio can't be decoded: g722"),
    (events.CallerUndecodable(CALL, 1.0, ""), "the caller's audio can't be decoded: not G.711"),
    (events.TransferRequested(CALL, 1.0, "600@queues", "sales"), "transfer to sales requested"),
    (
        events.TransferDecided(CALL, 1.0, "600@queues", "", events.TransferOutcome.GIVEN_UP),
        "transfer to 600@queues given up",
    ),
    (events.FrameFigures(CALL, 1.0, 3, 0, 12), "3 frames late, 0 skipped, 12 missing"),
    (events.ReplyStarted(CALL, 1.0), "agent starts to speak"),
    (events.ReplyFinished(CALL, 1.0, 2_040), "all has been played, 2.0 s heard so far"),
    (events.CallerSaid(CALL, 1.0, PRIVATE), "transcript of the caller"),
    (events.AgentSaid(CALL, 1.0, PRIVATE, corrected=False), "text of the reply"),
    (
        events.AgentSaid(CALL, 1.0, PRIVATE, corrected=True),
        "text of the reply, cut to what was spoken",
    ),
    (
        events.ReplyHeard(CALL, 1.0, 1, PRIVATE, PRIVATE, 900, 1_000, interrupted=True),
        "0.9 of 1.0 s of the reply heard",
    ),
    (events.ReplyHeld(CALL, 1.0), "reply held: the caller seems to speak"),
    (events.ReplyResumed(CALL, 1.0, 400), "reply resumed after 400 ms: no interruption followed"),
    (events.Interrupted(CALL, 1.0, 780), "interrupted, 780 ms discarded"),
    (events.DigitPressed(CALL, 1.0, "7"), "key pressed"),
    (events.ToolCalled(CALL, 1.0, "transfer", "t1"), "agent calls tool transfer"),
    (events.ToolCalled(CALL, 1.0, "x" * 1_000, "t1"), f"agent calls tool {'x' * 64}"),
    (events.ToolAnswered(CALL, 1.0, "transfer", "t1", is_error=False), "tool transfer answered"),
    (events.ToolAnswered(CALL, 1.0, "transfer", "t1", is_error=True), "tool transfer failed"),
    (
        events.CallEnded(CALL, 1.0, CallEnd(EndReason.DRAINED, "why"), 61_234, 2_040),
        "ended, drained: why",
    ),
    (events.CallEvent(CALL, 1.0), "CallEvent"),
]


@pytest.mark.parametrize(("event", "words"), DESCRIBED)
def test_every_event_is_described_without_what_was_said(event: events.CallEvent, words: str) -> None:
    assert describe(event) == words


def test_every_event_is_here() -> None:
    kinds = [kind for kind in vars(events).values() if isinstance(kind, type)]
    assert {type(event) for event, _ in DESCRIBED} == {
        kind for kind in kinds if issubclass(kind, events.CallEvent)
    }
