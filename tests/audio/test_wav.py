"""WAV files of every width and any number of channels, whole or cut off, and what isn't one."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.audio.wav import parse_wav
from tests.audio.wav_bytes import description, encoded, riff, wav

RAMP = np.arange(-32_768, 32_768, 16).astype(float)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_every_width_of_sample(width: int) -> None:
    found = parse_wav(wav(RAMP, width=width))
    assert (found.rate, found.channels, found.width, len(found)) == (8_000, 1, width, 4_096)
    expected = RAMP // 256 * 256 if width == 1 else RAMP
    assert found.mono().tolist() == expected.tolist()


def test_24_bits_are_not_cut_to_16() -> None:
    data = b"\x80\x00\x00" + b"\xff\xff\xff"  # half a unit of 16 bits, and as little below 0
    assert parse_wav(riff((b"fmt ", description(bits=24)), (b"data", data))).mono().tolist() == [
        0.5,
        -1 / 256,
    ]


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_channels_are_mixed_down(width: int) -> None:
    left, right = np.full(100, 12_800.0), np.full(100, -25_600.0)
    both = np.stack([left, right], axis=1).reshape(-1)
    assert set(parse_wav(wav(both, width=width, channels=2)).mono().tolist()) == {-6_400}


def test_a_long_file_is_converted_in_blocks_that_leave_no_trace() -> None:
    audio = np.random.default_rng(1).integers(-9_000, 9_000, (2**18 + 7) * 2)
    stereo = parse_wav(wav(audio, 48_000, channels=2)).mono()
    assert (stereo == audio.reshape(-1, 2).mean(axis=1)).all()


def test_the_extensible_format_and_chunks_that_are_of_no_interest() -> None:
    extension = struct.pack("<HHI", 22, 24, 4) + b"\x01\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
    data = encoded(RAMP, 3)
    file = riff(
        (b"LIST", b"odd"),
        (b"fmt ", description(0xFFFE, bits=24) + extension),
        (b"data", data),
        (b"id3 ", b"x"),
    )
    assert parse_wav(file).mono().tolist() == RAMP.tolist()


@pytest.mark.parametrize("size", [0xFFFFFFFF, 10_000])
def test_a_file_from_a_pipe_or_cut_off_is_taken_as_far_as_it_goes(size: int) -> None:
    file = riff((b"fmt ", description()), (b"data", b""))[:-4] + struct.pack("<I", size)
    assert len(parse_wav(file + bytes(4_001))) == 2_000


def test_a_mono_file_of_16_bits_is_linear_audio_as_it_is() -> None:
    assert parse_wav(wav(RAMP)).linear() == RAMP.astype("<i2").tobytes()
    assert parse_wav(wav(RAMP) + b"x").linear() == RAMP.astype("<i2").tobytes()
    cut_off = riff((b"fmt ", description()), (b"data", bytes(4_001)))
    assert parse_wav(cut_off).linear() == bytes(4_000)


@pytest.mark.parametrize(("width", "channels"), [(1, 1), (3, 1), (2, 2)])
def test_another_format_is_not_linear_audio(width: int, channels: int) -> None:
    with pytest.raises(ValueError, match=rf"it has 8000 Hz, {channels} channel\(s\), {8 * width} bit"):
        parse_wav(wav(RAMP, width=width, channels=channels)).linear()


VALID = wav(np.arange(400), width=3, channels=2)


@given(
    st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), max_size=8),
    st.integers(0, 2_500),
)
def test_any_file_is_audio_or_a_value_error(changes: list[tuple[int, int]], length: int) -> None:
    file = bytearray(VALID)
    for place, value in changes:
        file[place % 60 if value % 2 else place] = value
    try:
        found = parse_wav(bytes(file[:length]))
    except ValueError:
        return
    assert len(found.mono()) == len(found)
