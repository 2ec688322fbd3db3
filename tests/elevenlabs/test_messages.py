"""The agent's messages: every one that is documented or was seen, and anything at all in their place."""

from __future__ import annotations

import json
from base64 import b64encode
from functools import partial
from typing import Any, NoReturn

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audiosocket_gw.elevenlabs import client_messages, messages
from audiosocket_gw.elevenlabs.json_values import count_values
from audiosocket_gw.elevenlabs.messages import (
    MAX_ID,
    MAX_NAME,
    MAX_TEXT,
    AgentResponse,
    AgentResponseCorrection,
    Audio,
    ClientToolCall,
    Interruption,
    Metadata,
    Other,
    Ping,
    QueueStatus,
    ServerError,
    UserTranscript,
    parse,
)
from audiosocket_gw.errors import RemoteProtocolError

AUDIO = b64encode(b"\x01\x02\x03").decode()

SERVER_MESSAGES: list[tuple[str, messages.ServerMessage]] = [
    (
        '{"type":"conversation_initiation_metadata","conversation_initiation_metadata_event":{'
        '"conversation_id":"conv_1","agent_output_audio_format":"pcm_8000",'
        '"user_input_audio_format":"ulaw_8000","later":1}}',
        Metadata("conv_1", "pcm_8000", "ulaw_8000"),
    ),
    (
        '{"type":"conversation_initiation_metadata","conversation_initiation_metadata_event":{'
        '"conversation_id":"conv_1","agent_output_audio_format":"pcm_8000"}}',
        Metadata("conv_1", "pcm_8000", "pcm_16000"),
    ),
    ('{"type":"conversation_initiation_metadata"}', Metadata("", "pcm_16000", "pcm_16000")),
    (
        f'{{"type":"audio","audio_event":{{"audio_base_64":"{AUDIO}","event_id":1,"alignment":'
        '{"chars":["H","i"],"char_start_times_ms":[0,60],"char_durations_ms":[60,80.5]}}}',
        Audio(b"\x01\x02\x03", 1, ((60, "H"), (140, "i"))),
    ),
    *(
        (
            f'{{"type":"audio","audio_event":{{"audio_base_64":"{AUDIO}","event_id":1,"alignment":{bad}}}}}',
            Audio(b"\x01\x02\x03", 1),
        )
        for bad in (
            "[]",
            '{"chars":"H"}',
            '{"chars":["H"],"char_start_times_ms":[0]}',
            '{"chars":[7],"char_start_times_ms":[0],"char_durations_ms":[60]}',
            '{"chars":["H"],"char_start_times_ms":["0"],"char_durations_ms":[60]}',
            '{"chars":["H"],"char_start_times_ms":[0],"char_durations_ms":[1e300]}',
            '{"chars":["H"],"char_start_times_ms":[0],"char_durations_ms":[NaN]}',
        )
    ),
    (
        f'{{"type":"audio","audio_event":{{"audio_base_64":"{AUDIO}","event_id":"12","alignment":null}}}}',
        Audio(b"\x01\x02\x03", 12),
    ),
    (
        '{"type":"audio","audio_event":{"audio_base_64":"","event_id":0,"is_final":true}}',
        Audio(b"", 0, is_final=True),
    ),
    ('{"type":"audio","audio_event":{"audio_base_64":"","event_id":"soon"}}', Audio(b"", None)),
    ('{"type":"audio","audio_event":{"audio_base_64":"AAA"}}', Audio(b"\0\0", None)),
    ('{"type":"audio","audio_event":{"audio_base_64":"AAAA\\r\\nAAA=\\r\\n"}}', Audio(bytes(5), None)),
    ('{"type":"audio","audio_event":{"audio_base_64":"-_-_"}}', Audio(b"\xfb\xff\xbf", None)),
    ('{"type":"guardrail_triggered"}', messages.GuardrailTriggered()),
    (
        '{"type":"client_tool_call","client_tool_call":{"tool_name":"a","tool_call_id":7}}',
        messages.ClientToolCall("a", "7", {}),
    ),
    (
        '{"type":"mcp_tool_call","mcp_tool_call":{"tool_name":"book","tool_call_id":"t1",'
        '"state":"awaiting_approval","approval_timeout_secs":300}}',
        messages.McpToolCall("book", "t1", "awaiting_approval"),
    ),
    ('{"type":"mcp_tool_call"}', messages.McpToolCall("", "", "")),
    ('{"type":"audio","audio_event":{"audio_base_64":"","event_id":true}}', Audio(b"", None)),
    ('{"type":"audio"}', Audio(b"", None)),
    ('{"type":"interruption","interruption_event":{"event_id":2}}', Interruption(2)),
    ('{"type":"interruption","interruption_event":{"event_id":0}}', Interruption(0)),
    ('{"type":"interruption"}', Interruption(None)),
    ('{"type":"ping","ping_event":{"event_id":7,"ping_ms":50}}', Ping(7, 50)),
    ('{"type":"ping","ping_event":{"event_id":0,"ping_ms":null}}', Ping(0)),
    ('{"type":"ping","ping_event":{"event_id":"7"}}', Ping("7")),
    ('{"type":"ping"}', Ping(None)),
    ('{"type":"ping","ping_event":{"event_id":7,"ping_ms":true}}', Ping(7)),
    ('{"type":"ping","ping_event":{"event_id":7,"ping_ms":-1}}', Ping(7)),
    ('{"type":"ping","ping_event":{"event_id":7,"ping_ms":1e300}}', Ping(7)),
    ('{"type":"ping","ping_event":{"event_id":7,"ping_ms":"50"}}', Ping(7)),
    (
        '{"type":"user_transcript","user_transcription_event":{"user_transcript":"Hi \\u00e9","event_id":2}}',
        UserTranscript("Hi é"),
    ),
    (
        '{"type":"user_transcript","user_transcription_event":{"user_transcript":"..."}}',
        Other("user_transcript"),
    ),
    ('{"type":"user_transcript"}', Other("user_transcript")),
    ('{"type":"agent_response","agent_response_event":{"agent_response":"Yes."}}', AgentResponse("Yes.")),
    (
        '{"type":"agent_response_correction","agent_response_correction_event":{'
        '"original_agent_response":"Yes, sir.","corrected_agent_response":"Yes","event_id":2}}',
        AgentResponseCorrection("Yes"),
    ),
    (
        '{"type":"client_tool_call","client_tool_call":{"tool_name":"avr_transfer","tool_call_id":"t1",'
        '"parameters":{"transfer_extension":600},"event_id":2,"expects_response":false}}',
        ClientToolCall("avr_transfer", "t1", {"transfer_extension": 600}),
    ),
    (
        '{"type":"client_tool_call","client_tool_call":{"tool_name":"avr_hangup","tool_call_id":"t2"}}',
        ClientToolCall("avr_hangup", "t2", {}),
    ),
    ('{"type":"queue_status","queue_status_event":{"status":"waiting"}}', QueueStatus("waiting")),
    (
        '{"type":"error","error_event":{"code":1002,"message":"too slow","error_type":"llm_timeout",'
        '"reason":"too slow","debug_message":"x","details":{}}}',
        ServerError(1002, "llm_timeout: too slow"),
    ),
    ('{"type":"error","message":"quota exceeded"}', ServerError(None, "quota exceeded")),
    ('{"type":"error","error":{"code":1008,"message":"no"}}', ServerError(1008, "no")),
    ('{"type":"error","error":{"code":true,"message":"no"}}', ServerError(None, "no")),
    ('{"type":"error","error_event":null,"message":"no"}', ServerError(None, "no")),
    ('{"type":"client_error","error_event":{"error_name":"bad"}}', ServerError(None, "bad")),
    ('{"type":"error"}', ServerError(None, "")),
    ('{"type":"vad_score","vad_score_event":{"vad_score":0.5}}', Other("vad_score")),
    (
        '{"type":"agent_response_complete","agent_response_complete_event":{}}',
        Other("agent_response_complete"),
    ),
    ('{"type":"of tomorrow"}', Other("of tomorrow")),
    ('{"type":7}', Other("")),
    ("{}", Other("")),
]


@pytest.mark.parametrize(("text", "message"), SERVER_MESSAGES)
def test_server_messages(text: str, message: messages.ServerMessage) -> None:
    assert parse(text) == message
    assert parse(text.encode()) == message


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hello",
        b"\xff\xfe\xfd",
        b'{"type":"ping"',
        b'{"type":"user_transcript","user_transcription_event":{"user_transcript":"\xff"}}',
        "[1]",
        "null",
        '"text"',
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"event_id":' + "9" * 5_000 + "}",
        '{"type":"audio","audio_event":{"audio_base_64":"?"}}',
        '{"type":"audio","audio_event":{"audio_base_64":"A"}}',
        '{"type":"audio","audio_event":{"audio_base_64":"AA=A"}}',
        '{"type":"audio","audio_event":{"audio_base_64":"\\u00e9AAA"}}',
        '{"type":"audio","audio_event":{"audio_base_64":"\\ud800"}}',
    ],
)
def test_what_is_no_message_is_refused(raw: str | bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="the agent sent"):
        parse(raw)


# Anything at all

# With lone surrogates, which JSON can write and UTF-8 can't; with NaN, which JSON can't and Python can.
texts = st.text(st.characters(), max_size=20)
numbers = st.integers() | st.integers(10**30, 10**40) | st.floats()
values = st.recursive(
    st.none() | st.booleans() | numbers | texts | st.just(AUDIO),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
TYPES = sorted(messages._READERS)
BODIES = sorted(
    {key for text, _ in SERVER_MESSAGES for key, value in json.loads(text).items() if isinstance(value, dict)}
)
FIELDS = sorted(
    {field for text, _ in SERVER_MESSAGES for body in BODIES for field in (json.loads(text).get(body) or {})}
)
bodies = st.dictionaries(st.sampled_from(FIELDS), values, max_size=6) | values
shaped = st.builds(
    lambda type_, rest: {**rest, "type": type_},
    st.sampled_from(TYPES),
    st.fixed_dictionaries({}, optional=dict.fromkeys(BODIES, bodies)),
)


def parse_or_refuse(raw: str | bytes) -> messages.ServerMessage | None:
    """Nothing else may happen than these two."""
    try:
        message = parse(raw)
    except RemoteProtocolError as error:
        assert str(error).startswith("the agent sent")
        return None
    assert isinstance(message, messages.ServerMessage)
    return message


@given(values | shaped)
def test_any_json_is_parsed_or_refused(value: Any) -> None:
    parse_or_refuse(json.dumps(value))
    parse_or_refuse(json.dumps(value, ensure_ascii=False))
    parse_or_refuse(json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass"))


@given(texts | st.binary())
def test_any_text_and_any_bytes_are_parsed_or_refused(raw: str | bytes) -> None:
    parse_or_refuse(raw)


@given(shaped)
def test_what_is_parsed_has_the_types_that_it_says(value: dict[str, Any]) -> None:
    match parse_or_refuse(json.dumps(value)):
        case Audio(audio, event_id):
            assert type(audio) is bytes
            assert event_id is None or type(event_id) is int
        case Interruption(event_id):
            assert event_id is None or type(event_id) is int
        case ClientToolCall(name, tool_call_id, parameters):
            assert (type(name), type(tool_call_id), type(parameters)) == (str, str, dict)
        case ServerError(code, text):
            assert code is None or isinstance(code, int)
            assert type(text) is str


# What the gateway sends


def strictly(data: bytes) -> Any:
    """Read JSON as RFC 8259 has it: no NaN, UTF-8."""

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(data.decode(), parse_constant=refuse)


@given(values)
@example(float("nan"))
@example({"deep": [float("inf")]})
def test_a_pong_is_json_whatever_was_pinged(event_id: Any) -> None:
    ping = parse(json.dumps({"type": "ping", "ping_event": {"event_id": event_id}}))
    assert isinstance(ping, Ping)
    pong = strictly(client_messages.pong(ping))
    assert pong.keys() == {"type", "event_id"}
    assert pong["type"] == "pong"
    if isinstance(event_id, str) and len(event_id) <= MAX_NAME:
        assert pong["event_id"] == event_id
    if type(event_id) is int and -MAX_ID <= event_id < MAX_ID:
        assert pong["event_id"] == event_id


@given(st.binary(max_size=700))
def test_caller_audio_has_no_type(audio: bytes) -> None:
    assert strictly(client_messages.user_audio(audio)) == {"user_audio_chunk": b64encode(audio).decode()}


@given(texts, texts, st.booleans())
def test_texts_of_any_kind_are_sent_as_they_are(first: str, second: str, is_error: bool) -> None:
    assert strictly(client_messages.tool_result(first, second, is_error=is_error)) == {
        "type": "client_tool_result",
        "tool_call_id": first,
        "result": second,
        "is_error": is_error,
    }
    assert strictly(client_messages.user_message(first)) == {"type": "user_message", "text": first}
    assert strictly(client_messages.contextual_update(first)) == {"type": "contextual_update", "text": first}


def test_the_initiation_has_only_what_was_asked_for() -> None:
    """An override that the agent doesn't allow ends the conversation."""
    assert strictly(client_messages.initiation({"call_uuid": "u"})) == {
        "type": "conversation_initiation_client_data",
        "dynamic_variables": {"call_uuid": "u"},
    }
    assert strictly(client_messages.initiation({}, {"agent": {"language": "de"}})) == {
        "type": "conversation_initiation_client_data",
        "conversation_config_override": {"agent": {"language": "de"}},
        "dynamic_variables": {},
    }


# Sizes


def test_texts_are_cut() -> None:
    endless = "x" * 100_000
    for message, kept in [
        ({"type": "user_transcript", "user_transcription_event": {"user_transcript": endless}}, MAX_TEXT),
        ({"type": "agent_response", "agent_response_event": {"agent_response": endless}}, MAX_TEXT),
        (
            {
                "type": "agent_response_correction",
                "agent_response_correction_event": {"corrected_agent_response": endless},
            },
            MAX_TEXT,
        ),
        ({"type": "error", "message": endless}, MAX_NAME),
        ({"type": "client_tool_call", "client_tool_call": {"tool_name": endless}}, MAX_NAME),
        ({"type": "mcp_tool_call", "mcp_tool_call": {"tool_name": endless, "state": endless}}, MAX_NAME),
        ({"type": "queue_status", "queue_status_event": {"status": endless}}, MAX_NAME),
        ({"type": endless}, MAX_NAME),
    ]:
        parsed = parse(json.dumps(message))
        texts = [
            value for value in map(partial(getattr, parsed), parsed.__match_args__) if isinstance(value, str)
        ]
        assert max(map(len, texts)) == kept, parsed


@pytest.mark.parametrize("event_id", [10**4_000, -(10**4_000), 2**63, "x" * 201])
def test_an_id_of_any_length_is_none(event_id: int | str) -> None:
    assert parse(json.dumps({"type": "ping", "ping_event": {"event_id": event_id}})) == Ping(None)
    interruption = {"type": "interruption", "interruption_event": {"event_id": event_id}}
    assert parse(json.dumps(interruption)) == Interruption(None)


def test_an_aligned_character_is_no_book() -> None:
    alignment = {
        "chars": ["a", "x" * 9, "b"],
        "char_start_times_ms": [0, 1, 2],
        "char_durations_ms": [1, 1, 1],
    }
    message = {"type": "audio", "audio_event": {"audio_base_64": AUDIO, "alignment": alignment}}
    assert parse(json.dumps(message)).alignment == ((1, "a"), (3, "b"))  # type: ignore[union-attr]


def test_a_long_message_with_few_values_is_parsed() -> None:
    audio = bytes(1_500_000)
    message = {"type": "audio", "audio_event": {"audio_base_64": b64encode(audio).decode(), "event_id": 1}}
    assert parse(json.dumps(message)) == Audio(audio, 1)


def test_a_long_message_may_have_an_alignment_of_many_minutes() -> None:
    count = 10_000
    alignment = {"chars": ["a"] * count, "char_start_times_ms": [1] * count, "char_durations_ms": [1] * count}
    message = {"type": "audio", "audio_event": {"audio_base_64": AUDIO, "alignment": alignment}}
    assert len(parse(json.dumps(message)).alignment) == count  # type: ignore[union-attr]


@pytest.mark.parametrize("member", ['"a":1', '{"a":1}', "[]", '""', "1", "[[[[]]]]", '{"":{"":{}}}'])
def test_a_message_with_too_many_values_is_not_parsed(member: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opening, closing = ("{", "}") if member.startswith('"a"') else ("[", "]")
    message = f'{{"type":"x","y":{opening}{",".join([member] * (2_000_000 // (len(member) + 1)))}{closing}}}'
    monkeypatch.setattr("audiosocket_gw.elevenlabs.messages.json.loads", None)
    for encoded in (message, message.encode()):
        with pytest.raises(RemoteProtocolError, match=r"more than 32,768 JSON values"):
            parse(encoded)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_tool_call_has_so_many_levels(opening: str) -> None:
    def tool_call(levels: int) -> str:
        closing = "]" if opening == "[" else "}"
        parameters = f'{{"x":{opening * levels}1{closing * levels}}}'
        return f'{{"type":"client_tool_call","client_tool_call":{{"parameters":{parameters}}}}}'

    assert isinstance(parse(tool_call(63)), ClientToolCall)
    for levels in (64, 300, 600):
        with pytest.raises(RemoteProtocolError, match="over 64 levels"):
            parse(tool_call(levels))


@given(values)
def test_no_json_has_more_values_than_twice_those_that_are_counted(value: Any) -> None:
    events: list[Any] = [{name: value} for name in ("audio_base_64", '"audio_base_64', 'audio_base_64":"')]
    for event in [*events, ["audio_base_64", value], {"audio_base_64": "AAA=", "more": value}]:
        message = {"type": "audio", "audio_event": event, "rest": value}
        for separators in ((",", ":"), (", ", ": ")):
            encoded = json.dumps(message, separators=separators).encode()
            assert values_in(message) <= 2 * count_values(encoded) + 1


def test_the_audio_of_a_message_is_skipped() -> None:
    message = b'{"type":"audio","audio_event":{"audio_base_64" : "%b","event_id":1}}'
    assert count_values(message % (b"," * 1_000)) == count_values(message % b"")
    assert count_values(b'["audio_base_64","' + b"," * 1_000 + b'"]') > 1_000


def values_in(value: Any) -> int:
    """Count the values, keys included."""
    if isinstance(value, dict):
        return 1 + sum(1 + values_in(each) for each in value.values())
    return 1 + sum(map(values_in, value)) if isinstance(value, list) else 1


def test_base64_in_lines_of_any_number_is_decoded() -> None:
    message = {"type": "audio", "audio_event": {"audio_base_64": "A A\n" * 400_000}}
    assert parse(json.dumps(message)) == Audio(bytes(600_000), None)
