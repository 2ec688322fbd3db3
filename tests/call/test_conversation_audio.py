"""The audio of both sides on its way through a conversation: formats, pre-roll, batches, odd frames."""

from __future__ import annotations

import numpy as np
import pytest

from audiosocket_gw import events
from audiosocket_gw.audio import linear_to_alaw, linear_to_ulaw, ulaw_to_linear
from audiosocket_gw.call.audio_to_agent import PIECE_FRAMES
from audiosocket_gw.call.lifecycle import State
from audiosocket_gw.call.limits import MAX_AHEAD_FRAMES, STALL_TICKS
from audiosocket_gw.call.outputs import CallerFormatChanged
from audiosocket_gw.elevenlabs import messages
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.protocol.audiosocket import SAMPLE_RATES, Audio, Kind
from tests.audio.g722 import wideband
from tests.audio.signals import speech, tone
from tests.call.driver import Driver, connected
from tests.harness.audio import SILENCE, ramp, without_silence

SPEECH = ramp(1_000)


def pitch(audio: bytes, rate: int) -> float:
    """Return the strongest frequency, in Hz."""
    samples = np.trim_zeros(np.frombuffer(audio, "<i2"))
    return float(np.argmax(np.abs(np.fft.rfft(samples, rate))))


# From the agent to the caller


def test_the_caller_hears_silence_before_the_agent_is_there() -> None:
    driver = Driver()
    driver.tick(10)
    assert [frame.payload for frame in driver.frames] == [SILENCE] * 10
    assert driver.is_in(State.CONNECTING)


@pytest.mark.parametrize("size", [1, 2, 319, 320, 321, 1021, 16_001])
def test_what_the_agent_says_arrives_sample_for_sample(size: int) -> None:
    driver = connected()
    for start in range(0, len(SPEECH), size):
        driver.agent_says(SPEECH[start : start + size])
    driver.run(1.1)
    assert SPEECH in driver.heard
    (finished,) = driver.of(events.ReplyFinished)
    assert finished.heard_ms == 1_000


@pytest.mark.parametrize("size", [1, 321])
def test_what_arrives_just_in_time_is_filled_up_with_silence(size: int) -> None:
    driver = connected()
    for number in range(10):
        driver.agent_says(SPEECH[number * size : (number + 1) * size])
        driver.tick()
    driver.run(1)
    assert without_silence(driver.heard) == SPEECH[: 10 * size]


def test_an_empty_piece_of_audio_changes_nothing() -> None:
    driver = connected()
    driver.agent_says(b"")
    driver.tick()
    assert not driver.of(events.ReplyStarted)
    driver.agent_says(ramp(40))
    driver.tick(3)
    assert ramp(40) in driver.heard


# From the caller to the agent


def test_what_the_caller_says_arrives_sample_for_sample() -> None:
    driver = connected()
    driver.caller_speaks(SPEECH)
    assert driver.agent_heard == SPEECH


def test_what_the_caller_says_before_the_agent_is_there_is_kept_in_pieces() -> None:
    driver = Driver()
    for start in range(0, len(SPEECH), 320):
        driver.caller_says(SPEECH[start : start + 320])
    assert driver.to_agent == []
    driver.connect()
    assert driver.agent_heard == SPEECH
    assert {len(piece) for piece in driver.to_agent[:-1]} == {PIECE_FRAMES * 320}


def test_only_the_last_ten_seconds_are_kept() -> None:
    driver = Driver()
    for number in range(600):
        driver.caller_says(number.to_bytes(2, "little") * 160)
        driver.tick()
    driver.connect()
    kept = np.frombuffer(driver.agent_heard, "<u2")[::160]
    assert kept.tolist() == list(range(100, 600))


def test_nothing_is_kept_for_an_agent_that_has_gone() -> None:
    driver = connected(batch_frames=3)
    driver.conversation.lifecycle.await_last_words(driver.now)
    driver.caller_says(SPEECH[:320])
    driver.agent_gone()
    driver.caller_speaks(SPEECH)
    assert list(driver.conversation.audio_to_agent.open()) == []
    assert driver.to_agent == []


def test_silence_is_filled_in_for_a_caller_who_sends_nothing() -> None:
    driver = connected()
    driver.run(2)
    assert driver.to_agent == [SILENCE] * (100 - 10)


@pytest.mark.parametrize("frames", [2, 3, 5])
def test_what_the_caller_says_is_batched(frames: int) -> None:
    driver = connected(batch_frames=frames)
    driver.caller_speaks(SPEECH)
    driver.tick(frames)
    assert driver.agent_heard == SPEECH
    assert {len(piece) for piece in driver.to_agent[1:-1]} == {frames * 320}
    spoken = len(driver.to_agent)
    driver.run(1)  # silence is filled in, in batches, too
    assert {len(piece) for piece in driver.to_agent[spoken + 1 :]} == {frames * 320}


def test_a_batch_that_has_begun_is_sent_when_there_are_no_more_of_them() -> None:
    driver = connected(batch_frames=5)
    driver.caller_speaks(SPEECH[: 18 * 320])
    assert driver.agent_heard != SPEECH[: 18 * 320]
    driver.batch_frames = 1
    driver.caller_speaks(SPEECH[18 * 320 :])
    assert driver.agent_heard == SPEECH
    assert {len(piece) for piece in driver.to_agent[-20:]} == {320}


def test_batches_begin_with_the_load() -> None:
    driver = connected()
    driver.caller_speaks(SPEECH[: 18 * 320])
    driver.batch_frames = 5
    driver.caller_speaks(SPEECH[18 * 320 :])
    driver.tick(5)
    assert driver.agent_heard == SPEECH
    assert {len(piece) for piece in driver.to_agent[-4:-1]} == {5 * 320}


# Formats


def test_mu_law_agents_are_understood_in_both_directions() -> None:
    driver = Driver()
    driver.connect("ulaw_8000", "ulaw_8000")
    driver.caller_says(SPEECH[:320])
    assert driver.to_agent == [linear_to_ulaw(SPEECH[:320])]
    driver.agent_says(linear_to_ulaw(SPEECH))
    driver.run(1.1)
    assert ulaw_to_linear(linear_to_ulaw(SPEECH)) in driver.heard
    assert driver.to_agent[-1] == linear_to_ulaw(SILENCE), "silence is filled in, in mu-law"


def test_audio_that_follows_the_metadata_at_once_is_understood() -> None:
    """It may come in the same segment, before the owner knows that the agent is there."""
    driver = Driver()
    driver.receive(messages.Metadata("conv_1", "ulaw_8000", "ulaw_8000"))
    driver.agent_says(linear_to_ulaw(ramp(100)))
    driver.agent_ready()
    driver.tick(6)
    assert ulaw_to_linear(linear_to_ulaw(ramp(100))) in driver.heard


def test_a_format_that_is_not_known_ends_the_call_with_its_name() -> None:
    driver = Driver()
    driver.receive(messages.Metadata("conv_1", "opus_48000", "pcm_8000"))
    assert driver.ending is not None
    assert driver.ending.reason is EndReason.AGENT_FORMAT
    assert "opus_48000" in driver.ending.detail
    assert driver.is_drained


@pytest.mark.parametrize("name", ["pcm_16000", "pcm_24000", "pcm_44100"])
def test_agents_at_other_rates_are_understood_in_both_directions(name: str) -> None:
    rate = int(name.removeprefix("pcm_"))
    driver = Driver()
    driver.connect(name, name)
    driver.agent_says(tone(440, rate, peak=8_000, s=0.5).tobytes())
    driver.caller_speaks(tone(440, 8_000, peak=8_000, s=0.5).tobytes())
    driver.tick(2)
    (finished,) = driver.of(events.ReplyFinished)
    assert finished.heard_ms == 500
    assert pitch(driver.heard, 8_000) == pytest.approx(440, abs=5)
    assert pitch(driver.agent_heard, rate) == pytest.approx(440, abs=5)


def test_wideband_passes_untouched() -> None:
    driver = Driver()
    driver.connect("pcm_16000", "pcm_16000")
    driver.caller_speaks(SPEECH, Kind.SLIN16)
    assert driver.agent_heard == SPEECH
    driver.agent_says(SPEECH)
    driver.run(0.6)
    assert {frame.kind for frame in driver.frames[-30:]} == {Kind.SLIN16}
    assert SPEECH in driver.heard


def test_another_rate_of_the_callers_is_reported_once() -> None:
    driver = connected()
    for _ in range(20):
        driver.caller_says(bytes(640), Kind.SLIN16)
        driver.tick()
    assert len(driver.of(CallerFormatChanged)) == 1
    assert str(driver.conversation.caller_audio.heard_format) == "pcm_16000"
    assert driver.frames[-1].kind is Kind.SLIN16


@pytest.mark.parametrize("kind", [Kind.SLIN16, Kind.SLIN44, Kind.SLIN48])
def test_nothing_of_a_reply_is_lost_when_the_callers_rate_changes_in_it(kind: Kind) -> None:
    driver = Driver()
    driver.connect("pcm_24000")
    driver.agent_says(np.full(24_000 * 2, 5_000, "<i2").tobytes())
    driver.run(0.5)
    driver.caller_says(bytes(SAMPLE_RATES[kind] // 25), kind)
    driver.run(1.6)
    (finished,) = driver.of(events.ReplyFinished)
    assert finished.heard_ms == 2_000


def test_new_formats_in_the_middle_of_a_reply_lose_nothing_of_it() -> None:
    driver = Driver()
    driver.connect("pcm_24000")
    driver.agent_says(np.full(24_000, 5_000, "<i2").tobytes())
    driver.receive(messages.Metadata("conv_1", "pcm_8000", "pcm_8000"))
    driver.agent_says(np.full(8_000, 5_000, "<i2").tobytes())
    driver.run(2.1)
    (finished,) = driver.of(events.ReplyFinished)
    assert finished.heard_ms == 2_000


def test_a_codec_under_the_label_of_linear_audio_is_decoded_and_linear_audio_goes_back() -> None:
    said = linear_to_ulaw(tone(440, 8_000, peak=8_000, s=0.4).tobytes())
    reply = ulaw_to_linear(linear_to_ulaw(tone(440, 8_000, peak=8_000, s=0.2).tobytes()))
    driver = connected()
    for start in range(0, len(said), 160):
        driver.caller_says(said[start : start + 160])
        driver.tick()
    assert driver.agent_heard == ulaw_to_linear(said)
    driver.agent_says(reply)
    driver.run(0.3)
    assert reply in driver.heard


def test_16_khz_under_the_label_of_8_khz_is_heard_at_its_rate() -> None:
    """What Asterisk does with c(slin16) before 20.17, 21.12, 22.7 and 23.1."""
    driver = Driver()
    driver.connect("pcm_16000", "pcm_16000")
    said = wideband(speech("opening-hours")).tobytes()
    for start in range(0, len(said) - 639, 640):
        driver.caller_says(said[start : start + 640])
        driver.tick()
    assert said[48_000 : len(said) // 640 * 640] in driver.agent_heard
    frames = {(frame.kind, len(frame.payload)) for frame in driver.frames}
    assert frames == {(Kind.SLIN, 320)}, "the answer has the kind that came, which such an Asterisk takes"


def test_packets_of_40_ms_are_8_khz() -> None:
    driver = connected()
    said = speech("opening-hours").tobytes()
    driver.caller_speaks(said, packet_ms=40)
    assert driver.agent_heard == said[: len(said) // 640 * 640]
    assert str(driver.conversation.caller_audio.heard_format) == "pcm_8000"


def test_a_codec_may_change_during_the_call() -> None:
    """A-law at first; then, after a re-INVITE, linear audio, whose frames have another size."""
    driver = connected()
    said = speech("opening-hours").tobytes()
    encoded = linear_to_alaw(said)
    for start in range(0, len(encoded) - 159, 160):
        driver.caller_says(encoded[start : start + 160])
        driver.tick()
    assert str(driver.conversation.caller_audio.heard_format) == "alaw_8000"
    driver.run(0.4)
    driver.caller_speaks(said)
    assert str(driver.conversation.caller_audio.heard_format) == "pcm_8000"
    assert said[640 : len(said) // 320 * 320] in driver.agent_heard


# Frames that a real Asterisk sends


@pytest.mark.parametrize("speed", [1.0, 1.02, 1.9])
@pytest.mark.parametrize("kind", [Kind.SLIN, Kind.SLIN16, Kind.SLIN48])
@pytest.mark.parametrize("frame_ms", [2.5, 5, 10, 20, 30, 40, 60, 100, 120])
def test_packets_of_any_length_are_heard_for_minutes(kind: Kind, frame_ms: float, speed: float) -> None:
    frame = bytes(round(SAMPLE_RATES[kind] * frame_ms / 1000) * 2)
    driver = Driver()
    for _ in range(round(60_000 / frame_ms)):
        driver.caller_says(frame, kind)
        driver.pass_ms(frame_ms / speed)
    assert driver.is_in(State.CONNECTING)


@pytest.mark.parametrize("frame_ms", [2.5, 5, 10, 20, 40, 120])
def test_packets_of_any_length_may_not_come_faster_than_real_time(frame_ms: float) -> None:
    frame = bytes(round(8 * frame_ms) * 2)
    driver = Driver(measures_rate=False)
    sent_ms = 0.0
    while driver.ending is None:
        driver.caller_says(frame)
        sent_ms += frame_ms
        driver.pass_ms(frame_ms / 8)
        assert sent_ms < 180_000
    assert driver.ending.reason is EndReason.CALLER_PROTOCOL
    assert "real time" in driver.ending.detail


def test_another_rate_counts_as_three_seconds() -> None:
    """Asterisk changes it once or twice; a peer whose frames alternate is no telephone."""
    driver = connected()
    kinds = [Kind.SLIN16, Kind.SLIN] * 20
    sent = 0
    while driver.ending is None:
        driver.caller_says(bytes(320), kinds[sent])
        sent += 1
    assert driver.ending.reason is EndReason.CALLER_PROTOCOL
    assert "changes of the rate" in driver.ending.detail
    assert sent == 11
    assert len(driver.of(CallerFormatChanged)) == 10


def test_the_rate_may_change_now_and_then_all_day() -> None:
    driver = connected()
    for number in range(100):
        kind = (Kind.SLIN, Kind.SLIN16)[number % 2]
        driver.caller_speaks(bytes(SAMPLE_RATES[kind] * 2 * 4), kind)
    assert driver.is_in(State.TALKING)


def test_nothing_is_done_for_frames_beyond_the_one_that_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = connected()
    for _ in range(MAX_AHEAD_FRAMES + 1):
        driver.caller_says(SILENCE)
    assert driver.ending is not None
    assert driver.is_in(State.ENDED)
    to_agent = len(driver.to_agent)
    monkeypatch.setattr(driver.conversation.caller_audio, "kind", None)  # would be looked at
    for _ in range(1_000):
        assert driver.conversation.receive_frame(Audio(Kind.SLIN48, SILENCE), driver.now) is None
    driver.tick()
    assert len(driver.to_agent) == to_agent


def test_keys_count_as_audio_of_100_ms() -> None:
    driver = connected()
    acted = [driver.conversation.receive_digit("1", driver.now) for _ in range(400)]
    assert acted == [True] * 300 + [False] * 100
    driver.tick()
    assert driver.is_in(State.ENDED)
    assert len(driver.of(events.DigitPressed)) == 300


def test_a_frame_left_unfinished_for_five_seconds_ends_the_call() -> None:
    driver = connected()
    driver.tick(STALL_TICKS + 11, mid_frame=True)
    assert driver.ending is not None
    assert driver.ending.detail == "Asterisk's side left a frame unfinished for 5 s"


def test_a_side_that_takes_no_audio_for_five_seconds_ends_the_call() -> None:
    driver = connected()
    driver.tick(STALL_TICKS - 1, blocked=True)
    driver.tick()
    driver.tick(STALL_TICKS - 1, blocked=True)
    assert driver.is_in(State.TALKING)
    driver.tick(blocked=True)
    assert driver.ending is not None
    assert driver.ending.reason is EndReason.CALLER_STALLED
