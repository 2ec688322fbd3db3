"""Transfer and hang-up as a state machine: on a fake call, with a PBX and without, no gateway around it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from audiosocket_gw.ami.call_control import CallControl
from audiosocket_gw.ami.client import AmiClient
from audiosocket_gw.ami.result import CallResult
from audiosocket_gw.control.handover import TRANSITIONS, Handover, State
from audiosocket_gw.control.key_actions import KeyAction
from audiosocket_gw.control.transfer_policy import Destination, TransferPolicy
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.errors import ToolError
from audiosocket_gw.events import CallEvent, TransferDecided, TransferOutcome, TransferRequested
from tests.ami.recorded import CALL
from tests.control.fake_call import FakeCall, call_tasks
from tests.harness.fake_asterisk import DENIED, TIMING, FakeAsterisk, fake_asterisk
from tests.harness.waiting import until

POLICY = TransferPolicy({"sales": Destination("600", "queues", name="Sales")}, None, ("queues",))
CHANNEL = "PJSIP/1-1"
IN_CALL = {
    "Channel": CHANNEL,
    "Uniqueid": "1.1",
    "Application": "AudioSocket",
    "ApplicationData": f"{CALL},127.0.0.1:5001",
}
LANDED = {**IN_CALL, "Context": "queues", "Exten": "600", "Application": "Queue", "ApplicationData": "sales"}


@asynccontextmanager
async def handover(
    pbx: CallControl | None = None, release_s: float = 5
) -> AsyncIterator[tuple[FakeCall, Handover]]:
    result = CallResult(pbx, CALL) if pbx is not None else None
    async with call_tasks() as tasks:
        call = FakeCall()
        yield call, Handover(call, POLICY, pbx, result, tasks, release_s=release_s)


@asynccontextmanager
async def controlled(release_s: float = 5) -> AsyncIterator[tuple[FakeAsterisk, FakeCall, Handover]]:
    async with fake_asterisk() as fake:
        fake.channels = {CHANNEL: IN_CALL}
        fake.replies["Getvar"] = "Response: Success\nValue: 1"
        async with AmiClient(fake.address, TIMING) as client:
            control = CallControl(client)
            await control.wait_until_connected()
            await fake.came("CoreShowChannels")
            async with handover(control, release_s) as (call, subject):
                fake.received.clear()
                yield fake, call, subject


def is_in(subject: Handover, state: State) -> bool:
    return subject.state is state


async def comes_to(subject: Handover, state: State) -> None:
    await until(lambda: subject.state, lambda found: found is state)


def test_every_state_leads_to_known_ones_and_only_a_release_is_final() -> None:
    assert set(TRANSITIONS) == set(State)
    assert [state for state in State if not TRANSITIONS[state]] == [State.RELEASED]
    assert set().union(*TRANSITIONS.values()) == set(State)


async def test_it_can_be_printed() -> None:
    async with handover() as (_, subject):
        assert repr(subject) == f"<Handover of call {CALL}: idle>"


async def test_hang_up_without_a_manager_interface() -> None:
    async with handover() as (call, subject):
        assert (await subject.hang_up()).startswith("Accepted.")
        assert is_in(subject, State.LAST_WORDS)
        call.hears_last_words()
        assert await call.ended is EndReason.AGENT_HANGUP
        assert is_in(subject, State.RELEASED)
        assert await subject.released() is None
        assert call.done == ["refuse"]


async def test_the_call_knows_of_it_before_the_agent_can_answer() -> None:
    """Else an agent that hangs up at the same time would end the call before the hand-over."""
    async with handover() as (call, subject):
        await subject.hang_up()
        assert call.is_handed_over


async def test_second_one_is_refused_whatever_it_is() -> None:
    async with handover() as (call, subject):
        await subject.hang_up()
        with pytest.raises(ToolError, match="already"):
            await subject.hang_up()
        assert is_in(subject, State.LAST_WORDS)
        call.hears_last_words()
        await call.ended


async def test_caller_who_cuts_in_stays_and_it_can_be_tried_again() -> None:
    async with handover() as (call, subject):
        await subject.hang_up()
        call.cuts_in()
        await comes_to(subject, State.IDLE)
        assert call.done == ["refuse", "accept"]
        assert b"The caller interrupted" in call.sent[0]
        call.words = asyncio.Future()
        await subject.hang_up()
        assert is_in(subject, State.LAST_WORDS)


async def test_key_goes_before_the_last_words() -> None:
    async with handover() as (call, subject):
        await subject.hang_up()
        await asyncio.sleep(0)
        call.words = asyncio.Future()
        await subject.act_on_key(KeyAction("hangup"))
        assert call.done[-1] == "silence"
        assert is_in(subject, State.LAST_WORDS)
        call.hears_last_words()
        assert await call.ended is EndReason.AGENT_HANGUP
        assert not call.sent


async def test_key_that_can_do_nothing_lets_the_agent_speak() -> None:
    async with handover() as (call, subject):
        await subject.act_on_key(KeyAction("transfer", "sales"))
        assert is_in(subject, State.IDLE)
        assert call.done == ["silence", "accept"]
        assert b"not available" in call.sent[0]


async def test_transfer_asks_for_the_channel_once() -> None:
    async with controlled() as (fake, call, subject):
        assert "put through to Sales" in await subject.transfer("sales", None, None)
        assert is_in(subject, State.LAST_WORDS)
        call.hears_last_words()
        await fake.came("Redirect")
        assert is_in(subject, State.ASKED_ASTERISK)
        fake.channels[CHANNEL] = LANDED
        end = await subject.released()
        assert end is not None
        assert (end.reason, end.detail) == (EndReason.TRANSFERRED, "put through to 600@queues")
        assert is_in(subject, State.RELEASED)
        names = [action["Action"] for action in fake.received]
        assert names[:5] == ["Getvar", "Status", "Setvar", "Setvar", "Redirect"]
        assert set(names[5:]) == {"Status"}, "whether the caller is there"
        assert fake.set_on[CHANNEL, "AVR_RESULT"] == "transferred"


async def test_key_comes_too_late_once_asterisk_is_asked() -> None:
    async with controlled() as (fake, call, subject):
        await subject.transfer("sales", None, None)
        call.hears_last_words()
        await fake.came("Redirect")
        await subject.act_on_key(KeyAction("hangup"))
        assert is_in(subject, State.ASKED_ASTERISK)
        fake.channels[CHANNEL] = LANDED
        assert await subject.released() is not None


@pytest.mark.parametrize("action", ["Status", "Setvar", "Redirect"])
async def test_transfer_that_asterisk_refuses_lets_the_call_go_on(action: str) -> None:
    async with controlled() as (fake, call, subject):
        fake.replies[action] = DENIED
        await subject.transfer("sales", None, None)
        call.hears_last_words()
        await comes_to(subject, State.IDLE)
        assert await subject.released() is None
        assert b"transfer failed" in call.sent[0]
        assert call.done == ["accept"]
        assert not call.ended.done()


async def test_hang_up_by_the_manager_interface() -> None:
    async with controlled() as (fake, call, subject):
        await subject.hang_up()
        call.hears_last_words()
        order = await fake.came("Hangup")
        assert (order["Channel"], order["Cause"]) == (CHANNEL, "16")
        end = await subject.released()
        assert end is not None
        assert end.reason is EndReason.AGENT_HANGUP
        assert [action["Action"] for action in fake.received] == ["Status", "Setvar", "Setvar", "Hangup"]
        assert fake.set_on[CHANNEL, "AVR_RESULT"] == "completed"


async def test_call_that_asterisk_does_not_close_ends_by_itself() -> None:
    async with controlled(release_s=0.05) as (fake, call, subject):
        await subject.transfer("sales", None, None)
        call.hears_last_words()
        await fake.came("Redirect")
        fake.channels[CHANNEL] = LANDED
        assert await call.ended is EndReason.TRANSFERRED


# What the observers are told


def told(call: FakeCall) -> list[CallEvent]:
    return [event for event in call.events if isinstance(event, TransferRequested | TransferDecided)]


def outcome(call: FakeCall) -> tuple[TransferOutcome, str]:
    decided = told(call)[-1]
    assert isinstance(decided, TransferDecided)
    return decided.outcome, decided.detail


async def test_a_transfer_is_reported_when_it_is_requested_and_when_it_is_done() -> None:
    async with controlled() as (fake, call, subject):
        await subject.transfer("sales", None, None)
        (requested,) = told(call)
        assert isinstance(requested, TransferRequested)
        assert (requested.destination, requested.name) == ("600@queues", "Sales")
        call.hears_last_words()
        await fake.came("Redirect")
        fake.channels[CHANNEL] = LANDED
        await subject.released()
        decided = told(call)[1]
        assert isinstance(decided, TransferDecided)
        assert (decided.destination, decided.name) == ("600@queues", "Sales")
        assert outcome(call) == (TransferOutcome.DONE, "")


def audited(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [
        (record.levelno, record.getMessage())
        for record in caplog.records
        if record.name == "audiosocket_gw.audit"
    ]


async def test_a_transfer_that_is_refused_was_never_requested(caplog: pytest.LogCaptureFixture) -> None:
    async with handover() as (call, subject):
        with pytest.raises(ToolError):
            await subject.transfer("00" * 40, "abroad", None)
        ((level, line),) = audited(caplog)
        assert level == logging.WARNING
        assert line.startswith(f"call {CALL}: transfer refused: '0000")
        (decided,) = told(call)
        assert isinstance(decided, TransferDecided)
        assert decided.destination == "00" * 20 + "@abroad"
        assert outcome(call)[0] is TransferOutcome.REFUSED
        assert "not allowed" in outcome(call)[1]


async def test_a_transfer_that_asterisk_refuses_has_failed(caplog: pytest.LogCaptureFixture) -> None:
    async with controlled() as (fake, call, subject):
        fake.replies["Redirect"] = DENIED
        await subject.transfer("sales", None, None)
        call.hears_last_words()
        await comes_to(subject, State.IDLE)
        assert outcome(call)[0] is TransferOutcome.FAILED
        assert outcome(call)[1]
        assert audited(caplog) == [(logging.WARNING, f"call {CALL}: transfer failed: 600@queues")]


async def test_a_transfer_that_the_caller_interrupts_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "audiosocket_gw.audit")
    async with controlled() as (_, call, subject):
        await subject.transfer("sales", None, None)
        call.cuts_in()
        await comes_to(subject, State.IDLE)
        assert outcome(call) == (TransferOutcome.GIVEN_UP, "the caller interrupted")
        assert audited(caplog) == [(logging.INFO, f"call {CALL}: transfer given up: 600@queues")]


async def test_a_transfer_that_the_end_of_the_call_prevents_is_given_up() -> None:
    async with controlled() as (_, call, subject):
        await subject.transfer("sales", None, None)
        await asyncio.sleep(0)
    assert outcome(call)[0] is TransferOutcome.GIVEN_UP
    assert len(told(call)) == 2
