"""Both sides of a call on one clock, against what is known of when each frame was spoken and heard."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.audio import (
    ALAW_8000,
    PCM_8000,
    ULAW_8000,
    AudioFormat,
    Encoding,
    alaw_to_linear,
    linear_to_alaw,
    linear_to_ulaw,
    ulaw_to_linear,
)
from audiosocket_gw.protocol.audiosocket import SAMPLE_RATES, Kind, encode_audio
from audiosocket_gw.recording.stereo import LEAD_IN_S, Piece, Stereo, TimedFrame
from audiosocket_gw.runtime.ticker import MAX_CATCH_UP_S
from tests.audio.signals import tone
from tests.recording.signals import FRAME, RATE, Samples, payload, places, to_caller

PCM_16000 = AudioFormat(Encoding.PCM, 16_000)


class Canvas:
    """What a file becomes: each block replaces what was there."""

    def __init__(self, rate: int = RATE, begins_at: float = 0.0) -> None:
        self.stereo = Stereo(rate, begins_at)
        self._audio = np.zeros((0, 2), np.int16)

    def take(self) -> None:
        for position, block in self.stereo.take():
            assert position <= len(self._audio), "a hole"
            grown = max(len(self._audio), position + len(block))
            self._audio = np.concatenate((self._audio, np.zeros((grown - len(self._audio), 2), np.int16)))
            self._audio[position : position + len(block)] = block

    def close(self) -> tuple[Samples, Samples]:
        """Return the left and the right channel."""
        self.stereo.close()
        self.take()
        return self._audio[:, 0], self._audio[:, 1]


def recorded(heard: list[TimedFrame], said: list[TimedFrame], ticks: int = 50) -> tuple[Samples, Samples]:
    """Record a call as `CallRecorder` does: a piece each ``ticks`` frames to the caller."""
    canvas = Canvas(begins_at=-LEAD_IN_S)
    came = 0
    for start in range(0, len(heard), ticks):
        piece = heard[start : start + ticks]
        before = came
        while came < len(said) and said[came][0] <= piece[-1][0]:
            came += 1
        canvas.stereo.add(Piece(PCM_8000, piece, said[before:came]))
        canvas.take()
    canvas.stereo.add(Piece(PCM_8000, (), said[came:]))
    return canvas.close()


def position_ms(channel: Samples) -> dict[int, float]:
    """Return when each frame begins, in milliseconds of the call."""
    return {number: place / 8 - LEAD_IN_S * 1000 for number, place in places(channel).items()}


def ticks(seconds: float, held_up: dict[float, float] | None = None) -> list[TimedFrame]:
    """Return our frames as `Ticker` paces them; ``held_up``: from when on the loop stood still, how long."""
    frames: list[TimedFrame] = []
    deadline = 0.0
    now = 0.0
    stalls = dict(held_up or {})
    while deadline < seconds:
        now = max(now, deadline)
        for begin in [begin for begin in stalls if begin <= now]:
            now = max(now, begin + stalls.pop(begin))
        late_s = now - deadline
        if late_s > MAX_CATCH_UP_S:
            deadline += math.ceil((late_s - MAX_CATCH_UP_S) / 0.02) * 0.02
        frames.append((now, to_caller(len(frames) + 1)))
        deadline += 0.02
    return frames


def test_both_sides_begin_when_they_do() -> None:
    left, right = recorded(ticks(3), [(1.0 + 0.02 * n, payload(n + 1)) for n in range(50)])
    assert position_ms(right) == {n + 1: 20 * n for n in range(150)}
    assert position_ms(left) == {n + 1: 980 + 20 * n for n in range(50)}


def test_a_loop_that_was_held_up_is_silence_and_everything_after_it_is_in_place() -> None:
    heard = ticks(8, held_up={3.0: 2.5})
    # The caller spoke on. All of it arrives when the loop goes on, in a burst behind the first ticks.
    said = [
        (5.52 if 3.0 <= at < 5.52 else at, payload(n + 1))
        for n, at in enumerate(0.011 + 0.02 * n for n in range(400))
    ]
    left, right = recorded(heard, said)
    spoken = position_ms(left)
    assert len(spoken) == 400, "nothing is missing"
    assert max(abs(at - (20 * (number - 1) - 9)) for number, at in spoken.items()) <= 20
    assert len(np.flatnonzero(np.diff(np.flatnonzero(left)) > 1)) == 0, "nor cut"
    times = dict(enumerate((at * 1000 for at, _ in heard), 1))
    late = {number: times[number] - at for number, at in position_ms(right).items()}
    assert len(late) == len(heard)
    caught_up = [number for number, at in times.items() if 5_500 <= at < 5_501]
    assert len(caught_up) == 6
    assert all(abs(late[number]) <= 1 for number in late if number not in caught_up)
    assert 2_380 <= right_gap_ms(right) <= 2_420


def right_gap_ms(channel: Samples) -> float:
    """Return the longest silence between two pieces of audio."""
    return float(np.diff(np.flatnonzero(channel)).max() - 1) / 8


def test_frames_that_could_not_be_sent_move_what_follows() -> None:
    # Asterisk took no audio for 60 ms: too little for the ticker to skip, and yet it is time that passed.
    heard = [(at + 0.06 * (at > 1.99), frame) for at, frame in ticks(6)]
    _, right = recorded(heard, [])
    assert position_ms(right)[300] == pytest.approx(20 * 299 + 60, abs=1)


def test_of_what_the_caller_heard_nothing_is_left_out() -> None:
    # The loop limps 90 ms behind for so long that it looks like silence, and then makes up for it.
    heard = [(at + 0.09 * (1 <= at < 5), frame) for at, frame in ticks(8)]
    _, right = recorded(heard, [])
    begins = position_ms(right)
    assert len(begins) == len(heard)
    assert max(abs(at - 20 * (number - 1)) for number, at in begins.items()) <= 100


def test_what_was_said_before_the_call_is_left_out() -> None:
    # The connection was accepted 200 ms late; that much audio is waiting.
    said = [(max(0.0, -0.18 + 0.02 * n), payload(n + 1)) for n in range(100)]
    left, _ = recorded(ticks(2), said)
    spoken = position_ms(left)
    assert max(abs(at - (-200 + 20 * (number - 1))) for number, at in spoken.items()) <= 20
    assert 1 not in spoken
    assert 100 in spoken


def test_a_burst_after_five_seconds_is_cut_to_what_is_open_still() -> None:
    said = [(0.02 * n if n < 100 else max(7.0, 0.02 * n), payload(n + 1)) for n in range(500)]
    left, _ = recorded(ticks(10), said)
    spoken = {number: at for number, at in position_ms(left).items() if number > 1}
    assert max(abs(at - 20 * (number - 2)) for number, at in spoken.items()) <= 20
    assert {number for number in range(2, 501) if number not in spoken} <= set(range(100, 301))


@st.composite
def callers(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    """When the frames of a caller were spoken to the end, and when they came.

    The caller speaks, is silent for up to 4 s, speaks again. The way takes up to 50 ms; now and then it is
    held up for up to 1.4 s, and all that was said meanwhile comes at once. At the end of what it says, a
    caller's frames come in time: otherwise their time would be unknown.
    """
    now = draw(st.floats(0.02, 0.5))
    spoken: list[float] = []
    came: list[float] = []
    for _ in range(draw(st.integers(1, 4))):
        length = draw(st.integers(20, 120))
        ends = [now + 0.02 * (n + 1) for n in range(length)]
        delays = draw(st.lists(st.floats(0, 0.05), min_size=length, max_size=length))
        in_time = [-(-n // 5) * 5 if n < length - 12 else n for n in range(length)]
        delays = [
            min(delay, 0.02 * (on - n)) for n, (delay, on) in enumerate(zip(delays, in_time, strict=True))
        ]
        held_from, held_s = draw(st.floats(0, 1)), draw(st.sampled_from([0.0, 0.1, 0.5, 1.4]))
        free_at = min(ends[0] + held_from + held_s, ends[-13] if length > 13 else 0)
        arrivals = [
            max(end + delay, free_at if end >= ends[0] + held_from else 0)
            for end, delay in zip(ends, delays, strict=True)
        ]
        spoken += ends
        came += np.maximum.accumulate(arrivals).tolist()
        now = ends[-1] + draw(st.sampled_from([0.1, 0.3, 1.0, 4.0]))
    return spoken, came


@given(callers())
def test_every_frame_is_within_20_ms_of_when_it_was_said(caller: tuple[list[float], list[float]]) -> None:
    spoken, came = caller
    said = [(at, payload(number)) for number, at in enumerate(came, 1)]
    left, right = recorded(ticks(max(came) + 0.5), said)
    begins = position_ms(left)
    assert len(begins) == len(spoken), "none is missing, and each is whole"
    # A sample to and fro for the rounding of times to samples.
    errors = [begins[number] - (end - 0.02) * 1000 for number, end in enumerate(spoken, 1)]
    assert max(map(abs, errors)) <= 20.25
    assert position_ms(right) == pytest.approx({n + 1: 20 * n for n in range(len(right) // FRAME - 1)})


# Formats


@pytest.mark.parametrize("kind", SAMPLE_RATES)
def test_a_recording_has_the_rate_of_its_call(kind: Kind) -> None:
    rate = SAMPLE_RATES[kind]
    audio = tone(440, rate, peak=9_000, s=1.0).tobytes()
    size = AudioFormat(Encoding.PCM, rate).frame_bytes
    frames = [audio[start : start + size] for start in range(0, len(audio), size)]
    canvas = Canvas(rate)
    canvas.stereo.add(
        Piece(
            AudioFormat(Encoding.PCM, rate),
            [(0.02 * n, encode_audio(kind, frame)) for n, frame in enumerate(frames)],
            [(0.02 * (n + 1), frame) for n, frame in enumerate(frames)],
        )
    )
    left, right = canvas.close()
    assert left.tobytes() == audio
    assert right.tobytes() == audio


@pytest.mark.parametrize(
    ("law", "encode", "decode"),
    [(ULAW_8000, linear_to_ulaw, ulaw_to_linear), (ALAW_8000, linear_to_alaw, alaw_to_linear)],
    ids=["ulaw", "alaw"],
)
def test_g711_under_the_label_of_linear_audio_is_decoded(law, encode, decode) -> None:  # type: ignore[no-untyped-def]
    coded = encode(tone(440, 8_000, peak=9_000, s=0.5).tobytes())
    frames = [coded[start : start + 160] for start in range(0, len(coded), 160)]
    canvas = Canvas()
    canvas.stereo.add(
        Piece(
            law,
            [(0.02 * n, encode_audio(Kind.SLIN, decode(frame))) for n, frame in enumerate(frames)],
            [(0.02 * (n + 1), frame) for n, frame in enumerate(frames)],
        )
    )
    left, right = canvas.close()
    assert left.tobytes() == right.tobytes() == decode(coded), "what goes to the caller is linear anyway"


@pytest.mark.parametrize("rate", [12_000, 16_000, 44_100])
def test_a_format_that_changes_in_mid_call_is_converted(rate: int) -> None:
    """A tone that goes on through the change stays where it is, and in tune."""
    changed = AudioFormat(Encoding.PCM, rate)
    canvas = Canvas()
    at = 0.0
    for audio_format, seconds in ((PCM_8000, 3), (changed, 4), (PCM_8000, 3)):
        kind = next(kind for kind, its_rate in SAMPLE_RATES.items() if its_rate == audio_format.rate)
        size = audio_format.frame_bytes
        audio = tone(500, audio_format.rate, peak=9_000, s=seconds).tobytes()
        frames = [audio[start : start + size] for start in range(0, len(audio), size)]
        for second in range(seconds):
            said = [(at + 0.02 * n, frames[50 * second + n]) for n in range(50)]
            heard = [(time, encode_audio(kind, frame)) for time, frame in said]
            canvas.stereo.add(Piece(audio_format, heard, [(time + 0.02, audio) for time, audio in said]))
            canvas.take()
            at += 1
    expected = tone(500, 8_000, peak=9_000, s=10)
    for channel in canvas.close():
        assert len(channel) == 80_000
        error = channel - expected.astype(int)
        assert np.abs(error[100:23_900]).max() == 0
        assert np.abs(error[24_100:55_900]).max() <= 90, "1 %: the resampler's"
        assert np.abs(error[56_100:79_900]).max() == 0


def test_a_minute_without_a_frame_is_a_minute_of_silence() -> None:
    heard = ticks(1)
    heard += [(65 + at, to_caller(n + 51)) for n, (at, _) in enumerate(ticks(1))]
    _, right = recorded(heard, [])
    assert position_ms(right)[51] == pytest.approx(65_000)
    assert len(right) == 66 * RATE + LEAD_IN_S * RATE


def test_the_kind_of_what_was_sent_tells_its_rate() -> None:
    """An Asterisk that has one kind for all rates says 16 kHz and takes 8, or changes to 16 later."""
    stereo = Stereo(8_000, 0.0)
    narrow_frame = encode_audio(Kind.SLIN, np.full(160, 1_000, "<i2").tobytes())
    wide_frame = encode_audio(Kind.SLIN16, np.full(320, 1_000, "<i2").tobytes())
    heard = [(0.02 * number, narrow_frame if number < 50 else wide_frame) for number in range(100)]
    stereo.add(Piece(PCM_16000, heard, []))
    stereo.close()
    right = np.concatenate([block[:, 1] for _, block in stereo.take()])
    assert len(right) == pytest.approx(16_000, abs=160)
    middle = np.concatenate((right[800:7_200], right[8_800:15_200]))
    assert (np.abs(middle.astype(int) - 1_000) <= 1).all()
