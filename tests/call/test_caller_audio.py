"""What Asterisk sends: frames that need no look, and those that can't be decoded."""

from __future__ import annotations

from audiosocket_gw.call.caller_audio import NOT_SETTLED, CallerAudio
from audiosocket_gw.protocol.audiosocket import Audio, Kind


def test_frames_that_need_no_look_are_known_by_their_length() -> None:
    caller = CallerAudio()
    linear, longer = Audio(Kind.SLIN, bytes(320)), Audio(Kind.SLIN, bytes(640))
    caller.look_at(linear)
    assert caller.settled_bytes == NOT_SETTLED, "who knows what that is?"
    caller.set_codec("slin")
    assert caller.settled_bytes == NOT_SETTLED
    caller.look_at(linear)
    assert (caller.kind, caller.settled_bytes) == (Kind.SLIN, 320)
    caller.look_at(longer)
    assert caller.settled_bytes == 640
    caller.look_at(Audio(Kind.SLIN, bytes(321)))
    assert caller.settled_bytes == NOT_SETTLED, "half a sample must be cut off each time"
    caller.look_at(Audio(Kind.SLIN16, bytes(640)))
    assert (caller.kind, caller.settled_bytes) == (Kind.SLIN16, 640)
    caller.look_at(linear)
    caller.look_again()
    assert caller.settled_bytes == NOT_SETTLED, "it may be another codec now"


def test_frames_that_no_one_can_decode_are_never_settled() -> None:
    caller = CallerAudio()
    caller.set_codec("g722")
    caller.look_at(Audio(Kind.SLIN, bytes(160)))
    assert caller.settled_bytes == NOT_SETTLED
