"""The agent's audio is kept as it arrived, and converted in small steps, just before it is heard."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest

from audiosocket_gw.audio import AGENT_FORMATS, PCM_8000, AudioFormat, Converter, Encoding
from audiosocket_gw.call.agent_audio import AgentAudio
from audiosocket_gw.call.agent_queue import CHUNK_OVERHEAD, STEP_MS, AgentQueue
from audiosocket_gw.protocol.audiosocket import HEADER, SAMPLE_RATES, Kind
from tests.audio.signals import speech

WIDEBAND = AudioFormat(Encoding.PCM, 16_000)


class Work:
    """The samples that converters take, and what the largest single step is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = self.most = 0
        convert = Converter.convert

        def counted(converter: Converter, audio: bytes) -> bytes:
            if converter.source != converter.target:
                self.bytes += len(audio)
                self.most = max(self.most, len(audio))
            return convert(converter, audio)

        monkeypatch.setattr(Converter, "convert", counted)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    return Work(monkeypatch)


def in_format(audio_format: AudioFormat) -> bytes:
    converter = Converter(PCM_8000, audio_format)
    return converter.convert(speech("opening-hours").tobytes()) + converter.drain()


def pieces_of(queue: AgentQueue) -> Iterator[bytes]:
    return iter(queue.next_piece, b"")


def heard(agent: AgentAudio, frames: int) -> bytes:
    return b"".join(agent.next_frame()[HEADER.size :] for _ in range(frames))


@pytest.mark.parametrize("agent", AGENT_FORMATS, ids=str)
@pytest.mark.parametrize("kind", SAMPLE_RATES)
@pytest.mark.parametrize("size", [2, 4_411 * 2, 10**6])
def test_what_is_taken_is_the_audio_as_if_it_were_converted_at_once(
    agent: AudioFormat, kind: Kind, size: int
) -> None:
    said = in_format(agent)[: min(size, 10) * 8_820]
    target = AudioFormat(Encoding.PCM, SAMPLE_RATES[kind])
    queue = AgentQueue()
    queue.set_target(target, b"")
    for start in range(0, len(said), size):
        queue.add(said[start : start + size], agent)
    at_once = Converter(agent, target)
    assert b"".join(pieces_of(queue)) == at_once.convert(said) + at_once.drain()
    assert queue.is_empty
    assert queue.size == 0


@pytest.mark.parametrize("agent", AGENT_FORMATS, ids=str)
@pytest.mark.parametrize("kind", [Kind.SLIN, Kind.SLIN44, Kind.SLIN192])
def test_a_message_costs_no_conversion_but_that_of_what_is_heard_next(
    agent: AudioFormat, kind: Kind, work: Work
) -> None:
    """Half a minute in one message."""
    audio = AgentAudio()
    audio.set_format(agent)
    audio.set_kind(kind)
    audio.receive(bytes(agent.bytes_for(30_000)))
    assert work.bytes == 0
    heard(audio, 10)
    assert work.bytes <= agent.bytes_for(200 + STEP_MS)
    assert work.most <= agent.bytes_for(STEP_MS)
    audio.interrupt()
    assert work.bytes <= agent.bytes_for(200 + 2 * STEP_MS)


def test_another_rate_of_the_callers_costs_no_conversion_whatever_is_queued(work: Work) -> None:
    audio = AgentAudio()
    audio.set_format(WIDEBAND)
    audio.receive(bytes(WIDEBAND.bytes_for(30_000)))
    heard(audio, 1)
    before = work.bytes
    for _ in range(100):
        audio.set_kind(Kind.SLIN192)
        audio.set_kind(Kind.SLIN)
    assert work.bytes == before
    heard(audio, 5)
    assert work.bytes - before <= 4 * WIDEBAND.bytes_for(STEP_MS)


@pytest.mark.parametrize("agent", [PCM_8000, WIDEBAND, AudioFormat(Encoding.ULAW, 8_000)], ids=str)
def test_nothing_is_lost_or_moved_when_the_callers_rate_changes_at_any_frame(agent: AudioFormat) -> None:
    """The pitch and the level of a long tone stay, and so does what is counted."""
    tone = (8_000 * np.sin(2 * np.pi * 400 * np.arange(16_000) / 8_000)).astype("<i2").tobytes()
    converter = Converter(PCM_8000, agent)
    said = converter.convert(tone) + converter.drain()
    kinds = [Kind.SLIN, Kind.SLIN16, Kind.SLIN44, Kind.SLIN16, Kind.SLIN48]
    audio = AgentAudio()
    audio.set_format(agent)
    audio.receive(said)
    for number in range(100):
        if number % 7 == 3:
            audio.set_kind(kinds[number % len(kinds)])
        assert audio.playout.queued_ms == 2_000 - number * 20
        samples = np.frombuffer(audio.next_frame()[HEADER.size :], "<i2").astype(float)
        level = float(np.sqrt(np.mean(samples**2)))
        assert level == pytest.approx(8_000 / np.sqrt(2), rel=0.25), number
        assert audio.playout.heard_ms == (number + 1) * 20
    assert audio.playout.end_ms == 2_000
    heard(audio, 2)
    assert audio.playout.heard_ms == audio.playout.end_ms


def test_two_formats_in_the_queue_are_heard_one_after_the_other() -> None:
    queue = AgentQueue()
    first, second = speech("opening-hours").tobytes(), in_format(WIDEBAND)
    queue.add(first, PCM_8000)
    queue.add(second, WIDEBAND)
    queue.add(first, PCM_8000)
    narrow = Converter(WIDEBAND, PCM_8000)
    assert b"".join(pieces_of(queue)) == first + narrow.convert(second) + narrow.drain() + first


def test_the_size_is_what_the_memory_takes() -> None:
    queue, chunks = AgentQueue(), [bytes([number, 1]) * (1 + number) for number in range(200)]
    for chunk in chunks:
        queue.add(chunk, PCM_8000)
    of_chunks = sum(sys.getsizeof(chunk) + sys.getsizeof((PCM_8000, chunk)) + 8 for chunk in chunks)
    assert of_chunks <= queue.size <= of_chunks + len(chunks) * CHUNK_OVERHEAD // 2
