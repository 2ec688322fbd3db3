from __future__ import annotations

import math
import wave
from pathlib import Path

import numpy as np
import pytest

from audiosocket_gw.audio import PCM_8000, ULAW_8000, AudioFormat, linear_to_ulaw
from audiosocket_gw.testing.simulator import prompts
from audiosocket_gw.testing.simulator.scenario import FORMATS


@pytest.mark.parametrize("name", prompts.WORDS)
def test_every_prompt_is_audible_speech(name: str) -> None:
    samples = np.frombuffer(prompts.audio_of(name, PCM_8000), "<i2").astype(float)
    assert np.sqrt((samples**2).mean()) > 1_000
    assert np.abs(samples).max() < 32_000


def test_the_long_answer_takes_more_than_ten_seconds() -> None:
    assert PCM_8000.seconds_of(prompts.audio_of("long-answer", PCM_8000)) > 10


def test_no_file_is_without_words() -> None:
    assert {path.stem for path in prompts.FOLDER.glob("*.wav")} == set(prompts.WORDS)


@pytest.mark.parametrize("name", FORMATS)
def test_a_prompt_is_equally_long_in_every_format(name: str) -> None:
    audio_format = AudioFormat.parse(name)
    original = prompts.audio_of("goodbye", PCM_8000)
    converted = prompts.audio_of("goodbye", audio_format)
    assert len(converted) % audio_format.sample_bytes == 0
    samples = len(converted) // audio_format.sample_bytes
    assert samples == math.ceil(len(original) // 2 * audio_format.rate / 8_000)


def test_8_khz_is_carried_unchanged() -> None:
    with wave.open(str(prompts.path_of("goodbye")), "rb") as reader:
        linear = reader.readframes(reader.getnframes())
    assert prompts.audio_of("goodbye", PCM_8000) == linear
    assert prompts.audio_of("goodbye", ULAW_8000) == linear_to_ulaw(linear)


@pytest.mark.parametrize("audio_format", [PCM_8000, ULAW_8000])
def test_the_tone_lasts_as_long_as_asked(audio_format: AudioFormat) -> None:
    assert audio_format.seconds_of(prompts.tone(250, audio_format)) == 0.25


def test_a_stereo_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    with wave.open(str(path), "wb") as writer:
        writer.setparams((2, 2, 8_000, 0, "NONE", ""))
    with pytest.raises(ValueError, match=r"stereo\.wav is not a 16-bit mono WAV file: .*2 channel"):
        prompts.audio_of(str(path), PCM_8000)


@pytest.mark.parametrize("content", [b"", b"RIFF but no more than that"])
def test_a_file_that_is_no_audio_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.wav"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"text\.wav is not a 16-bit mono WAV file: it is not a WAV file"):
        prompts.audio_of(str(path), PCM_8000)
