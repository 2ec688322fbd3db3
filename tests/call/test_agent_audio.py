"""The agent's bytes on their way to the caller: a sample may come in two pieces, and no half is left over."""

from __future__ import annotations

import numpy as np
import pytest

from audiosocket_gw.audio import PCM_8000, AudioFormat, Converter
from audiosocket_gw.call.agent_audio import AgentAudio
from audiosocket_gw.protocol.audiosocket import HEADER, Kind
from tests.audio.signals import tone

every_agent = pytest.mark.parametrize("name", ["pcm_8000", "pcm_16000", "pcm_44100"])


def spoken(rate: int) -> bytes:
    return tone(300, rate, peak=8_000, s=0.5).tobytes()


def audio_of(agent: AudioFormat) -> AgentAudio:
    audio = AgentAudio()
    audio.set_format(agent)
    return audio


def heard(agent: AgentAudio) -> bytes:
    audio = b""
    while agent.playout.queued_ms:
        audio += agent.next_frame()[HEADER.size :]
    return audio


def roughness(audio: bytes) -> float:
    """The mean step from sample to sample: noise has the largest."""
    return float(np.abs(np.diff(np.frombuffer(audio, "<i2").astype(int))).mean())


@every_agent
def test_a_reply_that_ends_in_mid_sample_does_no_harm_to_the_next(name: str) -> None:
    agent = AudioFormat.parse(name)
    said = audio_of(agent)
    reply = spoken(agent.rate)
    said.receive(reply + b"x")
    said.begin_reply()
    said.receive(reply)
    assert roughness(heard(said)) == pytest.approx(roughness(spoken(8_000)), rel=0.1)


@every_agent
def test_a_sample_in_two_pieces_is_whole_again(name: str) -> None:
    agent = AudioFormat.parse(name)
    whole, in_pieces = audio_of(agent), audio_of(agent)
    reply = spoken(agent.rate)
    whole.receive(reply)
    for start in range(0, len(reply), 777):
        in_pieces.receive(reply[start : start + 777])
    assert heard(in_pieces) == heard(whole)


@every_agent
def test_another_rate_in_mid_sample_does_no_harm(name: str) -> None:
    agent = AudioFormat.parse(name)
    said = audio_of(agent)
    reply = spoken(agent.rate)
    said.receive(reply[:4_001])
    said.set_kind(Kind.SLIN16)
    said.receive(reply[4_001:])
    to_wide = Converter(PCM_8000, AudioFormat.parse("pcm_16000"))
    expected = to_wide.convert(spoken(8_000)) + to_wide.drain()
    assert roughness(heard(said)) == pytest.approx(roughness(expected), rel=0.1)


@every_agent
def test_an_interruption_in_mid_sample_does_no_harm_to_what_follows(name: str) -> None:
    agent = AudioFormat.parse(name)
    said = audio_of(agent)
    reply = spoken(agent.rate)
    said.receive(reply + b"x")
    said.interrupt()
    heard(said)
    said.receive(reply)
    assert roughness(heard(said)) == pytest.approx(roughness(spoken(8_000)), rel=0.1)
