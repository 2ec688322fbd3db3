"""A real SIP phone, baresip: it dials, plays a WAV file and records what it hears."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.asterisk.lab import SIP_PASSWORD, Lab, Ports
from tests.asterisk.signals import write_wav

MODULES = Path("/usr/lib/baresip/modules")

CONFIG = """\
poll_method epoll
sip_listen 127.0.0.1:{sip_port}
rtp_ports {rtp_first}-{rtp_last}
audio_source aufile,{home}/mouth.wav
audio_player aubridge,ear
snd_path {home}
module_path {modules}
module stdio.so
module g711.so
module g722.so
module aufile.so
module aubridge.so
module sndfile.so
module_app account.so
module_app menu.so
"""
"""aubridge takes what the phone plays (and drops it), sndfile writes it to ``dump-*-dec.wav``."""


class Phone:
    """The phone 1001 of the shipped pjsip.conf, in the directory ``home``.

    ``beside`` goes before its command line: what puts it into the network that ``ports`` belong to.
    """

    def __init__(self, ports: Ports, home: Path, beside: Sequence[str] = ()) -> None:
        self._ports = ports
        self._home = home
        self._beside = beside

    @staticmethod
    def is_installed() -> bool:
        return shutil.which("baresip") is not None and MODULES.is_dir()

    @classmethod
    def at_hand(cls, lab: Lab, home: Path) -> Phone:
        """Return a phone; where there is none the test is skipped, or fails if ``CI=true``."""
        if not cls.is_installed():
            reason = "no SIP phone here: apt-get install baresip"
            if os.environ.get("CI") == "true":
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)
        return cls(lab.ports, home)

    @property
    def heard(self) -> Path:
        """The WAV file of all that the phone heard, at its codec's rate; complete when the call is over."""
        (dump,) = self._home.glob("dump-*-dec.wav")
        return dump

    def output(self) -> str:
        return (self._home / "output").read_text(errors="replace")

    def _configure(self, mouth: bytes, codec: str, password: str) -> None:
        ports = self._ports
        # aufile doesn't resample: a file of another rate than the codec's ends the call.
        write_wav(self._home / "mouth.wav", mouth, int(codec.split("/")[1]))
        (self._home / "config").write_text(
            CONFIG.format(
                home=self._home,
                modules=MODULES,
                sip_port=ports.phone,
                rtp_first=ports.phone_rtp,
                rtp_last=ports.phone_rtp + 3,
            )
        )
        account = f"<sip:1001@127.0.0.1:{ports.sip};transport=udp>;auth_pass={password};regint=0"
        (self._home / "accounts").write_text(f"{account};audio_codecs={codec}\n")

    @asynccontextmanager
    async def call(
        self, extension: str, mouth: bytes, codec: str = "PCMU/8000/1", password: str = SIP_PASSWORD
    ) -> AsyncIterator[None]:
        """Dial ``extension`` and say ``mouth`` (16-bit, at the codec's rate); the block's end ends the call.

        ``codec`` is baresip's name for it: ``PCMU/8000/1``, ``PCMA/8000/1``, ``G722/16000/1``; or several,
        with commas between them, of which the first must be the one that is taken.
        """
        self._configure(mouth, codec, password)
        address = f"sip:{extension}@127.0.0.1:{self._ports.sip}"
        # baresip wants a terminal at its standard input.
        keyboard, terminal = os.openpty()
        with (self._home / "output").open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *self._beside,
                "baresip",
                "-f",
                self._home,
                "-e",
                f"/dial {address}",
                stdin=terminal,
                stdout=output,
                stderr=output,
            )
        os.close(terminal)
        try:
            yield
        finally:
            process.terminate()
            await process.wait()
            os.close(keyboard)
