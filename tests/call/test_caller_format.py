"""What the log says of audio under a wrong label: what to change, and later each change of the format."""

from __future__ import annotations

import logging
from uuid import uuid4

import pytest

from audiosocket_gw.ami.call_control import CallerData
from audiosocket_gw.ami.registry import Channel
from audiosocket_gw.audio import linear_to_alaw, linear_to_ulaw
from audiosocket_gw.call.caller_audio import CallerAudio
from audiosocket_gw.call.caller_format import CallerFormatReport
from audiosocket_gw.call.outputs import CallerFormatChanged
from audiosocket_gw.events import CallerUndecodable, CallEvent
from audiosocket_gw.log.handler import LogHandler
from tests.audio.g722 import linear_to_g722, wideband
from tests.audio.signals import speech
from tests.call.driver import CALL, connected

CHANNEL = Channel("PJSIP/1001-00000007", "1.1", "1.1", "01711234567", "Alice", "5012", "phones", "5012")


class ReportedCall:
    """A call whose format is reported as `Call` does it. ``driver`` is its conversation."""

    def __init__(self, *, caller_is_known: bool = True) -> None:
        self.driver = connected()
        self.events: list[CallEvent] = []
        audio = self.driver.conversation.caller_audio
        self.report = CallerFormatReport(CALL, audio, None, self.events.append, lambda: 7.0)
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
    assert call.events == [], "it is decoded"


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
    assert call.events == [CallerUndecodable(CALL, 7.0, "g722")]


def test_a_caller_that_cant_be_decoded_is_an_event_once(caplog: pytest.LogCaptureFixture) -> None:
    """G.722 that no one has named: its codec is unknown. Later the caller has A-law, and G.722 again."""
    call = ReportedCall()
    foreign = linear_to_g722(wideband(speech("opening-hours")))
    for audio in (foreign, linear_to_alaw(SAID) * 2, foreign * 2):
        call.speak(audio, 160)
        call.driver.run(0.4)
    assert call.events == [CallerUndecodable(CALL, 7.0, "")]
    first, *_ = warnings(caplog)
    assert "codec (not G.711)" in first


def test_no_call_hides_the_warning_of_another(capfd: pytest.CaptureFixture[str]) -> None:
    """After a change of the dialplan all calls have the fault, within seconds."""
    handler = LogHandler(2, clock=lambda: 0.0)
    logger = logging.getLogger("audiosocket_gw.call")
    logger.addHandler(handler)
    uuids = [uuid4() for _ in range(300)]
    try:
        for uuid in uuids:
            audio = CallerAudio()
            report = CallerFormatReport(uuid, audio, None, lambda _: None, lambda: 0.0)
            report.set_caller(CallerData(CHANNEL, {}, None, "g722"))
    finally:
        logger.removeHandler(handler)
        assert handler.stop()
    lines = [line for line in capfd.readouterr().err.splitlines() if "the agent gets silence" in line]
    assert [str(uuid) in line for uuid, line in zip(uuids, lines, strict=True)] == [True] * 300


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
