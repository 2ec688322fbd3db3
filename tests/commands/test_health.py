"""The container's health check, against sockets of this process as the kernel shows them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from audiosocket_gw.commands.health import complaint


def check(port: int) -> subprocess.CompletedProcess[str]:
    """Run the check as the image does."""
    return subprocess.run(
        [sys.executable, "-I", "-m", "audiosocket_gw.commands.health"],
        env={**os.environ, "PORT": str(port)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_healthy_while_somebody_listens_and_accepts(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        port = listener.getsockname()[1]
        result = check(port)
        assert (result.returncode, result.stdout) == (0, f"listening on port {port}\n")
        with socket.create_connection((host, port)):
            # The kernel has completed the connection; this process doesn't accept it.
            result = check(port)
            assert (result.returncode, result.stdout) == (
                1,
                f"1 connections to port {port} wait to be accepted\n",
            )
            listener.accept()[0].close()
        assert check(port).returncode == 0
    result = check(port)
    assert (result.returncode, result.stdout) == (1, f"nothing listens on port {port}\n")


def test_a_connection_to_the_port_is_no_listener() -> None:
    established = "   1: 0100007F:1389 0100007F:C3D0 01 00000000:00000000 00:00000000 00000000 0 0 1 1 0 20"
    assert complaint([established], 5001) == "nothing listens on port 5001"
    listening = "   0: 00000000:1389 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1 1 0 100"
    assert complaint([listening, established], 5001) is None
    assert complaint([listening], 5002) == "nothing listens on port 5002"


def test_port_is_the_gateways_default_when_none_is_set() -> None:
    from audiosocket_gw.commands.health import DEFAULT_PORT
    from audiosocket_gw.settings import Settings

    assert Settings.model_fields["port"].default == int(DEFAULT_PORT)
