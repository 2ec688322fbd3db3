"""What a reload takes over, and what needs a restart."""

from __future__ import annotations

from audiosocket_gw.settings import Settings
from audiosocket_gw.settings.changes import RELOADED, Changes, reloaded


def test_every_name_is_a_setting() -> None:
    assert set(Settings.model_fields) >= RELOADED


def test_changes_are_told_apart() -> None:
    before = Settings(max_calls=5, transfer_extensions="6[0-9]{2}", ami_password="a")
    after = Settings(max_calls=7, transfer_extensions="7[0-9]{2}", ami_password="b", tool_timeout=3)
    changes = Changes.between(before, after)
    assert changes.reloaded == ("TRANSFER_EXTENSIONS", "TOOL_TIMEOUT")
    assert changes.restart == ("MAX_CALLS", "AMI_PASSWORD")
    used = reloaded(before, after)
    assert (used.max_calls, used.tool_timeout) == (5, 3)
    assert Changes.between(used, after) == Changes((), ("MAX_CALLS", "AMI_PASSWORD")), "until a restart"


def test_the_same_text_is_no_change() -> None:
    settings = [Settings(transfer_extensions="6[0-9]{2}", dtmf_actions="0=hangup") for _ in range(2)]
    assert Changes.between(*settings) == Changes((), ())
