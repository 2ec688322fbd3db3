"""The file that ``HOLD_AUDIO`` names: read when the gateway starts, or refused with what to do."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.gateway import Gateway
from audiosocket_gw.resources import load_hold_audio
from audiosocket_gw.settings import GatewaySettings, Settings
from tests.audio.signals import db, rms


def test_a_file_that_can_not_be_used_is_refused_with_the_command_that_converts_it(tmp_path: Path) -> None:
    path = tmp_path / "waiting room.wav"
    path.write_bytes(b"ID3" + bytes(4_000))
    with pytest.raises(ConfigurationError) as caught:
        load_hold_audio(path)
    message = str(caught.value)
    assert message.startswith(f"HOLD_AUDIO={path}: it is not a WAV file; ")
    assert f"sox '{path}' -r 16000 -c 1 -b 16 -e signed-integer 'waiting room-16000.wav'" in message


async def test_a_file_that_can_not_be_used_keeps_the_gateway_from_starting(tmp_path: Path) -> None:
    path = tmp_path / "hum.mp3"
    path.write_bytes(b"ID3" + bytes(100))
    settings = Settings(elevenlabs_agent_id="agent", port=0, hold_audio=path)
    with pytest.raises(ConfigurationError, match=r"HOLD_AUDIO=.*hum\.mp3.*not a WAV"):
        async with Gateway(GatewaySettings.of(settings)):
            pass


def test_a_file_that_is_not_there_or_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"HOLD_AUDIO=.*none\.wav: No such file"):
        load_hold_audio(tmp_path / "none.wav")
    with pytest.raises(ConfigurationError, match=r"HOLD_AUDIO=.*: Is a directory"):
        load_hold_audio(tmp_path)


def test_a_file_without_end_is_not_read_to_its_end() -> None:
    with pytest.raises(ConfigurationError, match="more than 256 MB"):
        load_hold_audio(Path("/dev/zero"))


@pytest.mark.skipif(shutil.which("sox") is None, reason="sox is not installed")
@pytest.mark.parametrize(
    "options",
    [["-r", "11025"], ["-e", "floating-point", "-b", "32"], ["-e", "mu-law"], ["-b", "24", "-c", "2"]],
)
def test_the_command_in_the_message_makes_a_file_that_can_be_used(options: list[str], tmp_path: Path) -> None:
    path = tmp_path / "office noise.wav"
    subprocess.run(["sox", "-n", *options, str(path), "synth", "2", "sine", "440", "gain", "-6"], check=True)
    try:
        hold_audio_file = load_hold_audio(path)
    except ConfigurationError as error:
        command = str(error).partition("convert it: ")[2]
        subprocess.run(command, shell=True, check=True, cwd=tmp_path, capture_output=True)
        hold_audio_file = load_hold_audio(tmp_path / "office noise-16000.wav")
    assert len(hold_audio_file.frames) == 100
    assert db(rms(hold_audio_file.frames.astype(float)) / (32_768 / np.sqrt(2))) == pytest.approx(-6, abs=0.2)
