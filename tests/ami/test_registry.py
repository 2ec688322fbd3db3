"""Which channel has the call: by what Asterisk sent on real calls, and by events in any order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.ami.registry import (
    Channel,
    ChannelRegistry,
    Headers,
    may_be_useful,
    uuids_named_by,
)
from tests.ami.recorded import CALL, recording

CALLER = {
    "app": "Local/app@probe-00000000;2",
    "try": "Local/try@probe-00000001;2",
    "dial": "Local/dial@probe-00000002;2",
    "localapp": "Local/app@probe-00000006;2",
}


def newexten(uuid: UUID, channel: str = "PJSIP/1-1", uniqueid: str = "1.1", **more: str) -> Headers:
    return {
        "Event": "Newexten",
        "Channel": channel,
        "Uniqueid": uniqueid,
        "Application": "AudioSocket",
        "AppData": f"{uuid},127.0.0.1:5001",
        **more,
    }


def name_of(registry: ChannelRegistry, uuid: UUID) -> str | None:
    channel = registry.channel_of(uuid)
    return channel.name if channel else None


def known_calls(registry: ChannelRegistry, uuids: Iterable[UUID]) -> list[UUID]:
    return [uuid for uuid in uuids if registry.channel_of(uuid) is not None]


@pytest.mark.parametrize("name", CALLER)
def test_events_tell_the_callers_channel(name: str) -> None:
    registry = ChannelRegistry()
    for event in recording(name).events:
        registry.apply(event)
    assert name_of(registry, CALL) == CALLER[name]


@pytest.mark.parametrize("name", CALLER)
def test_list_tells_the_callers_channel(name: str) -> None:
    registry = ChannelRegistry()
    registry.add(recording(name).listed)
    assert name_of(registry, CALL) == CALLER[name]


@pytest.mark.parametrize("name", CALLER)
def test_redirect_changes_nothing_and_hang_up_ends_it(name: str) -> None:
    registry = ChannelRegistry()
    for event in recording(name).events:
        registry.apply(event)
    known = registry.channel_of(CALL)
    afterwards = recording(name).afterwards
    for event in afterwards:
        if event["Event"] == "Newexten":
            registry.apply(event)
    assert registry.channel_of(CALL) == known
    for event in afterwards:
        registry.apply(event)
    assert registry.channel_of(CALL) is None


def test_redirect_of_a_dialling_channel_repeats_what_it_dialled() -> None:
    """The event that must not be taken for a new call is really in the recording."""
    stale = recording("dial").afterwards[0]
    assert (stale["Exten"], stale["Application"]) == ("target", "Dial")
    assert uuids_named_by(stale["Application"], stale["AppData"]) == (CALL,)


def test_local_channel_that_was_optimised_out_is_replaced_by_the_list() -> None:
    local = recording("local")
    registry = ChannelRegistry()
    for event in local.events:
        registry.apply(event)
    assert name_of(registry, CALL) == "Local/dial@probe-00000004;2"
    registry.add(local.listed)
    assert name_of(registry, CALL) == "Local/local@probe-00000003;2"


@pytest.mark.parametrize(
    ("application", "data", "found"),
    [
        ("AudioSocket", f"{CALL},host:5001", True),
        ("AudioSocket", f" {str(CALL).upper()} ,host:5001", True),
        ("TryExec", f"AudioSocket({CALL},host:5001)", True),
        ("Exec", f"audiosocket({CALL},host:5001)", True),
        ("ExecIf", f"1?AudioSocket({CALL},host:5001):Hangup()", True),
        ("TryExec", f"Dial(AudioSocket/host:5001/{CALL}/c(slin16))", True),
        ("Dial", f"AudioSocket/host:5001/{CALL}", True),
        ("Dial", f"PJSIP/100&AudioSocket/[::1]:5001/{CALL}/c(slin),30,g", True),
        ("NoOp", f"AudioSocket({CALL},host:5001)", False),
        ("Set", f"X=AudioSocket/host:5001/{CALL}", False),
        ("Dial", f"PJSIP/{CALL}", False),
        ("Dial", f"PJSIP/100,30,b(x^s^1(AudioSocket({CALL},host:5001)))", False),
        ("Dial", f"PJSIP/100,30,U(x^AudioSocket/host:5001/{CALL})", False),
        ("AudioSocket", "not-a-uuid,host:5001", False),
        ("AudioSocket", "", False),
    ],
)
def test_what_names_a_call(application: str, data: str, found: bool) -> None:
    assert uuids_named_by(application, data) == ((CALL,) if found else ())


def test_dial_to_two_gateways_names_both() -> None:
    first, second = uuid4(), uuid4()
    assert uuids_named_by("Dial", f"AudioSocket/a:1/{first}&AudioSocket/b:2/{second}/c(slin),9") == (
        first,
        second,
    )


def test_caller_data_comes_from_the_event() -> None:
    registry = ChannelRegistry()
    caller = {
        "CallerIDNum": "100",
        "CallerIDName": "<unknown>",
        "Linkedid": "1.0",
        "Context": "in",
        "Exten": "5001",
    }
    registry.apply(newexten(CALL, **caller))
    assert registry.channel_of(CALL) == Channel("PJSIP/1-1", "1.1", "1.0", "100", "", "5001", "in", "5001")


def test_second_call_of_a_channel_replaces_its_first() -> None:
    registry, second = ChannelRegistry(), uuid4()
    registry.apply(newexten(CALL))
    registry.apply(newexten(second))
    assert registry.channel_of(CALL) is None
    assert name_of(registry, second) == "PJSIP/1-1"


def test_uuid_that_is_used_again_belongs_to_the_new_channel() -> None:
    registry = ChannelRegistry()
    registry.apply(newexten(CALL))
    registry.apply(newexten(CALL, "PJSIP/2-2", "2.2"))
    registry.apply({"Event": "Hangup", "Channel": "PJSIP/1-1", "Uniqueid": "1.1"})
    assert name_of(registry, CALL) == "PJSIP/2-2"


def test_rename_is_followed() -> None:
    registry = ChannelRegistry()
    registry.apply(newexten(CALL))
    before = registry.channel_of(CALL)
    assert before is not None
    renamed = {"Event": "Rename", "Channel": "PJSIP/1-1", "Newname": "PJSIP/1-1<MASQ>", "Uniqueid": "1.1"}
    assert registry.apply(renamed)
    assert registry.channel_of(CALL) == replace(before, name="PJSIP/1-1<MASQ>")


def test_others_cannot_make_it_grow_without_limit() -> None:
    registry = ChannelRegistry(max_calls=10)
    others = [uuid4() for _ in range(1_000)]
    for number, uuid in enumerate(others):
        registry.apply(newexten(uuid, uniqueid=f"9.{number}"))
    registry.apply(newexten(CALL))
    assert known_calls(registry, [*others, CALL]) == [*others[-9:], CALL]


def test_call_that_is_over_is_forgotten() -> None:
    registry = ChannelRegistry()
    registry.apply(newexten(CALL))
    registry.forget(CALL)
    registry.forget(CALL)
    assert registry.channel_of(CALL) is None


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"Event": "Newexten"},
        {"Event": "Hangup"},
        {"Event": "Rename", "Uniqueid": "1.1"},
        {"Event": "VarSet", "Variable": "AUDIOSOCKET_UUID", "Value": str(CALL)},
        newexten(CALL, uniqueid=""),
    ],
)
def test_event_that_says_nothing_is_of_no_use(event: Headers) -> None:
    registry = ChannelRegistry()
    assert not registry.apply(event)
    assert registry.channel_of(CALL) is None


CALLS = [UUID(int=number) for number in range(1, 5)]
UNIQUEIDS = ["1.1", "1.2", "1.3"]

events = st.one_of(
    st.builds(
        newexten,
        st.sampled_from(CALLS),
        st.sampled_from(["PJSIP/1", "Local/2;2"]),
        st.sampled_from(UNIQUEIDS),
    ),
    st.fixed_dictionaries(
        {"Event": st.sampled_from(["Rename", "Hangup"]), "Uniqueid": st.sampled_from(UNIQUEIDS)},
        optional={"Newname": st.sampled_from(["PJSIP/1<MASQ>", "PJSIP/1<ZOMBIE>"])},
    ),
    st.dictionaries(
        st.sampled_from(
            ["Event", "Channel", "Uniqueid", "Application", "AppData", "BridgeId", "ApplicationData"]
        ),
        st.one_of(st.text(max_size=20), st.sampled_from(["Newexten", "Dial", "AudioSocket", str(CALLS[0])])),
    ),
)


@given(st.lists(events))
def test_any_order_of_events_and_hang_up_empties_it(history: list[Headers]) -> None:
    registry = ChannelRegistry(max_calls=3)
    for event in history:
        registry.apply(event)
        assert len(known_calls(registry, CALLS)) <= 3
    uniqueids = {*UNIQUEIDS, *(event.get("Uniqueid", "") for event in history)}
    for uniqueid in uniqueids:
        registry.apply({"Event": "Hangup", "Uniqueid": uniqueid})
    assert not known_calls(registry, CALLS)


@given(st.lists(events), st.lists(events))
def test_any_list_can_be_learnt(history: list[Headers], rows: list[Headers]) -> None:
    registry = ChannelRegistry(max_calls=3)
    for event in history:
        registry.apply(event)
    registry.add(rows)
    assert len(known_calls(registry, CALLS)) <= 3
    registry.clear()
    assert not known_calls(registry, CALLS)


# Events by their bytes


@given(
    st.fixed_dictionaries(
        {"Event": st.sampled_from(["Newexten", "Rename", "Hangup", "NewExten", "Newstate", "x"])},
        optional={
            "Application": st.sampled_from(["AudioSocket", "Dial", "TryExec", "NoOp"]),
            "AppData": st.sampled_from([f"{CALL},h", f"AudioSocket({CALL},h)", f"AudioSocket/h/{CALL}", ""]),
            "Newname": st.just("PJSIP/2-2"),
        },
    )
)
def test_no_useful_event_is_discarded_by_its_bytes(event: Headers) -> None:
    registry = ChannelRegistry()
    registry.apply(newexten(CALL))
    wire = "\r\n".join(f"{name}: {value}" for name, value in event.items()).encode()
    assert may_be_useful(wire) or not registry.apply({"Uniqueid": "1.1", **event})


@pytest.mark.parametrize(
    "event", [b"Event: VarSet\r\nVariable: x", b"Event: Newexten\r\nApplication: NoOp", b"Event: x"]
)
def test_events_of_other_calls_are_discarded_by_their_bytes(event: bytes) -> None:
    assert not may_be_useful(event)
