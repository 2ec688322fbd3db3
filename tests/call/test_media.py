"""The agent's bytes on their way to the caller: a sample may come in two pieces, and no half is left over."""

from __future__ import annotations

import numpy as np
import pytest

from audiosocket_gw.audio import PCM_8000, AudioFormat, Converter
from audiosocket_gw.call.media import NOT_SETTLED, Media
from audiosocket_gw.protocol.audiosocket import HEADER, Audio, Kind
from tests.audio.signals import tone

every_agent = pytest.mark.parametrize("name", ["pcm_8000", "pcm_16000", "pcm_44100"])


def spoken(rate: int) -> bytes:
    return tone(300, rate, peak=8_000, s=0.5).tobytes()


def media_for(agent: AudioFormat) -> Media:
    media = Media()
    media.agree(agent, agent)
    return media


def heard(media: Media) -> bytes:
    audio = b""
    while media.playout.queued_ms:
        audio += media.next_frame()[HEADER.size :]
    return audio


def roughness(audio: bytes) -> float:
    """The mean step from sample to sample: noise has the largest."""
    return float(np.abs(np.diff(np.frombuffer(audio, "<i2").astype(int))).mean())


@every_agent
def test_a_reply_that_ends_in_mid_sample_does_no_harm_to_the_next(name: str) -> None:
    agent = AudioFormat.parse(name)
    media = media_for(agent)
    reply = spoken(agent.rate)
    media.from_agent(reply + b"x")
    media.begin_reply()
    media.from_agent(reply)
    assert roughness(heard(media)) == pytest.approx(roughness(spoken(8_000)), rel=0.1)


@every_agent
def test_a_sample_in_two_pieces_is_whole_again(name: str) -> None:
    agent = AudioFormat.parse(name)
    whole, in_pieces = media_for(agent), media_for(agent)
    reply = spoken(agent.rate)
    whole.from_agent(reply)
    for start in range(0, len(reply), 777):
        in_pieces.from_agent(reply[start : start + 777])
    assert heard(in_pieces) == heard(whole)


@every_agent
def test_another_rate_in_mid_sample_does_no_harm(name: str) -> None:
    agent = AudioFormat.parse(name)
    media = media_for(agent)
    reply = spoken(agent.rate)
    media.from_agent(reply[:4_001])
    media.look_at(Audio(Kind.SLIN16, bytes(640)))
    media.from_agent(reply[4_001:])
    to_wide = Converter(PCM_8000, AudioFormat.parse("pcm_16000"))
    expected = to_wide.convert(spoken(8_000)) + to_wide.drain()
    assert roughness(heard(media)) == pytest.approx(roughness(expected), rel=0.1)


@every_agent
def test_an_interruption_in_mid_sample_does_no_harm_to_what_follows(name: str) -> None:
    agent = AudioFormat.parse(name)
    media = media_for(agent)
    reply = spoken(agent.rate)
    media.from_agent(reply + b"x")
    media.interrupt()
    heard(media)
    media.from_agent(reply)
    assert roughness(heard(media)) == pytest.approx(roughness(spoken(8_000)), rel=0.1)


def test_frames_that_need_no_look_are_known_by_their_length() -> None:
    media = Media()
    linear, longer = Audio(Kind.SLIN, bytes(320)), Audio(Kind.SLIN, bytes(640))
    media.look_at(linear)
    assert media.settled_bytes == NOT_SETTLED, "who knows what that is?"
    media.expect("slin")
    assert media.settled_bytes == NOT_SETTLED
    media.look_at(linear)
    assert (media.kind, media.settled_bytes) == (Kind.SLIN, 320)
    media.look_at(longer)
    assert media.settled_bytes == 640
    media.look_at(Audio(Kind.SLIN, bytes(321)))
    assert media.settled_bytes == NOT_SETTLED, "half a sample must be cut off each time"
    media.look_at(Audio(Kind.SLIN16, bytes(640)))
    assert (media.kind, media.settled_bytes) == (Kind.SLIN16, 640)
    media.look_at(linear)
    media.look_again()
    assert media.settled_bytes == NOT_SETTLED, "it may be another codec now"


def test_frames_that_nobody_can_decode_are_never_settled() -> None:
    media = Media()
    media.expect("g722")
    media.look_at(Audio(Kind.SLIN, bytes(160)))
    assert media.settled_bytes == NOT_SETTLED
