"""The agent's bytes become messages, one frame at a time, however they are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.protocol import State
from websockets.uri import parse_uri

from audiosocket_gw.elevenlabs.incoming import MAX_MESSAGE, Incoming, frame_size
from audiosocket_gw.errors import RemoteProtocolError
from tests.harness.agent_peer import BINARY, CONTINUATION, PING, PONG, TEXT, accepting, closing, frame


class Agent:
    """A connection without a socket. ``pieces`` are the messages of each step."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.core = ClientProtocol(parse_uri("ws://h/"), max_size=MAX_MESSAGE)
        self.incoming = Incoming(self.core)
        self.messages: list[bytes] = []
        self.steps = 0
        self.most_pongs = 0
        request = self.core.connect()
        self.core.send_request(request)
        self.core.data_to_send()
        self.response = accepting(request.headers["Sec-WebSocket-Key"].encode())
        if is_open:
            self.send(self.response)

    def send(self, data: bytes, now: float = 0.0) -> None:
        self.incoming.receive(memoryview(data))
        while self.incoming.has_more:
            message = self.incoming.step(now)
            self.steps += 1
            self.most_pongs = max(self.most_pongs, len(self.core.data_to_send()))
            if message is not None:
                self.messages.append(message)


FRAMES = [
    frame(TEXT, b'{"a":1}'),
    frame(PING, b"are you there"),
    frame(TEXT, b"x" * 125),
    frame(TEXT, b"x" * 126),
    frame(BINARY, b"y" * 70_000),
    frame(PONG),
    frame(TEXT, b"be", fin=False)
    + frame(PING)
    + frame(CONTINUATION, b"", fin=False)
    + frame(CONTINUATION, b"gun"),
    frame(TEXT),
    closing(1000, "bye"),
]
MESSAGES = [b'{"a":1}', b"x" * 125, b"x" * 126, b"y" * 70_000, b"begun", b""]


@given(cuts=st.lists(st.integers(0, 71_000), max_size=20))
def test_the_cuts_do_not_matter(cuts: list[int]) -> None:
    agent = Agent(is_open=False)
    stream = agent.response + b"".join(FRAMES)
    ends = sorted({min(cut, len(stream)) for cut in cuts} | {len(stream)})
    for start, end in zip([0, *ends], ends, strict=False):
        agent.send(stream[start:end])
    assert agent.messages == MESSAGES
    assert agent.core.close_rcvd is not None


def test_single_bytes() -> None:
    agent = Agent(is_open=False)
    for byte in agent.response + b"".join(FRAMES[:4]):
        agent.send(bytes([byte]))
    assert agent.messages == MESSAGES[:3]


def test_a_step_handles_one_frame_however_many_have_come() -> None:
    agent = Agent()
    agent.steps = 0
    agent.send(frame(PING) * 3_000)
    assert agent.steps == 3_000
    assert agent.most_pongs == 1


def test_empty_fragments_of_any_number_take_no_memory_and_no_message() -> None:
    agent = Agent()
    agent.send(frame(TEXT, b"a", fin=False))
    for second in range(100):
        agent.send(frame(CONTINUATION, fin=False) * 500, float(second))
    assert agent.messages == []
    agent.send(frame(CONTINUATION, b"b"), 100.0)
    assert agent.messages == [b"ab"]


@pytest.mark.parametrize("size", [MAX_MESSAGE, MAX_MESSAGE + 1])
def test_a_message_has_a_largest_size_whole_or_in_fragments(size: int) -> None:
    body = b"x" * size
    fragments = [
        frame(TEXT if i == 0 else CONTINUATION, body[i : i + 65_536], fin=False)
        for i in range(0, size, 65_536)
    ]
    for stream in (frame(TEXT, body), b"".join(fragments) + frame(CONTINUATION)):
        agent = Agent()
        agent.send(stream)
        assert (agent.messages == [body]) == (size <= MAX_MESSAGE)
        assert (agent.core.parser_exc is None) == (size <= MAX_MESSAGE)


@pytest.mark.parametrize(
    "flood", [frame(PING), frame(PONG), frame(TEXT, b"{}"), frame(CONTINUATION, fin=False)]
)
def test_a_flood_of_any_frame_is_an_error(flood: bytes) -> None:
    agent = Agent()
    agent.send(frame(TEXT, fin=False) if flood[0] == 0 else b"")
    with pytest.raises(RemoteProtocolError, match="floods"):
        agent.send(flood * 10_001)


def test_a_message_counts_by_its_values() -> None:
    """500 messages of 60 KB are few, but parsing 30,000 lists in each takes seconds."""
    agent = Agent()
    with pytest.raises(RemoteProtocolError, match="floods"):
        for _ in range(500):
            agent.send(frame(TEXT, b"[" + b"[]," * 20_000 + b"[]]"))
    assert len(agent.messages) < 20


def test_audio_does_not_count_by_its_length() -> None:
    agent = Agent()
    for _ in range(150):
        agent.send(frame(TEXT, b'{"type":"audio","audio_event":{"audio_base_64":"' + b"A" * 100_000 + b'"}}'))
    assert len(agent.messages) == 150


@pytest.mark.parametrize("last", [closing(1000), frame(3)], ids=["closed", "broken"])
def test_after_the_end_nothing_is_kept(last: bytes) -> None:
    agent = Agent()
    agent.send(last)
    agent.steps = 0
    for _ in range(100):
        agent.send(frame(PING) * 500)
    assert agent.steps == 0
    assert agent.core.state is State.CLOSING


def test_what_is_discarded_is_not_handled() -> None:
    agent = Agent()
    agent.incoming.close()
    agent.send(frame(TEXT, b"{}"))
    assert agent.messages == []


@given(st.binary(max_size=70_000))
def test_the_size_of_a_frame(payload: bytes) -> None:
    encoded = frame(TEXT, payload)
    assert frame_size(encoded) == len(encoded)
    header = len(encoded) - len(payload)
    assert [frame_size(encoded[:size]) for size in range(header)] == [0] * header
    assert frame_size(encoded[:header]) == len(encoded)
