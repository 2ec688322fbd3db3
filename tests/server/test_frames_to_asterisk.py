"""Whatever a call is like, each write to Asterisk is one whole frame that every release accepts."""

from __future__ import annotations

from typing import Any

import pytest

from audiosocket_gw.audio import FRAME_MS
from audiosocket_gw.protocol.audiosocket import HANGUP_FRAME, SAMPLE_RATES, Audio, Decoder, Kind, encode_audio
from audiosocket_gw.server.connection import AudioSocketConnection
from audiosocket_gw.testing.simulator.turn import Close
from tests.harness.audio import ramp
from tests.harness.gateway import running_gateway


class Writes:
    """What the gateway gave to the sockets of its callers, write by write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.data: list[bytes] = []
        made = AudioSocketConnection.connection_made

        def connection_made(connection: AudioSocketConnection, transport: Any) -> None:
            made(connection, transport)
            write = transport.write

            def record(data: bytes) -> None:
                self.data.append(bytes(data))
                write(data)

            monkeypatch.setattr(transport, "write", record)

        monkeypatch.setattr(AudioSocketConnection, "connection_made", connection_made)

    def check(self) -> list[Audio]:
        """Check each write; return the frames of audio."""
        *before, last = self.data
        assert last == HANGUP_FRAME
        frames = []
        for data in before:
            decoder = Decoder(identified=True)
            (frame,) = decoder.receive(data)
            assert decoder.pending == 0
            assert isinstance(frame, Audio)
            assert len(frame.payload) == SAMPLE_RATES[frame.kind] * FRAME_MS // 1000 * 2
            frames.append(frame)
        return frames


@pytest.mark.parametrize("kind", [Kind.SLIN, Kind.SLIN16, Kind.SLIN44, Kind.SLIN192])
async def test_each_write_is_one_whole_frame(monkeypatch: pytest.MonkeyPatch, kind: Kind) -> None:
    writes = Writes(monkeypatch)
    async with running_gateway() as harness:
        line, conversation = await harness.call()
        async with line:
            for size in (0, 1, 2, 3, 160, 320, SAMPLE_RATES[kind] // 25):
                line.send(encode_audio(kind, bytes(size)) if size else bytes((kind, 0, 0)))
            for size in (1, 319, 321, 1_601, 4_801):  # the last of them ends in the middle of a frame
                await conversation.send_audio(ramp(3_000)[:size])
            await line.hears_ms(60)
            await conversation.interrupt()
            await conversation.send_audio(ramp(3_000)[:999])
            await conversation.end(Close())
            await line.ended.wait()
    frames = writes.check()
    assert {frame.kind for frame in frames} <= {Kind.SLIN, kind}
    assert any(any(frame.payload) for frame in frames)
