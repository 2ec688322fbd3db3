"""What the log says of audio under a wrong label: what to change, and later each change of the format."""

from __future__ import annotations

import logging

import pytest

from audiosocket_gw.ami.call_control import CallerData
from audiosocket_gw.ami.registry import Channel
from audiosocket_gw.audio import linear_to_alaw, linear_to_ulaw
from audiosocket_gw.call.caller_format import CallerFormatReport
from audiosocket_gw.call.outputs import CallerFormatChanged
from tests.audio.g722 import wideband
from tests.audio.signals import speech
from tests.call.driver import CALL, connected

CHANNEL = Channel("PJSIP/1001-00000007", "1.1", "1.1", "01711234567", "Alice", "5012", "phones", "5012")


class ReportedCall:
    """A call whose format is reported as `Call` does it. ``driver`` is its conversation."""

    def __init__(self, *, caller_is_known: bool = True) -> None:
        self.driver = connected()
        self.report = CallerFormatReport(CALL, self.driver.conversation.caller_audio, None)
        if caller_is_known:
            self.report.set_caller(None)

    def speak(self, audio: bytes, size: int, frame_ms: float = 20) -> None:
        reported = len(self.driver.of(CallerFormatChanged))
        for start in range(0, len(audio) - size + 1, size):
            self.driver.caller_says(audio[start : start + size])
            if len(self.driver.of(CallerFormatChanged)) > reported:
                reported += 1
                self.report.report()
            self.driver.pass_ms(frame_ms)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


SAID = speech("opening-hours").tobytes()


def test_a_codec_that_is_passed_through_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    call = ReportedCall()
    call.speak(linear_to_ulaw(SAID) * 2, 160)
    (warning,) = warnings(caplog)
    assert warning.startswith(f"call {CALL}: Asterisk sends the telephone's codec (ulaw_8000)")
    assert "c(slin)" in warning


def test_the_warning_waits_for_what_asterisk_says_of_the_call(caplog: pytest.LogCaptureFixture) -> None:
    call = ReportedCall(caller_is_known=False)
    call.speak(linear_to_ulaw(SAID), 160)
    assert warnings(caplog) == []
    call.report.set_caller(CallerData(CHANNEL, {}, None, "ulaw"))
    (warning,) = warnings(caplog)
    assert "codec (ulaw)" in warning


def test_what_asterisk_says_is_reported_before_any_audio(caplog: pytest.LogCaptureFixture) -> None:
    call = ReportedCall(caller_is_known=False)
    call.report.set_caller(CallerData(CHANNEL, {}, None, "g722"))
    (warning,) = warnings(caplog)
    assert "codec (g722)" in warning
    assert "the agent gets silence" in warning


def test_16_khz_under_the_label_of_8_khz(caplog: pytest.LogCaptureFixture) -> None:
    call = ReportedCall()
    call.speak(wideband(speech("opening-hours")).tobytes(), 640)
    (warning,) = warnings(caplog)
    assert "16000 Hz labelled as 8000 Hz" in warning
    assert "20.17, 21.12, 22.7 and 23.1" in warning


def test_packets_of_40_ms_are_8_khz(caplog: pytest.LogCaptureFixture) -> None:
    ReportedCall().speak(SAID, 640, 40)
    assert warnings(caplog) == []


def test_a_codec_that_changes_is_one_line_more(caplog: pytest.LogCaptureFixture) -> None:
    """A-law at first; then, after a re-INVITE, linear audio, whose frames have another size."""
    call = ReportedCall()
    call.speak(linear_to_alaw(SAID), 160)
    call.driver.run(0.4)
    call.speak(SAID, 320)
    advice, change = warnings(caplog)
    assert "alaw_8000" in advice
    assert "is pcm_8000 now, not alaw_8000" in change
