"""Sound: formats, G.711, resampling, conversion between the formats of the two sides. All of it is pure."""

from audiosocket_gw.audio.formats import (
    FRAME_BYTES,
    FRAME_MS,
    PCM_8000,
    TELEPHONE_RATE,
    ULAW_8000,
    AudioFormat,
    Encoding,
    linear_to_ulaw,
    ulaw_to_linear,
)

__all__ = [
    "FRAME_BYTES",
    "FRAME_MS",
    "PCM_8000",
    "TELEPHONE_RATE",
    "ULAW_8000",
    "AudioFormat",
    "Encoding",
    "linear_to_ulaw",
    "ulaw_to_linear",
]
