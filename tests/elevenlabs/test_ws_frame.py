"""The frames built here against `websockets`' own server."""

from __future__ import annotations

from random import Random

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from audiosocket_gw.elevenlabs import ws_frame as masking
from audiosocket_gw.elevenlabs.ws_frame import DRAW, KEY_BYTES, text_frame


def received(data: bytes) -> list[Frame]:
    """Return the frames that a server finds in ``data``."""
    server = ServerProtocol(state=State.OPEN)
    server.receive_data(data)
    assert server.parser_exc is None
    return [event for event in server.events_received() if isinstance(event, Frame)]


@pytest.mark.parametrize("size", [0, 1, 2, 5, 125, 126, 127, 460, 65_535, 65_536, 300_001])
def test_a_server_reads_messages_of_every_size(size: int) -> None:
    message = (b'{"user_audio_chunk":"AAE="}' * (size // 27 + 1))[:size]
    frames = received(text_frame(message) + text_frame(b"the next"))
    assert frames == [Frame(Opcode.TEXT, message), Frame(Opcode.TEXT, b"the next")]


def test_the_keys_are_those_that_the_system_drew_each_of_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(6455)
    drawn = bytearray()

    def draw(size: int) -> bytes:
        keys = random.randbytes(size)
        drawn.extend(keys)
        return keys

    monkeypatch.setattr("audiosocket_gw.elevenlabs.ws_frame.os.urandom", draw)
    monkeypatch.setattr(masking, "_next_key", masking._draw_keys().__next__)
    # A masked zero is the key itself.
    used = [text_frame(bytes(KEY_BYTES))[-KEY_BYTES:] for _ in range(2 * DRAW + 1)]
    assert len(drawn) == 3 * DRAW * KEY_BYTES
    assert b"".join(used) == drawn[: len(used) * KEY_BYTES]
