"""Fades: audio that is cut off, or that begins, in the middle of a wave would click."""

from __future__ import annotations

import numpy as np


def fade_out(linear: bytes) -> bytes:
    """Lead linear audio from full level to silence, over its whole length."""
    return _ramped(linear, 1, 0)


def fade_in(linear: bytes) -> bytes:
    """Lead linear audio from silence to full level, over its whole length."""
    return _ramped(linear, 0, 1)


def _ramped(linear: bytes, first: float, last: float) -> bytes:
    samples = np.frombuffer(linear, "<i2")
    return (samples * np.linspace(first, last, len(samples), endpoint=False)).astype("<i2").tobytes()
