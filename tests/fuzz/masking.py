"""Masking: no secret and no number is left, lengths stay, and a line of the log is one line."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

from audiosocket_gw.flight.agent_message import mask_bytes
from audiosocket_gw.log.formatter import LineFormatter
from audiosocket_gw.log.text import SENTENCE_LIMIT, VALUE_LIMIT, Sentence, escape, fit
from audiosocket_gw.redaction import mask_json, mask_numbers, mask_secrets, mask_text
from tests.fuzz.choices import Choices
from tests.fuzz.target import Target

SECRET = "Zq7vXw9PkT4mBn2s"
CARRIERS = (
    "https://user:{}@host/",
    "?api_key={}&",
    "token={} ",
    "password: {};",
    '"secret": "{}" ',
    "Authorization: Bearer {} ",
    "sk_{} ",
    " basic {} ",
)
"""Texts with a secret. What stands around them begins and ends with a space."""

NOTE = 40
"""Characters of the note on what was cut."""

_FORMATTER = LineFormatter()
_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)


def check(data: bytes) -> None:
    choices = Choices(data)
    carrier = choices.of(CARRIERS).format(SECRET)
    before = choices.text(2_000)
    text = f"{before} {carrier} {choices.rest().decode(errors='surrogateescape')}"
    assert SECRET not in mask_secrets(text)
    assert SECRET not in mask_text(text)
    assert SECRET not in mask_bytes(text.encode(errors="surrogateescape")).decode(errors="surrogateescape")
    assert SECRET not in fit(text)
    check_numbers(text)
    check_line(text)


def check_numbers(text: str) -> None:
    masked = mask_numbers(text)
    assert len(masked) == len(text)
    assert mask_numbers(masked) == masked
    assert not re.search(r"\d{5}", _UUID.sub("", masked))
    assert re.sub(r"[\d#]", "0", masked) == re.sub(r"[\d#]", "0", text)


def check_line(text: str) -> None:
    for limit, shown in ((VALUE_LIMIT, fit(text)), (SENTENCE_LIMIT, fit(text, SENTENCE_LIMIT))):
        assert shown.isprintable()
        assert len(shown) <= limit + NOTE
    assert escape(text).isprintable()
    for logger in ("audiosocket_gw.call", "httpx"):
        arguments = (text, Sentence(text), 7)
        line = _FORMATTER.format(
            logging.LogRecord(logger, logging.WARNING, "", 0, "%s: %s, %d", arguments, None)
        )
        assert line.isprintable()
        assert SECRET not in line
        assert len(line) < 2_000


def check_json(data: bytes) -> None:
    """The structure stays; keys and values are of the same types."""
    choices = Choices(data)
    value = choices.json(KEYS, TEXTS)
    masked = mask_json(value, free=choices.flag())
    assert_same_structure(value, masked)


def assert_same_structure(value: object, masked: object) -> None:
    assert type(value) is type(masked)
    match value, masked:
        case dict(), dict():
            assert len(value) == len(masked)
            for one, other in zip(value.values(), masked.values(), strict=True):
                assert_same_structure(one, other)
        case list(), list():
            assert len(value) == len(masked)
            for one, other in zip(value, masked, strict=True):
                assert_same_structure(one, other)


KEYS = (
    "type",
    "event_id",
    "parameters",
    "dynamic_variables",
    "caller_number",
    "api_key",
    "12345",
    "pin",
    "chars",
)
TEXTS = ("ping", "0791234567", '{"pin":"1234"}', "[" * 40, '["1","2"]', "1", "2", "sk_" + SECRET)


def texts() -> Iterator[bytes]:
    for number in range(len(CARRIERS)):
        yield bytes([number]) + b"\x10\0call me: 0791 234" + b"567 PIN is 1, 2, 3, 4 \x1b[2J\r\n"
    yield b"\0\0\0 conv_01jz8k4r5ef9vbsm2v7xq9d0an 192.0.2.7:5038 2026-11-25T12:00:00"
    yield b"\0\0\0 PJSIP/079123456-00000007 40325ec2-5efd-4bd3-805f-53576e581d13"


TARGETS = (
    Target("masking", check, texts, (b"key=", b"://", b"PIN", b"token", b"Bearer ", b"...", b'\\"')),
    Target(
        "masking-json",
        check_json,
        lambda: (bytes([9, 3]) + bytes(range(8)), b"\x08\4\0\1\0\2\0\3"),
        max_bytes=400,
    ),
)
