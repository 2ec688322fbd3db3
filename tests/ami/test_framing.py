"""Bytes to messages of the manager interface."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.ami.framing import (
    GREETING,
    MAX_GREETING_BYTES,
    MAX_MESSAGE_BYTES,
    SEPARATOR,
    MessageBuffer,
)
from audiosocket_gw.errors import RemoteProtocolError

HELLO = GREETING + b"11.0.0\r\n"


def taken(buffer: MessageBuffer) -> list[bytes]:
    messages = []
    while (message := buffer.take()) is not None:
        messages.append(message)
    return messages


@given(
    st.lists(st.text("\r\nEvent: x", max_size=12).map(str.encode), max_size=20),
    st.lists(st.integers(0, 300), max_size=20),
    st.booleans(),
)
def test_pieces_make_no_difference(blocks: list[bytes], cuts: list[int], at_once: bool) -> None:
    stream = HELLO + SEPARATOR.join(blocks) + SEPARATOR
    whole = stream.removeprefix(HELLO).split(SEPARATOR)
    buffer = MessageBuffer()
    found = []
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for start, stop in pairwise(places):
        buffer.receive(stream[start:stop])
        if not at_once:
            found += taken(buffer)
    assert found + taken(buffer) == whole[:-1]


def test_byte_by_byte() -> None:
    buffer = MessageBuffer()
    found = []
    for number in HELLO + b"A: 1\r\nB: 2\r\n\r\n\r\n\r\nC: 3\r\n\r\n":
        buffer.receive(bytes([number]))
        found += taken(buffer)
    assert found == [b"A: 1\r\nB: 2", b"", b"C: 3"]


@pytest.mark.parametrize("end", [b"", SEPARATOR])
def test_long_message_is_an_error(end: bytes) -> None:
    buffer = MessageBuffer()
    buffer.receive(HELLO + b"x" * MAX_MESSAGE_BYTES)
    assert buffer.take() is None
    buffer.receive(b"y" + end)
    with pytest.raises(RemoteProtocolError, match="a message of more than 65536 bytes"):
        buffer.take()


@pytest.mark.parametrize(
    "start",
    [b"H", b"SSH-2.0-OpenSSH\r\n", b"Asterisk?", b"Asterisk\r\n", GREETING + b"1" * MAX_GREETING_BYTES],
)
def test_another_greeting_is_an_error(start: bytes) -> None:
    buffer = MessageBuffer()
    buffer.receive(start)
    with pytest.raises(RemoteProtocolError, match="not an Asterisk manager"):
        buffer.take()
