"""Audio formats by name, and what 20 ms of them are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.audio import (
    AGENT_FORMATS,
    ALAW_8000,
    FRAME_BYTES,
    FRAME_MS,
    PCM_8000,
    ULAW_8000,
    AudioFormat,
    Encoding,
    alaw_to_linear,
    ulaw_to_linear,
)
from audiosocket_gw.protocol.audiosocket import SAMPLE_RATES


def test_the_formats_of_elevenlabs() -> None:
    names = ["pcm_8000", "pcm_16000", "pcm_22050", "pcm_24000", "pcm_44100", "pcm_48000", "ulaw_8000"]
    assert [AudioFormat.parse(name) for name in names] == list(AGENT_FORMATS)
    assert [str(audio_format) for audio_format in AGENT_FORMATS] == names


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
    [
        *(("pcm_8000", 320), ("ulaw_8000", 160), ("alaw_8000", 160), ("pcm_16000", 640)),
        *(("pcm_22050", 882), ("pcm_44100", 1_764), ("pcm_192000", 7_680)),
    ],
)
def test_lengths(name: str, bytes_of_20_ms: int) -> None:
    audio = AudioFormat.parse(name)
    assert audio.frame_bytes == audio.bytes_for(FRAME_MS) == len(audio.silence(FRAME_MS)) == bytes_of_20_ms
    assert audio.seconds_of(bytes(bytes_of_20_ms)) == FRAME_MS / 1000
    assert audio.bytes_for(0) == audio.seconds_of(b"") == 0


def test_a_frame_is_20_ms_of_linear_telephone_audio() -> None:
    assert PCM_8000.bytes_for(FRAME_MS) == FRAME_BYTES == 320


@pytest.mark.parametrize("rate", SAMPLE_RATES.values())
def test_a_frame_is_20_ms_exactly_at_every_rate_of_asterisk(rate: int) -> None:
    assert AudioFormat(Encoding.PCM, rate).frame_bytes * 1000 == rate * FRAME_MS * 2


def test_silence_is_silent() -> None:
    assert PCM_8000.silence(20) == bytes(320)
    assert ulaw_to_linear(ULAW_8000.silence(20)) == bytes(320)
    assert alaw_to_linear(ALAW_8000.silence(20)) == b"\x08\0" * 160
