"""Signal processing, pure: formats, G.711, resampling, VAD, codec detection, hold audio."""

from audiosocket_gw.audio.convert import Converter
from audiosocket_gw.audio.formats import (
    AGENT_FORMATS,
    ALAW_8000,
    FRAME_BYTES,
    FRAME_MS,
    PCM_8000,
    TELEPHONE_RATE,
    ULAW_8000,
    AudioFormat,
    Encoding,
)
from audiosocket_gw.audio.g711 import alaw_to_linear, linear_to_alaw, linear_to_ulaw, ulaw_to_linear
from audiosocket_gw.audio.sample_aligner import SampleAligner

__all__ = [
    "AGENT_FORMATS",
    "ALAW_8000",
    "FRAME_BYTES",
    "FRAME_MS",
    "PCM_8000",
    "TELEPHONE_RATE",
    "ULAW_8000",
    "AudioFormat",
    "Converter",
    "Encoding",
    "SampleAligner",
    "alaw_to_linear",
    "linear_to_alaw",
    "linear_to_ulaw",
    "ulaw_to_linear",
]
