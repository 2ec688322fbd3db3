"""Listening in on a call: complete, in order, and never to its harm."""

from __future__ import annotations

from typing import NoReturn
from uuid import uuid4

import pytest

from audiosocket_gw import events
from audiosocket_gw.audio import ULAW_8000, AudioFormat
from audiosocket_gw.events import CallEvent, CallStarted
from audiosocket_gw.protocol.audiosocket import Audio, Kind
from audiosocket_gw.tap import Tap, Taps

STARTED = CallStarted(uuid4(), 0.0, "192.0.2.1:1")


class Notes(Tap):
    """Writes down whatever it is told."""

    def __init__(self, started: CallStarted) -> None:
        self.notes: list[object] = []

    def on_frame_sent(self, frame: bytes) -> None:
        self.notes.append(frame)

    def on_frame_received(self, frame: Audio) -> None:
        self.notes.append(frame)

    def on_caller_format(self, audio_format: AudioFormat | None) -> None:
        self.notes.append(audio_format)

    def on_agent_message(self, message: bytes) -> None:
        self.notes.append(message)

    def on_client_message(self, message: bytes) -> None:
        self.notes.append(message)

    def on_event(self, event: CallEvent) -> None:
        self.notes.append(event)


class Broken(Tap):
    def on_frame_received(self, frame: Audio) -> None:
        raise OSError("no space left on device")


def tell_all(tap: Tap) -> list[object]:
    frame = Audio(Kind.SLIN, b"\1\2")
    event = events.Interrupted(STARTED.uuid, 1.0, 20)
    tap.on_frame_sent(b"frame")
    tap.on_frame_received(frame)
    tap.on_caller_format(ULAW_8000)
    tap.on_agent_message(b"from the agent")
    tap.on_client_message(b"to the agent")
    tap.on_event(event)
    return [b"frame", frame, ULAW_8000, b"from the agent", b"to the agent", event]


def test_each_tap_is_told_everything_in_order() -> None:
    opened: list[Notes] = []

    def opener(started: CallStarted) -> Notes:
        assert started is STARTED
        opened.append(Notes(started))
        return opened[-1]

    told = tell_all(Taps([opener, opener], STARTED))
    assert [tap.notes for tap in opened] == [told, told]


def test_a_tap_that_is_interested_in_nothing_hears_everything() -> None:
    assert tell_all(Taps([lambda _: Tap()], STARTED))


def test_a_tap_that_fails_is_taken_off_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    notes = Notes(STARTED)
    taps = Taps([lambda _: Broken(), lambda _: notes], STARTED)
    assert notes.notes == tell_all(taps)
    tell_all(taps)
    assert len(caplog.records) == 1
    assert str(STARTED.uuid) in caplog.text


def test_a_tap_that_can_not_begin_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(started: CallStarted) -> NoReturn:
        raise OSError("read-only file system")

    notes = Notes(STARTED)
    assert notes.notes == tell_all(Taps([refuse, lambda _: notes], STARTED))
    assert "read-only file system" in caplog.text
