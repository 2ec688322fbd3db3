"""WAV files of linear 16-bit audio: what the caller says and hears."""

from __future__ import annotations

import wave
from pathlib import Path

from audiosocket_gw.audio import TELEPHONE_RATE
from audiosocket_gw.audio.wav import parse_wav
from audiosocket_gw.errors import ConfigurationError


def read_wav(path: Path, *, rate: int = TELEPHONE_RATE) -> bytes:
    """Return the audio of a mono 16-bit file: linear, little-endian.

    Raises:
        ConfigurationError: the file is missing, isn't a WAV file, or has another format; the message has the
        command that converts it.
    """
    try:
        wav = parse_wav(path.read_bytes())
        linear = wav.linear()
        if wav.rate != rate:
            raise ValueError(f"it has {wav.rate} Hz, and the call {rate} Hz")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(
            f"{path}: {error}; convert it: "
            f"sox {path} -r {rate} -c 1 -b 16 -e signed-integer {path.stem}-{rate}.wav"
        ) from None
    return linear


def write_wav(path: Path, linear: bytes, *, rate: int = TELEPHONE_RATE, channels: int = 1) -> None:
    """Write 16-bit audio; the samples of several channels are interleaved.

    Raises:
        ConfigurationError: the file can't be written.
    """
    try:
        with path.open("wb") as stream, wave.open(stream, "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(linear)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
