"""G.711 against the tables of ITU-T G.711, written out by their segments."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from audiosocket_gw.audio import alaw_to_linear, linear_to_alaw, linear_to_ulaw, ulaw_to_linear

Values = npt.NDArray[np.int64]
EVERY_CODE = bytes(range(256))
EVERY_SAMPLE = np.arange(-32_768, 32_768)


def decision_values(ends: list[int], intervals: list[int]) -> Values:
    """The decision values of a table, from 0 up, given the ends of its segments and the steps within each."""
    steps = [np.linspace(*ends_of, n + 1)[:-1] for ends_of, n in zip(pairwise(ends), intervals, strict=True)]
    return np.concatenate([*steps, ends[-1:]]).astype(int)


# Tables 1a and 2a, positive samples: decision values, and the quantized values between them. Table 1 counts
# in 13 bits, table 2 in 14: times 8 and 4 they are 16-bit samples.
ALAW_DECISIONS = decision_values([0, 64, 128, 256, 512, 1024, 2048, 4096], [32, *[16] * 6]) * 8
ULAW_DECISIONS = decision_values([0, 1, 31, 95, 223, 479, 991, 2015, 4063, 8159], [1, 15, *[16] * 7]) * 4
ALAW_VALUES = (ALAW_DECISIONS[1:] + ALAW_DECISIONS[:-1]) // 2
ULAW_VALUES = np.concatenate([[0], (ULAW_DECISIONS[2:] + ULAW_DECISIONS[1:-1]) // 2])

# The codes of the positive samples, from 0 up, as they are on the line.
ALAW_CODES = (np.arange(128) | 0x80) ^ 0x55
ULAW_CODES = 0xFF - np.arange(128)

Law = tuple[Callable[[bytes], bytes], Callable[[bytes], bytes], Values, Values, Values]
ALAW: Law = (alaw_to_linear, linear_to_alaw, ALAW_DECISIONS, ALAW_VALUES, ALAW_CODES)
ULAW: Law = (ulaw_to_linear, linear_to_ulaw, ULAW_DECISIONS, ULAW_VALUES, ULAW_CODES)
both_laws = pytest.mark.parametrize("law", [ALAW, ULAW], ids=["A-law", "mu-law"])


def samples(linear: bytes) -> Values:
    return np.frombuffer(linear, "<i2").astype(int)


def test_the_tables_as_printed() -> None:
    assert (ALAW_VALUES[[0, 127]] // 8).tolist() == [1, 4032]
    assert (ULAW_VALUES[[0, 1, 16, 32, 48, 64, 80, 96, 112, 127]] // 4).tolist() == [
        *(0, 2, 33, 99, 231, 495, 1023, 2079, 4191, 8031)
    ]


@both_laws
def test_every_code_has_the_value_of_the_table(law: Law) -> None:
    decode, _, _, values, codes = law
    assert samples(decode(bytes(codes.tolist()))).tolist() == values.tolist()
    assert samples(decode(bytes((codes ^ 0x80).tolist()))).tolist() == (-values).tolist()


@both_laws
def test_every_sample_has_the_code_of_the_table(law: Law) -> None:
    _, encode, decisions, _, codes = law
    magnitudes = np.where(EVERY_SAMPLE < 0, ~EVERY_SAMPLE, EVERY_SAMPLE)
    interval = np.minimum(np.searchsorted(decisions, magnitudes, side="right") - 1, 127)
    expected = codes[interval] ^ np.where(EVERY_SAMPLE < 0, 0x80, 0)
    assert list(encode(EVERY_SAMPLE.astype("<i2").tobytes())) == expected.tolist()


def test_every_code_survives() -> None:
    assert linear_to_alaw(alaw_to_linear(EVERY_CODE)) == EVERY_CODE
    # Mu-law has two zeros, and linear audio one.
    assert linear_to_ulaw(ulaw_to_linear(EVERY_CODE)) == EVERY_CODE.replace(b"\x7f", b"\xff")


@both_laws
def test_what_was_coded_once_is_not_changed_by_coding_it_again(law: Law) -> None:
    decode, encode, *_ = law
    once = decode(encode(EVERY_SAMPLE.astype("<i2").tobytes()))
    assert decode(encode(once)) == once


@both_laws
def test_nothing_is_nothing(law: Law) -> None:
    decode, encode, *_ = law
    assert decode(b"") == encode(b"") == b""
