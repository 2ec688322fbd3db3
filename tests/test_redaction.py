"""Masking: nothing that must not be written down is, and what a replay needs stays."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.elevenlabs import client_messages, messages
from audiosocket_gw.errors import RemoteProtocolError
from audiosocket_gw.flight.agent_message import give_message, take_message
from audiosocket_gw.redaction import (
    CUT,
    MAX_NUMBERS,
    MAX_TEXT,
    OVERLAP,
    PIECE,
    mask_json,
    mask_numbers,
    mask_own_text,
    mask_text,
)

separators = st.sampled_from(
    [
        *(
            "",
            " ",
            "-",
            ".",
            "/",
            " (",
            ") ",
            "\xa0",
            " - ",
            ", ",
            "_",
            ":",
            "\u00b7",
            " ... ",
            "\u2026 ",
            "*",
        ),
        *("\u2011", "\u2014", " \u2013 ", "\u200b", "\u2060", "\n  "),
        *("%20", "%2D", "%C2%A0", r"\n", r"\xa0", r"\u00a0", "&nbsp;", "&#8209;", "<br>"),
    ]
)
digits = st.integers(0, 9).map(str)
words = st.text("abc XYZ,;:!äß", max_size=20)
secrets = st.text("abcXYZ", min_size=16, max_size=40)


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """A telephone number as people write it."""
    number = draw(st.sampled_from(["", "+", "("])) + draw(digits)
    for _ in range(draw(st.integers(4, 14))):
        number += draw(separators) + draw(digits)
    return number


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def digit_runs(text: str) -> list[str]:
    return re.findall(r"\d(?:[\W_]{0,6}\d){4,}", text)


def shape(value: Any) -> Any:
    """The structure of a JSON value without its scalars, but for their types."""
    match value:
        case dict():
            return [dict, *map(shape, value.values())]
        case list():
            return [shape(item) for item in value]
        case _:
            return type(value)


@given(words, numbers(), words)
def test_no_number_survives_and_nothing_else_changes(before: str, number: str, after: str) -> None:
    masked = mask_numbers(before + number + after)
    assert masked == before + re.sub(r"\d", "#", number) + after


@given(st.text())
def test_a_text_keeps_its_length_but_for_secrets(text: str) -> None:
    masked = mask_numbers(text)
    assert len(masked) == len(text)
    assert digit_runs(masked) == []


@given(json_values)
def test_a_message_keeps_its_structure(value: Any) -> None:
    assert shape(mask_json(value)) == shape(value)


@given(json_values, st.booleans())
def test_what_is_masked_stays_masked(value: Any, free: bool) -> None:
    masked = mask_json(value, free=free)
    assert mask_json(masked, free=free) == masked


@given(numbers(), st.sampled_from(["parameters", "dynamic_variables", "user_transcription_event", "x"]))
def test_no_number_survives_in_a_message(number: str, key: str) -> None:
    hidden = json.dumps({"inner": [number, {"deep": f"call {number} now"}]})
    message = {key: {"told": number, "list": [number, "and more"], "json": hidden, f"ring {number}": 1}}
    assert digit_runs(json.dumps(mask_json(message), ensure_ascii=False)) == []


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("call +49 170 1234567 today", "call +## ### ####### today"),
        ("(0170) 123-45.67", "(####) ###-##.##"),
        ("extension 1001, room 12", "extension 1001, room 12"),
        ("1 2 3 4 5", "# # # # #"),
        ("a1b2c3d4e5", "a1b2c3d4e5"),
        ("11111111-2222-3333-4444-555555555555", "11111111-2222-3333-4444-555555555555"),
        ("closed with 1011 Internal error", "closed with 1011 Internal error"),
        ("https://bob:s3cret@example.com/x", "https://***@example.com/x"),
        (
            "wss://h/c?a=a1&conversation_signature=cvtkn_abc&x=1",
            "wss://h/c?a=a1&conversation_signature=***&x=1",
        ),
        ("https://h/?X-Amz-Signature=ab%20c d", "https://h/?X-Amz-Signature=*** d"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer ***"),
        ("Authorization: Token abcdef, and more", "Authorization: Token ***, and more"),
        ("the key: password: hunter2, and more", "the key: ***, and more"),
        ("key= my_password: hunter2 and more", "key= *** and more"),
        ('key="secret": "hunter2", and more', 'key="***", and more'),
        ("key=1 2 3token: hunter2 and more", "key=*** and more"),
        ("a bearer password: hunter2 and more", "a bearer *** and more"),
        ("?my_key=token: hunter2 and more", "?my_key=*** and more"),
        ("token: abc: PIN is 1 2 3 4", "token: *** is ***"),
        ("key= basic abcdefgh : key= basic hunter2", "key= basic *** ***"),
        ("xi-api-key: sk_0123456789abcdef01234567", "xi-api-key: ***"),
        ("my key is sk_abcdefabcdefabcdefabcdef.", "my key is ***."),
        ('{"password": "hunter2", "n": 1', '{"password": "***", "n": 1'),
        ('{"result": "{\\"pin\\": 1234, \\"n\\": 1', '{"result": "{\\"pin\\": ***, \\"n\\": 1'),
        ("call 079, 123, 45, 67", "call ###, ###, ##, ##"),
        ("0, 7, 9 ... 1, 2", "#, #, # ... #, #"),
        ("on 3 May at 12:30", "on 3 May at 12:30"),
        ("pin: 1234", "pin: ***"),
        ("Your PIN is 1, 2, 3, 4.", "Your PIN is ***."),
        ("the PINCode=12ab; cvv 123", "the PINCode=***; cvv ***"),
        ("pinned 12 shopping tips", "pinned 12 shopping tips"),
        (
            "5: 11111111-2222-3333-4444-555555555555, 12345",
            "5: 11111111-2222-3333-4444-555555555555, #####",
        ),
    ],
)
def test_a_text_is_masked(text: str, masked: str) -> None:
    assert mask_text(text) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("127.0.0.1:5001", "127.0.0.1:5001"),
        ("('127.0.0.1', 45001) refused", "('127.0.0.1', 45001) refused"),
        ("[2001:db8::7]:50010, [::1]:5001.", "[2001:db8::7]:50010, [::1]:5001."),
        ("https://user:pw@192.0.2.7:8080/?token=abc", "https://***@192.0.2.7:8080/?token=***"),
        ("+49 171 1234567 at 192.0.2.7:40112", "+## ### ####### at 192.0.2.7:40112"),
        ("192.0.2.7 0171 12345", "192.0.2.7 #### #####"),
        ("030.123.456.78", "###.###.###.##"),
        ("1.2.3.4.5.6", "#.#.#.#.#.#"),
        ("192.0.2.7-12345", "###.#.#.#-#####"),
        ("192.0.2.7:123456", "192.0.2.7:######"),
        ("x" * MAX_NUMBERS + "127.0.0.1", "x" * MAX_NUMBERS + "###.#.#.#"),
    ],
)
def test_a_sentence_of_the_gateway_keeps_addresses(text: str, masked: str) -> None:
    assert mask_own_text(text) == masked


def test_a_long_text_loses_all_digits() -> None:
    text = "a 1 " * PIECE + "password=hunter2"
    assert mask_text(text) == "a # " * PIECE + "password=***"


@given(
    st.sampled_from(
        ["api_key=", "password: ", "?my_token=", "Bearer ", "sk_", 'pin": "', "Authorization: Basic "]
    ),
    secrets,
    st.integers(-80, 80),
    st.integers(1, 3),
)
def test_a_secret_that_lies_across_two_pieces_is_masked(
    name: str, secret: str, shift: int, pieces: int
) -> None:
    before = ("x " * PIECE)[: pieces * PIECE + shift] + " "
    assert mask_text(f"{before}{name}{secret} after") in (
        f"{before}{name}*** after",
        f"{before}*** after",  # an API key, name and all
    )


def test_a_secret_longer_than_a_piece_is_masked_to_its_end() -> None:
    assert mask_text("key=" + "s3cr-" * PIECE + " after " + "x" * PIECE) == "key=*** after " + "x" * PIECE
    assert mask_text("key=" + "s3cr-" * PIECE) == "key=***"


def test_a_userinfo_across_two_pieces_is_masked() -> None:
    before = "x" * (PIECE - 12)
    assert mask_text(f"{before} https://bob:s3cret@example.com") == f"{before} https://***@example.com"


def test_numbers_as_keys_are_masked_and_each_stays_a_member() -> None:
    contacts = {"0791234567": "x", "0791234568": "y", "anna": {"+41 79 765 43 21": 1}}
    masked = {"##########": "x", "##########*1": "y", "anna": {"+## ## ### ## ##": 1}}
    assert mask_json({"parameters": contacts}) == {"parameters": masked}
    assert mask_json({"phones": {"0791234567": "x"}}) == {"phones": {"##########": "***"}}


@pytest.mark.parametrize(
    "key", ["pin", "PIN", "userPin", "user_pin", "PINCode", "pin-code", "PINCODE", "cvv", "CVC2"]
)
def test_keys_of_short_secrets_are_known(key: str) -> None:
    assert mask_json({"parameters": {key: 1234}}) == {"parameters": {key: 0}}


def test_keys_that_only_audio_like_one_are_not() -> None:
    told = {
        "ping_event": {"event_id": 12345, "ping_ms": 30},
        "shopping": 12,
        "PINNED": "x",
        "opinion": "good",
    }
    assert mask_json(told) == told


def test_keys_tell_what_is_secret_and_who_is_calling() -> None:
    told = {
        "type": "conversation_initiation_client_data",
        "dynamic_variables": {
            "secret__crm": "abc",
            "api_key": {"id": 7, "value": ["x", "", None, True]},
            "caller_number": "1001",
            "caller_name": "Erika Mustermann",
            "context": "phones",
            "customer": 4917012345,
            "age": 42,
        },
    }
    assert mask_json(told) == {
        "type": "conversation_initiation_client_data",
        "dynamic_variables": {
            "secret__crm": "***",
            "api_key": {"id": 0, "value": ["***", "", None, True]},
            "caller_number": "***",
            "caller_name": "***",
            "context": "phones",
            "customer": 0,
            "age": 42,
        },
    }


def test_what_the_protocol_needs_stays_but_only_where_it_is_the_protocols() -> None:
    call = {
        "type": "client_tool_call",
        "event_id": "1234567",
        "client_tool_call": {
            "tool_name": "look_up_99999",
            "tool_call_id": "call_123456789",
            "parameters": {"event_id": "1234567", "tool_call_id": "01701234567"},
        },
    }
    masked = mask_json(call)
    assert masked["event_id"] == "1234567"
    inner = masked["client_tool_call"]
    assert (inner["tool_name"], inner["tool_call_id"]) == ("look_up_99999", "call_123456789")
    assert inner["parameters"] == {"event_id": "#######", "tool_call_id": "###########"}
    result = client_messages.tool_result("call_123456789", '{"phone": "0170 1234567"}', is_error=False)
    assert json.loads(take_message(0, result).text) == {
        "type": "client_tool_result",
        "tool_call_id": "call_123456789",
        "result": '{"phone": "***"}',
        "is_error": False,
    }


def test_a_number_that_is_spoken_is_masked_in_the_alignment_too() -> None:
    characters = [*"call 0170 1234567 now"]
    masked = mask_json({"chars": characters, "char_start_times_ms": [20_000] * len(characters)})
    assert "".join(masked["chars"]) == "call #### ####### now"
    assert masked["char_start_times_ms"] == [20_000] * len(characters)


def test_a_secret_that_is_spoken_is_masked_in_the_alignment_too() -> None:
    characters = [*"your PIN is 12 34, ok"]
    assert "".join(mask_json({"chars": characters})["chars"]) == "your PIN is *****, ok"
    assert mask_json({"parameters": {"groups": ["079", "123", "4567"]}}) == {
        "parameters": {"groups": ["###", "###", "####"]}
    }


# Large texts


@pytest.mark.parametrize(
    "text", ["x" * 2**20, "pin key " * 2**17, "1" * 2**20, '{"a": "' + "x" * 2**20 + '"}']
)
def test_only_the_beginning_of_a_large_text_is_kept(text: str) -> None:
    masked = mask_json({"a": text})["a"]
    assert masked.endswith(CUT)
    assert MAX_TEXT // 2 < len(masked) <= MAX_TEXT + len(CUT)


@given(st.integers(0, OVERLAP), secrets)
def test_a_secret_at_the_cut_does_not_show(before: int, secret: str) -> None:
    text = "x" * (MAX_TEXT - before - 8) + f" password={secret} https://bob:{secret}@host " + "y" * MAX_TEXT
    assert secret not in mask_text(text)


@given(st.integers(-40, 40))
def test_a_secret_between_pieces_is_masked(place: int) -> None:
    text = "x" * (PIECE + place) + " password=hunter2 " + "x" * PIECE
    assert "hunter2" not in mask_text(text)


def test_a_large_message_is_not_parsed() -> None:
    """A megabyte of small members would hold Python's lock for a tenth of a second."""
    message = b'{"type":"x","members":[' + b"{}," * 400_000 + b"{}]}"
    recorded = take_message(0, message)
    assert recorded.text.startswith(b'{"type":"x","members":[{},{}')
    assert len(recorded.text) <= MAX_TEXT + len(CUT)


@pytest.mark.parametrize("slash", ["/", "\\/"])
def test_a_large_audio_message_keeps_its_audio(slash: str) -> None:
    audio = bytes(range(256)) * 4_096
    encoded = b64encode(audio).decode().replace("/", slash)
    text = '{"audio_event":{"audio_base_64":"%s","event_id":3},"type":"audio"}'
    recorded = take_message(0, (text % encoded).encode())
    assert recorded.audio == audio
    assert recorded.text.decode() == text % ""
    assert messages.parse(give_message(recorded)) == messages.parse((text % encoded).encode())


@pytest.mark.parametrize(
    "event",
    [
        '{"audio_base_64":"%s","event_id":3,"audio_base_64":"QUJD"}',
        '{"event":{"audio_base_64":"%s"},"event_id":3}',
        '{"audio_base_64":"%s!","event_id":3}',
        '{"audio_base_64":"%s',
        '{"audio_base_64":["%s"]}',
        '{"audio_base_64" "%s"}',
    ],
)
def test_what_only_looks_like_audio_is_recorded_as_text(event: str) -> None:
    message = f'{{"audio_event":{event % ("QUJD" * MAX_TEXT)},"type":"audio"}}'.encode()
    recorded = take_message(0, message)
    assert recorded.audio is None
    assert len(recorded.text) <= MAX_TEXT + len(CUT)


# Agents' messages, masked and given again


@given(st.binary(), st.integers(0, 10**9))
def test_audio_comes_back_to_the_byte(audio: bytes, event_id: int) -> None:
    encoded = b64encode(audio).decode()
    message = {
        "type": "audio",
        "audio_event": {"audio_base_64": encoded, "event_id": event_id, "alignment": None},
    }
    taken = take_message(7, json.dumps(message).encode())
    assert taken.audio == (audio or None)
    assert encoded not in taken.text.decode() or not audio
    assert json.loads(give_message(taken)) == message


@pytest.mark.parametrize(
    "message",
    [
        b'{"type":"audio","audio_event":{"audio_base_64":"1234567890!","event_id":1}}',
        b'{"type":"audio","audio_event":{"audio_base_64":"QUI=A","event_id":1}}',
        b'{"type":"audio","audio_event":{"audio_base_64":"QUI\xc3\xa9","event_id":1}}',
        b"[1, 2, 3]",
        b"12345678",
        b'"0170 1234567"',
        b'{"type": "audio", "number": "0170 1234567"',
        b"\xff\xfe\x00 0170 1234567",
        b'{"n": 01234567}',
        b"[" * 5_000,
        b'{"n": ' + b"1" * 5_000 + b"}",
        b'{"type":"audio","audio_event":' + b"x" * 2 * PIECE,
        b"",
    ],
)
def test_what_broke_the_protocol_breaks_it_again(message: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as before:
        messages.parse(message)
    given = give_message(take_message(0, message))
    with pytest.raises(RemoteProtocolError) as after:
        messages.parse(given)
    assert str(after.value)[:40] == str(before.value)[:40]
    assert b"1234567" not in given or b"audio_base_64" in given or given.isdigit()


@given(st.binary())
def test_any_bytes_are_taken(message: bytes) -> None:
    try:
        before = messages.parse(message)
    except RemoteProtocolError:
        with pytest.raises(RemoteProtocolError):
            messages.parse(give_message(take_message(0, message)))
    else:
        assert type(messages.parse(give_message(take_message(0, message)))) is type(before)
