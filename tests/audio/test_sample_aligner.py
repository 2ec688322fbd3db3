"""Bytes cut anywhere become whole samples, and none is lost or shifted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.audio import SampleAligner


@given(st.sampled_from([1, 2]), st.lists(st.binary(max_size=50), max_size=12))
def test_only_whole_samples_come_out_and_all_of_them(sample_bytes: int, pieces: list[bytes]) -> None:
    aligner = SampleAligner(sample_bytes)
    received = b""
    aligned = b""
    for piece in pieces:
        received += piece
        aligned += aligner.align(piece)
        assert aligned == received[: len(received) // sample_bytes * sample_bytes]


def test_whole_samples_are_not_copied() -> None:
    audio = bytes(range(100))
    assert SampleAligner(2).align(audio) is audio


def test_after_a_reset_the_next_byte_begins_a_sample() -> None:
    aligner = SampleAligner(2)
    assert aligner.align(b"\1\2\3") == b"\1\2"
    aligner.reset()
    assert aligner.align(b"\4\5") == b"\4\5"
