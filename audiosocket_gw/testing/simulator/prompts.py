"""The prompts of the simulated agent: words, and audio in any of the agent's formats.

The shipped prompts are 16-bit mono WAV files at 8 kHz, made once by `scripts/make_prompts.sh`, so that a
telephone call carries them unchanged.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from audiosocket_gw.audio import AudioFormat, Converter, Encoding, linear_to_ulaw
from audiosocket_gw.audio.wav import parse_wav

FOLDER = Path(__file__).parent / "prompts"

WORDS = {
    "greeting": "Hello, this is the simulated agent of your gateway. How can I help you?",
    "opening-hours": "We are open from nine to five, Monday to Friday.",
    "long-answer": (
        "All our people in sales are busy right now, so let me tell you how this works. "
        "Everything that I say now came in one burst, much faster than you can hear it, "
        "and your gateway plays it at the pace of speech. "
        "You can interrupt me at any time. Just start to talk, and I will stop at once."
    ),
    "go-ahead": "Of course. Go ahead.",
    "transfer": "Of course. I am putting you through to sales.",
    "apology": "I am sorry, that did not work. Is there anything else I can do for you?",
    "goodbye": "Goodbye.",
}
"""The shipped prompts: name and words."""


def path_of(prompt: str) -> Path:
    """Return the WAV file of a shipped prompt, or ``prompt`` itself if it names a ``.wav`` file."""
    return Path(prompt) if prompt.endswith(".wav") else FOLDER / f"{prompt}.wav"


@lru_cache(maxsize=128)
def audio_of(prompt: str, audio_format: AudioFormat) -> bytes:
    """Return the audio of ``prompt`` in ``audio_format``.

    Raises:
        ValueError: there is no such prompt, or its file is not a 16-bit mono WAV.
    """
    path = path_of(prompt)
    try:
        file = path.read_bytes()
    except FileNotFoundError:
        raise ValueError(
            f"there is no prompt {prompt!r}; take a .wav file or one of {', '.join(WORDS)}"
        ) from None
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}") from error
    try:
        wav = parse_wav(file)
        linear = wav.linear()
    except ValueError as error:
        raise ValueError(f"{path} is not a 16-bit mono WAV file: {error}") from None
    converter = Converter(AudioFormat(Encoding.PCM, wav.rate), audio_format)
    return converter.convert(linear) + converter.drain()


@lru_cache(maxsize=16)
def tone(ms: int, audio_format: AudioFormat) -> bytes:
    """Return a soft tone of 440 Hz: what an agent plays while a tool runs."""
    times = np.arange(audio_format.rate * ms // 1000) / audio_format.rate
    linear = np.rint(2_000 * np.sin(2 * np.pi * 440 * times)).astype("<i2").tobytes()
    return linear_to_ulaw(linear) if audio_format.encoding is Encoding.ULAW else linear


@lru_cache(maxsize=16)
def noise(ms: int, dbfs: float, audio_format: AudioFormat) -> bytes:
    """Return noise of that level: what an agent with background audio sends while it doesn't speak."""
    samples = np.random.default_rng(1).normal(0, 32_768 * 10 ** (dbfs / 20), audio_format.rate * ms // 1000)
    linear = np.rint(samples).clip(-32_768, 32_767).astype("<i2").tobytes()
    return linear_to_ulaw(linear) if audio_format.encoding is Encoding.ULAW else linear
