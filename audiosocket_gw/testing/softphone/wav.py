"""WAV files of linear 16-bit audio."""

from __future__ import annotations

import wave
from pathlib import Path

from audiosocket_gw.audio import TELEPHONE_RATE
from audiosocket_gw.errors import ConfigurationError


def read_wav(path: Path, *, rate: int = TELEPHONE_RATE) -> bytes:
    """Return the audio of a mono 16-bit file: linear, little-endian.

    Raises:
        ConfigurationError: there is no such file, it isn't WAV, or it is of another format; the message
            has the command that converts it.
    """
    try:
        with wave.open(str(path), "rb") as file:
            found = (file.getframerate(), file.getnchannels(), file.getsampwidth() * 8)
            linear = file.readframes(file.getnframes())
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except (wave.Error, EOFError) as error:
        reason = str(error) or "the file ends too soon"
        raise ConfigurationError(
            f"{path} is not a WAV file of linear PCM ({reason}); {_remedy(path, rate)}"
        ) from None
    if found != (rate, 1, 16):
        raise ConfigurationError(
            f"{path} has {found[0]} Hz, {found[1]} channel(s), {found[2]} bit; the call needs {rate} Hz,"
            f" 1 channel, 16 bit; {_remedy(path, rate)}"
        )
    return linear


def _remedy(path: Path, rate: int) -> str:
    return f"convert it: sox {path} -r {rate} -c 1 -b 16 -e signed-integer {path.stem}-{rate}.wav"


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
