"""Frames on their way to the agent: those that come together are converted together, in order."""

from __future__ import annotations

import pytest

from audiosocket_gw.audio import PCM_8000, AudioFormat, Converter, Encoding
from audiosocket_gw.call.audio_to_agent import PIECE_FRAMES, AudioToAgent
from audiosocket_gw.call.caller_audio import CallerAudio
from audiosocket_gw.protocol.audiosocket import Audio, Kind
from tests.harness.audio import ramp

WIDEBAND = AudioFormat(Encoding.PCM, 16_000)


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of each conversion."""
    sizes: list[int] = []
    convert = Converter.convert

    def counted(converter: Converter, audio: bytes) -> bytes:
        sizes.append(len(audio))
        return convert(converter, audio)

    monkeypatch.setattr(Converter, "convert", counted)
    return sizes


def to_agent(agent: AudioFormat, batch_frames: int = 1) -> tuple[CallerAudio, AudioToAgent]:
    caller = CallerAudio()
    caller.set_agent_format(agent)
    return caller, AudioToAgent(caller, batch_frames)


def opened(agent: AudioFormat, batch_frames: int = 1) -> tuple[CallerAudio, AudioToAgent]:
    caller, audio = to_agent(agent, batch_frames)
    assert list(audio.open()) == []
    return caller, audio


@pytest.mark.parametrize("batch_frames", [1, 3])
def test_frames_that_come_together_are_converted_together(converted: list[int], batch_frames: int) -> None:
    _, audio = opened(WIDEBAND, batch_frames)
    for _ in range(8):
        audio.write(bytes(320))
    read = audio.read()
    assert converted == [8 * 320]
    assert bool(read) is (batch_frames == 1)
    assert len(read or audio.read_batch()) > 7 * 640
    assert converted == [8 * 320]


def test_equal_formats_are_not_converted(converted: list[int]) -> None:
    _, audio = opened(PCM_8000)
    audio.write(ramp(20))
    audio.write(ramp(20, start=9_000))
    assert audio.read() == ramp(20) + ramp(20, start=9_000)
    assert converted == []


def test_what_was_said_at_another_rate_is_sent_first() -> None:
    caller, audio = opened(WIDEBAND)
    audio.write(ramp(20))
    caller.look_at(Audio(Kind.SLIN16, ramp(40)))
    audio.write(ramp(40))
    narrow = Converter(PCM_8000, WIDEBAND).convert(ramp(20))
    assert audio.read() == narrow + ramp(40)
    caller.look_at(Audio(Kind.SLIN, ramp(20)))
    audio.write(ramp(20))
    audio.write_silence()
    assert audio.read() == narrow + bytes(640)


def test_what_came_before_the_agent_is_converted_piece_by_piece(converted: list[int]) -> None:
    _, audio = to_agent(WIDEBAND)
    for _ in range(100):
        audio.write(bytes(320))
    pieces = audio.open()
    assert converted == []
    next(pieces)
    assert converted == [PIECE_FRAMES * 320]
    audio.write(bytes(320))
    assert not audio.is_open
    assert len(list(pieces)) == 8
    assert sum(converted) == 101 * 320
    assert audio.is_open
