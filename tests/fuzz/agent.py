"""The agent's messages: values of the declared types, whatever comes; and what is recorded of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from audiosocket_gw.causes import (
    ConnectionBroken,
    NotAdmitted,
    NotReading,
    QueueTimedOut,
    Silent,
    WebSocketClosed,
    WebSocketRefused,
)
from audiosocket_gw.elevenlabs import messages
from audiosocket_gw.elevenlabs.session import Session
from audiosocket_gw.elevenlabs.signed_url import check_signed_url, domain_of
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.errors import RemoteProtocolError
from audiosocket_gw.flight.agent_message import give_message, take_message
from audiosocket_gw.testing.simulator import client_messages
from tests.elevenlabs.test_incoming import FRAMES, Agent
from tests.elevenlabs.test_messages import SERVER_MESSAGES
from tests.fuzz.choices import Choices
from tests.fuzz.target import Target
from tests.harness.agent_peer import frame

TYPES = tuple(dict.fromkeys(str(json.loads(text).get("type", "")) for text, _ in SERVER_MESSAGES))
TEXTS = (*TYPES, "AAAA", "AAA", "-_-_", "A", "waiting", "admitted", "timed_out", "pcm_8000", "12", "...")


def keys_of(value: Any) -> Iterator[str]:
    match value:
        case dict():
            yield from value
            for member in value.values():
                yield from keys_of(member)
        case list():
            for member in value:
                yield from keys_of(member)


def _keys(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({key for text in texts for key in keys_of(json.loads(text))}))


KEYS = _keys(text for text, _ in SERVER_MESSAGES)


HINTS = {
    kind: get_type_hints(kind)
    for kind in (*get_args(messages.ServerMessage), *get_args(client_messages.ClientMessage))
}
"""The types of the fields of each message."""


def is_a(value: Any, hint: Any) -> bool:
    """Return whether the value has the type; a bool is no number."""
    if isinstance(hint, UnionType):
        return any(is_a(value, one) for one in get_args(hint))
    origin = get_origin(hint)
    if origin is tuple:
        first, *others = get_args(hint)
        if others == [...]:
            return isinstance(value, tuple) and all(is_a(item, first) for item in value)
        return isinstance(value, tuple) and all(map(is_a, value, (first, *others)))
    if origin is not None:
        return isinstance(value, origin)
    return type(value) is hint or (hint is type(None) and value is None)


def assert_typed(message: Any) -> None:
    hints = HINTS[type(message)]
    for field in fields(message):
        value = getattr(message, field.name)
        assert is_a(value, hints[field.name]), f"{type(message).__name__}.{field.name} is {value!r}"


def _text(choices: Choices) -> bytes:
    """Return a message: bytes as they are, or JSON."""
    if choices.flag():
        return choices.some(300)
    content = choices.json_object(KEYS, TEXTS)
    if choices.flag():
        kind = choices.of(TYPES)
        wrapper = choices.of(KEYS)
        content = {"type": kind, wrapper: content}
    return json.dumps(content).encode(errors="surrogatepass")


def check(data: bytes) -> None:
    """Have some messages arrive, and the connection end."""
    choices = Choices(data)
    session = Session()
    for _ in choices.repeat(20):
        text = _text(choices)
        try:
            message = messages.parse(text)
        except RemoteProtocolError:
            message = None
        if message is not None:
            assert_typed(message)
            check_record(text, message)
        _check_session(session, text, message)
    for cause in (
        WebSocketClosed(choices.number(5_000), choices.text(20), ""),
        WebSocketRefused(choices.number(600), choices.text(20)),
        ConnectionBroken("the agent", choices.text(20)),
        Silent(9),
        NotReading(),
        NotAdmitted(1),
        QueueTimedOut(),
        "text",
    ):
        end = session.end_of(cause)
        assert isinstance(end, CallEnd)
        assert isinstance(end.reason, EndReason)
        assert len(str(end.cause)) < 3_000


def _check_session(session: Session, text: bytes, message: messages.ServerMessage | None) -> None:
    """The session answers pings, each once, and passes on all but those without a round trip, and a
    second metadata.
    """
    had_started = session.started
    try:
        passed = session.receive(text)
    except RemoteProtocolError:
        assert message is None
        passed = None
    replies = session.messages_to_send()
    is_repeated = isinstance(message, messages.Metadata) and had_started
    if isinstance(message, messages.Ping):
        (reply,) = replies
        assert json.loads(reply)["event_id"] == message.event_id
        assert passed == (None if message.rtt_ms is None else message)
    else:
        assert not replies
        assert passed == (None if is_repeated else message)


def check_record(text: bytes, message: messages.ServerMessage) -> None:
    """A recorded message is, for a replay, what the agent sent: its type, its id and its audio."""
    again = messages.parse(give_message(take_message(0, text)))
    assert type(again) is type(message)
    match again, message:
        case messages.Audio(), messages.Audio():
            assert again.audio == message.audio
            assert again.event_id == message.event_id
            assert again.is_final == message.is_final
        case messages.Interruption(), messages.Interruption():
            assert again == message


def check_client_message(data: bytes) -> None:
    """The simulated agent rejects a message that ElevenLabs would reject, and fails at none."""
    choices = Choices(data)
    content = choices.json_object(CLIENT_KEYS, CLIENT_TEXTS)
    text = choices.rest().decode(errors="replace") if choices.flag() else json.dumps(content)
    try:
        message = client_messages.parse(client_messages.decode(text))
    except RemoteProtocolError:
        return
    assert_typed(message)


CLIENT_MESSAGES = (
    '{"user_audio_chunk":"AAAA"}',
    '{"type":"pong","event_id":1}',
    '{"type":"client_tool_result","tool_call_id":"t","result":"r","is_error":false}',
    '{"type":"user_message","text":"Hi"}',
    '{"type":"multimodal_message","text":{"text":"a"},"files":[{"file_id":"f"}],"file":{"file_id":"f"}}',
    '{"type":"contextual_update","text":"a"}',
    '{"type":"feedback","event_id":1,"score":"like"}',
    '{"type":"mcp_tool_approval_result","tool_call_id":"t","is_approved":true}',
    '{"type":"user_activity"}',
    '{"type":"conversation_initiation_client_data","dynamic_variables":{"system__x":1},'
    '"conversation_config_override":{"agent":{"prompt":{"llm":"x"}}},"user_id":"u","source_info":{},'
    '"custom_llm_extra_body":{},"procedure_ids":["p"]}',
)
CLIENT_KEYS = _keys(CLIENT_MESSAGES)
CLIENT_TEXTS = tuple(json.loads(text).get("type", "AAAA") for text in CLIENT_MESSAGES)


def check_websocket(data: bytes) -> None:
    """The same messages however the bytes are cut; no step does, or keeps, more than one frame's worth."""
    choices = Choices(data)
    is_open, how = choices.flag(), Choices(choices.take(6))
    stream = b"".join(_frame(choices) for _ in choices.repeat(choices.number(12))) + choices.rest()
    whole, pieces = Agent(is_open=is_open), Agent(is_open=is_open)
    if not is_open:
        stream = stream.replace(b"RESPONSE", whole.response)
    outcomes = []
    for agent, parts in ((whole, [stream]), (pieces, how.cut(stream))):
        if not is_open and b"Sec-WebSocket-Accept" in stream:
            parts = [part.replace(whole.response, agent.response) for part in parts]
        outcomes.append(_send(agent, parts))
        assert agent.steps <= LINES_OF_RESPONSE + len(stream)
        assert agent.most_pongs <= 140
    if is_open:
        assert outcomes[0] == outcomes[1]
        assert whole.messages == pieces.messages
    assert sum(map(len, whole.messages)) <= len(stream)


def _send(agent: Agent, parts: Iterable[bytes]) -> str:
    try:
        for part in parts:
            agent.send(part)
    except RemoteProtocolError as error:
        return str(error)
    return agent.core.state.name


def _frame(choices: Choices) -> bytes:
    return frame(choices.number(16), choices.some(130), fin=choices.flag())


LINES_OF_RESPONSE = 10

BASES = ("https://api.elevenlabs.io", "http://localhost:8080", "https://192.0.2.7")


def check_signed(data: bytes) -> None:
    """The agent's URL is rejected, or its host, as `websockets` reads it, is in the owner's domain."""
    choices = Choices(data)
    base = choices.of(BASES)
    url = choices.rest().decode(errors="surrogateescape")
    try:
        check_signed_url(url, base)
    except ValueError as error:
        assert str(error).isprintable()
        return
    try:
        parsed = parse_uri(url)
    except InvalidURI:
        return
    host, own = parsed.host.rstrip("."), urlsplit(base).hostname or ""
    assert host == own or f".{host}".endswith(f".{domain_of(own) or 'no domain'}")
    assert parsed.secure or not base.startswith("https")
    assert parsed.username is None


def frames() -> Iterator[bytes]:
    yield b"\1" + bytes(6) + b"\0" + b"".join(FRAMES[:4])
    yield b"\1" + b"\2" * 6 + b"\0" + b"".join(FRAMES[5:])
    yield b"\0" + bytes(6) + b"\0RESPONSE" + b"".join(FRAMES[5:])
    yield b"\1" + bytes(6) + b"\6\1\4abcd\0\0\0\0\x09\0\1\0\2ef\1\x08\2\3\xe8\1"


def signed_urls() -> Iterator[bytes]:
    yield b"\0wss://api.eu.residency.elevenlabs.io/v1/convai?agent_id=a&token=t"
    yield b"\1ws://localhost:8080/"
    yield b"\2wss://192.0.2.7:443"
    yield b"\0wss://user@elevenlabs.io\\@evil.example/"


def server_texts() -> Iterator[bytes]:
    for text, _ in SERVER_MESSAGES:
        if len(text) <= 300:
            yield b"\1" + len(text).to_bytes(2, "little") + text.encode()


def client_texts() -> Iterator[bytes]:
    for text in CLIENT_MESSAGES:
        yield b"\0\5\1" + text.encode()  # an object of one member, and the text behind it


TARGETS = (
    Target("agent-messages", check, server_texts, tuple(f'"{word}"'.encode() for word in (*KEYS, *TEXTS))),
    Target("websocket", check_websocket, frames, (b"RESPONSE", b"HTTP/1.1 101 x\r\n", b"\r\n\r\n"), 2_000),
    Target("signed-url", check_signed, signed_urls, (b"wss://", b"elevenlabs.io", b"@", b"[", b"]"), 200),
    Target("client-messages", check_client_message, client_texts, tuple(map(str.encode, CLIENT_KEYS))),
)
