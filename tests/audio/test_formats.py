"""Audio formats by name, and G.711 mu-law."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.audio import (
    FRAME_BYTES,
    FRAME_MS,
    PCM_8000,
    ULAW_8000,
    AudioFormat,
    Encoding,
    linear_to_ulaw,
    ulaw_to_linear,
)


@pytest.mark.parametrize(
    "name",
    ["pcm_8000", "pcm_16000", "pcm_22050", "pcm_24000", "pcm_44100", "pcm_48000", "ulaw_8000"],
)
def test_the_formats_of_elevenlabs(name: str) -> None:
    assert str(AudioFormat.parse(name)) == name


def test_the_two_telephone_formats() -> None:
    assert AudioFormat.parse("pcm_8000") == PCM_8000 == AudioFormat(Encoding.PCM, 8_000)
    assert AudioFormat.parse("ulaw_8000") == ULAW_8000 == AudioFormat(Encoding.ULAW, 8_000)


@pytest.mark.parametrize(
    "name",
    [
        *("", "pcm", "pcm_", "_8000", "8000", "mp3_44100_128", "opus_8000", "PCM_8000", "pcm_-1", "pcm_0"),
        *("pcm_8k", "pcm_8000 ", "pcm_\u0668\u0660\u0660\u0660", "pcm_8_000", "pcm_" + "9" * 5_000),
    ],
)
def test_what_is_no_format(name: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        AudioFormat.parse(name)


@given(st.text(st.characters()))
def test_any_text_is_a_format_or_a_value_error(name: str) -> None:
    try:
        parsed = AudioFormat.parse(name)
    except ValueError:
        return
    assert parsed.rate > 0


@pytest.mark.parametrize(
    ("name", "bytes_of_20_ms"),
    [("pcm_8000", 320), ("ulaw_8000", 160), ("pcm_16000", 640), ("pcm_22050", 882)],
)
def test_lengths(name: str, bytes_of_20_ms: int) -> None:
    sound = AudioFormat.parse(name)
    assert sound.bytes_for(FRAME_MS) == bytes_of_20_ms
    assert sound.ms_of(bytes_of_20_ms) == FRAME_MS
    assert sound.bytes_for(0) == sound.ms_of(0) == 0


def test_a_frame_is_20_ms_of_linear_telephone_sound() -> None:
    assert PCM_8000.bytes_for(FRAME_MS) == FRAME_BYTES == 320


def samples(linear: bytes) -> list[int]:
    return [sample for (sample,) in struct.iter_unpack("<h", linear)]


@pytest.mark.parametrize(
    ("code", "sample"),
    [
        (0x00, -32_124),
        (0x80, 32_124),
        (0x0F, -16_764),
        (0x8F, 16_764),
        (0x10, -15_996),
        (0x7E, -8),
        (0xFE, 8),
        (0x7F, 0),
        (0xFF, 0),
    ],
)
def test_mu_law_by_the_book(code: int, sample: int) -> None:
    """The decision values of ITU-T G.711, table 2, times four: 14 bits in a 16-bit sample."""
    assert samples(ulaw_to_linear(bytes([code]))) == [sample]
    if code != 0x7F:  # negative zero, which no encoder makes
        assert linear_to_ulaw(struct.pack("<h", sample)) == bytes([code])


def test_every_code_survives() -> None:
    codes = bytes(range(256))
    assert linear_to_ulaw(ulaw_to_linear(codes)) == codes.replace(b"\x7f", b"\xff")


def test_every_sample_is_coded_as_closely_as_mu_law_can() -> None:
    linear = np.arange(-32_768, 32_768, dtype="<i2")
    decoded = np.frombuffer(ulaw_to_linear(linear_to_ulaw(linear.tobytes())), "<i2").astype(int)
    step = np.maximum(8, 2 ** np.floor(np.log2(np.abs(linear.astype(int)) + 132)).astype(int) // 16)
    inside = np.abs(linear.astype(int)) <= 32_635
    error = np.abs(decoded - linear.astype(int))
    assert (error[inside] <= step[inside] // 2).all()
    assert (np.diff(decoded) >= 0).all()


def test_nothing_is_nothing() -> None:
    assert ulaw_to_linear(b"") == linear_to_ulaw(b"") == b""
