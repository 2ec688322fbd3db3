"""Files of the operator: a WAV file and a scenario are read, or it is said what is wrong with them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from audiosocket_gw.audio.hold_audio import HoldAudioFile
from audiosocket_gw.audio.wav import parse_wav
from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.testing.simulator.scenario import Scenario
from audiosocket_gw.testing.simulator.scenario_file import FOLDER, load_scenario
from tests.audio.wav_bytes import description, riff, wav
from tests.fuzz.choices import Choices
from tests.fuzz.target import Target


def check_wav(data: bytes) -> None:
    choices = Choices(data)
    if choices.flag():
        file = choices.rest()
    else:
        what = description(choices.of((1, 1, 1, 3, 0xFFFE)), rate=choices.of(RATES), channels=1, bits=16)
        what = what[:2] + choices.take(2) + what[4:14] + choices.take(2) + what[16:] + choices.some(30)
        file = riff(
            (b"fmt ", what), (choices.of((b"data", b"LIST")), choices.some(20)), (b"data", choices.rest())
        )
    try:
        parsed = parse_wav(file)
    except ValueError:
        return
    samples = parsed.mono()
    assert samples.dtype == np.float32
    assert len(samples) == len(parsed)
    assert len(parsed.data) <= len(file)
    assert np.all(np.abs(samples) <= 32_768)
    try:
        loop = HoldAudioFile.parse(file)
    except ValueError:
        return
    assert loop.frames.size <= len(samples)


RATES = (8_000, 50, 0, 44_100, 192_000)


@cache
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-scenario-"))


def check_scenario(data: bytes) -> None:
    path = folder() / "scenario.toml"
    path.write_bytes(data)
    try:
        scenario = load_scenario(str(path))
    except ConfigurationError as error:
        assert str(path) in str(error)
    else:
        assert isinstance(scenario, Scenario)


def wavs() -> Iterator[bytes]:
    for width in (1, 2, 3, 4):
        yield b"\1" + wav([0, 1_000, -1_000, 32_767], width=width, channels=2)
    yield b"\0\0\0\1\0\x10\0\0\0\0" + bytes(20)
    yield b"\0\4\0\1\0\x18\0\x0a" + bytes(40)
    yield b"\1" + wav(np.arange(200), 8_000)


def scenarios() -> Iterator[bytes]:
    for path in sorted(FOLDER.glob("*.toml")):
        yield path.read_bytes()
    yield b'mode = "echo"\nprivate = true\n[[turns]]\nreplies = [{ text = "a", seconds = 1.5 }]\n'


def words() -> tuple[bytes, ...]:
    return tuple(name.encode() for name in Scenario.__dataclass_fields__)


TARGETS = (
    Target("wav", check_wav, wavs, (b"RIFF", b"WAVE", b"fmt ", b"data", b"\xfe\xff"), max_bytes=1_000),
    Target("scenario", check_scenario, scenarios, (*words(), b"[[turns]]", b"[["), max_bytes=1_500),
)
