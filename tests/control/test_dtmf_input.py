"""The caller's digits on a fake call: numbers for the agent, keys that act, and the end of the call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from audiosocket_gw.control.dtmf_input import DtmfInput
from audiosocket_gw.control.handover import Handover
from audiosocket_gw.control.key_actions import KeyAction
from audiosocket_gw.control.settings import ControlSettings
from audiosocket_gw.control.transfer_policy import TransferPolicy
from audiosocket_gw.end_reasons import EndReason
from tests.control.fake_call import FakeCall, call_tasks

POLICY = TransferPolicy({}, None, ("queues",))
SETTINGS = ControlSettings(POLICY, dtmf_actions={"*": KeyAction("hangup")}, dtmf_timeout=2.0)


@asynccontextmanager
async def dtmf() -> AsyncIterator[tuple[FakeCall, DtmfInput]]:
    async with call_tasks() as tasks:
        call = FakeCall()
        yield call, DtmfInput(call, Handover(call, POLICY, None, None, tasks), SETTINGS, tasks)


async def test_hash_ends_a_number_at_once() -> None:
    async with dtmf() as (call, subject):
        for digit in "4711#":
            subject.receive(digit)
        (note,) = call.sent
        assert b"the keys: 4 7 1 1)" in note


@pytest.mark.virtual_time
async def test_pause_ends_a_number_and_each_key_prolongs_it() -> None:
    async with dtmf() as (call, subject):
        subject.receive("1")
        await asyncio.sleep(1.5)
        subject.receive("2")
        await asyncio.sleep(1.5)
        assert not call.sent
        await asyncio.sleep(1)
        (note,) = call.sent
        assert b"the keys: 1 2)" in note


async def test_key_that_acts_is_in_no_number() -> None:
    async with dtmf() as (call, subject):
        subject.receive("1")
        subject.receive("*")
        call.hears_last_words()
        assert await call.ended is EndReason.AGENT_HANGUP
        assert call.done == ["silence", "refuse"]
        assert not call.sent


@pytest.mark.virtual_time
async def test_nothing_follows_the_end_of_the_call() -> None:
    async with dtmf() as (call, subject):
        subject.receive("1")
        subject.close()
        for digit in "2#*":
            subject.receive(digit)
        await asyncio.sleep(10)
        assert not call.sent
        assert not call.done
