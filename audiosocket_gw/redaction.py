"""Masking of secrets and personal data, for the log and the flight recordings. Pure.

Secrets, numbers of five digits or more, and the caller's identity are masked; in doubt, text is masked. Each
digit becomes ``#``, so that a text keeps its length and its alignment with the audio. What a replay of the
protocol needs (ids, types, formats, audio) stays unchanged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

MASK = "***"

MAX_TEXT = 65_536
"""Longest text, in characters; of a longer one the rest is dropped. A thousand characters can cost a
millisecond."""

CUT = "... cut"
"""The end of a text that was longer."""

PIECE = 2_048
"""Characters per search. A search holds Python's lock, and blocks all calls meanwhile: for up to 3 ms."""

MAX_NUMBERS = 8_192
"""Characters of a text in which numbers are searched; in a longer one all digits are masked."""

OVERLAP = 512
"""Characters that a search looks beyond its piece: more than the longest secret with its name."""

PROTOCOL_KEYS = frozenset(
    {
        "type",
        "event_id",
        "tool_call_id",
        "tool_name",
        "conversation_id",
        "agent_output_audio_format",
        "user_input_audio_format",
        "audio_base_64",
    }
)
"""Keys and values of the protocol itself, which are not masked."""

FREE_KEYS = frozenset({"parameters", "dynamic_variables"})
"""Below these, users choose the keys: none is the protocol's, and a plain number may be a telephone
number."""

_PIN = r"(?-i:(?<![A-Za-z])pin(?![a-z])|Pin(?![a-z])|PIN(?![A-Z])|PIN(?=[A-Z][a-z]))|pin[\s_-]?code|cv[vc]2?+"
"""``pin``, ``userPin``, ``PINCode``, ``cvv2``; not ``ping``, nor ``shopping``."""

_SECRET_KEY = re.compile(
    r"key|token|secret|passw|passcode|passphrase|signature|authori[sz]ation|credential|cookie|" + _PIN,
    re.IGNORECASE,
)
"""ElevenLabs names secret variables ``secret__...``."""

_PLAIN_KEY = re.compile(r"[A-Za-z_]{1,40}")
"""A key without anything to mask."""

_PERSONAL_KEY = re.compile(r"caller|called|dialled|phone|number|channel|msisdn", re.IGNORECASE)

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_PORT = r"(?:(?::|', )\d{1,5}(?!\d))?"

_ADDRESS = re.compile(
    rf"(?<![\w.:-]){_OCTET}(?:\.{_OCTET}){{3}}(?!\d|[.-]\d){_PORT}"  # 192.0.2.7:5001, ('192.0.2.7', 5001)
    rf"|\[[0-9a-f:]{{2,39}}(?:%\w{{1,15}})?\]{_PORT}",  # [2001:db8::7]:5001
    re.IGNORECASE,
)
"""An IP address, with or without a port. A telephone number is hardly ever four numbers up to 255."""

_UUID = re.compile(r"(\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)", re.IGNORECASE)

ESCAPED = r"(?:%[0-9A-Fa-f]{2}|\\[nrt]|\\x[0-9a-f]{2}|\\u[0-9A-Fa-f]{4}|&#?[0-9A-Za-z]{1,8};|<br\s?/?>)"
"""A separator as URLs, Python, JSON and HTML write it: letters and digits that don't belong to the number."""

_NEXT_DIGIT = rf"(?:{ESCAPED}|[\W_]){{0,6}}\d"
"""Agents write numbers to be spoken slowly as ``0, 7, 9 ... 1, 2, 3``, also with invisible characters."""

_NUMBER = re.compile(rf"\d(?:{_NEXT_DIGIT}){{4,}}")
_DIGIT = re.compile(r"\d")

_SECRET = re.compile(
    # Each is the part to keep, as a group, and the secret. The part before the secret has a bounded length:
    # otherwise the search is quadratic in the length of the text, and `OVERLAP` is too short.
    r"(://)[^/@\s]{1,500}(?=@)"
    r"|([?&][^=&#?\s]{0,40}(?:key|token|secret|passw|sig|auth|credential)[^=&#?\s]{0,40}=)[^&#\s\"']+"
    rf"|((?:key|token|secret|password|passwd|signature|authorization|{_PIN})"
    r"[\\\"']{0,4}\s{0,20}[=:]\s{0,20}[\\\"']{0,4}(?:(?:bearer|basic|token|digest)\s{1,20})?)"
    rf"(?:\d(?:{_NEXT_DIGIT})*[^\s,;&\"']*|[^\s,;&\"']+)"
    rf"|((?:{_PIN})\D{{0,20}})\d(?:{_NEXT_DIGIT}){{2,}}"  # "your PIN is 1 2 3 4"
    r"|(\b(?:bearer|basic)\s{1,20})[A-Za-z0-9._~+/=-]{8,}"
    r"|\bsk_[A-Za-z0-9]{16,}",  # an ElevenLabs API key
    re.IGNORECASE,
)
_NEXT_VALUES = re.compile(r"(?:(?:(?<=[=:])|[\\\"']{0,4}\s{0,20}[=:])\s{0,20}[\\\"']{0,4}[^\s,;&\"']+){0,4}")
"""What follows a secret that is itself a name, as in ``key= password: ...`` or ``Bearer token: ...``."""

_HINTS = (
    *("://", "key", "token", "secret", "passw", "sig", "auth", "cred"),
    *("pin", "cvv", "cvc", "bearer", "basic", "sk_"),
)
"""Every secret that `_SECRET` can find contains one of these, and few texts have any: looking for them takes
a hundredth of the search."""

_END_OF_VALUE = re.compile(r"[\s,;&\"']")

Span = tuple[int, int]


def mask_json(value: Any, *, free: bool = False) -> Any:
    """Return a JSON value with its strings masked; the structure stays. ``free``: it is below one of
    `FREE_KEYS`.
    """
    match value:
        case dict():
            members = {key: _mask_member(key, member, free) for key, member in value.items()}
            return _mask_keys(members)
        case list() if len(value) > 1 and all(isinstance(item, str) and len(item) < 5 for item in value):
            return _mask_characters(value)
        case list():
            return [mask_json(item, free=free) for item in value]
        case str():
            return _mask_string(value)
        case int() | float() if free and abs(value) >= 10_000:
            return type(value)(0)
        case _:
            return value


def mask_text(text: str) -> str:
    """Return a text with secrets and numbers masked, at most `MAX_TEXT` characters of it and `CUT`."""
    if len(text) <= MAX_TEXT:
        return mask_numbers(mask_secrets(text))
    # Without the last part: the cut may have removed the half that identifies a secret.
    return mask_numbers(mask_secrets(text[: MAX_TEXT + OVERLAP])[:-OVERLAP]) + CUT


def mask_own_text(text: str) -> str:
    """Return a sentence of the gateway as `mask_text` does, but with its network addresses, which aren't
    telephone numbers.
    """
    if len(text) > MAX_NUMBERS:
        return mask_text(text)
    text = mask_secrets(text)
    return _replace_between(text, (match.span() for match in _ADDRESS.finditer(text)), mask_numbers)


def mask_secrets(text: str) -> str:
    """Mask only passwords, keys and tokens."""
    return _replace(text, _secrets(text), lambda secret: MASK)


def mask_numbers(text: str) -> str:
    """Mask numbers of five digits or more, with or without separators; UUIDs stay.

    In a text longer than `MAX_NUMBERS` all digits are masked.
    """
    if len(text) > MAX_NUMBERS:
        return "".join(_mask_digits(text[start : start + PIECE]) for start in range(0, len(text), PIECE))
    parts = _UUID.split(text)  # every second part is a UUID
    parts[::2] = [_NUMBER.sub(lambda found: _mask_digits(found[0]), part) for part in parts[::2]]
    return "".join(parts)


def _mask_member(key: str, value: Any, free: bool) -> Any:
    if not free and key in PROTOCOL_KEYS and isinstance(value, str | int):
        return value
    if _SECRET_KEY.search(key) or _PERSONAL_KEY.search(key):
        return _blank(value)
    return mask_json(value, free=free or key in FREE_KEYS)


def _mask_keys(members: dict[str, Any]) -> dict[str, Any]:
    """Mask the keys of an object: where users choose them, they may contain anything."""
    masked: dict[str, Any] = {}
    for key, member in members.items():
        name = wanted = key if _PLAIN_KEY.fullmatch(key) else mask_text(key)
        count = len(masked)
        while name in masked:  # two masked numbers stay two members
            name, count = f"{wanted}*{count}", count + 1
        masked[name] = member
    return masked


def _blank(value: Any) -> Any:
    """Return the same structure with empty values."""
    match value:
        case dict():
            return _mask_keys({key: _blank(member) for key, member in value.items()})
        case list():
            return [_blank(item) for item in value]
        case str():
            return MASK if value else value
        case int() | float() if not isinstance(value, bool):
            return type(value)(0)
        case _:
            return value


def _mask_characters(characters: list[str]) -> list[str]:
    """Mask a text that comes in pieces: the agent's alignment of characters, a number in groups."""
    text = "".join(characters)
    masked = mask_numbers(_replace(text, _secrets(text), lambda secret: "*" * len(secret)))
    found = []
    start = 0
    for character in characters:
        found.append(masked[start : start + len(character)])
        start += len(character)
    return found


def _mask_string(text: str) -> str:
    """Mask a string; if it contains JSON, such as a tool's result, member by member."""
    if len(text) <= MAX_TEXT and text.lstrip()[:1] in ("{", "["):
        try:
            inner = json.loads(text)
        except (ValueError, RecursionError):
            return mask_text(text)
        return json.dumps(mask_json(inner, free=True), ensure_ascii=False)
    return mask_text(text)


def _secrets(text: str) -> Iterator[Span]:
    """Yield the positions of secrets, in order; the text is searched piece by piece."""
    start = masked = 0
    while start < len(text):
        stop = start + PIECE
        limit = stop + OVERLAP
        if not _may_hold_secrets(text[start:limit]):
            start = stop
            continue
        for found in _SECRET.finditer(text, start, limit):
            if found.start() >= stop:
                break
            following = _NEXT_VALUES.match(text, found.end(), limit)
            end = following.end() if following else found.end()
            if end == limit:  # it may continue in the next piece
                end = _end_of_value(text, end)
            begin = max(masked, found.end(found.lastindex) if found.lastindex else found.start())
            if end > begin:  # it is not all among what followed the one before
                yield begin, end
                masked = end
            stop = max(stop, end)
        start = stop


def _may_hold_secrets(text: str) -> bool:
    folded = text.casefold()
    return any(hint in folded for hint in _HINTS)


def _end_of_value(text: str, start: int) -> int:
    while start < len(text):
        found = _END_OF_VALUE.search(text, start, start + PIECE)
        if found is not None:
            return found.start()
        start += PIECE
    return len(text)


def _replace(text: str, spans: Iterable[Span], replacement: Callable[[str], str]) -> str:
    parts: list[str] = []
    kept = 0
    for start, end in spans:
        parts += text[kept:start], replacement(text[start:end])
        kept = end
    return "".join((*parts, text[kept:]))


def _replace_between(text: str, spans: Iterable[Span], replacement: Callable[[str], str]) -> str:
    """Replace all but the parts at ``spans``."""
    parts: list[str] = []
    replaced = 0
    for start, end in spans:
        parts += replacement(text[replaced:start]), text[start:end]
        replaced = end
    return "".join((*parts, replacement(text[replaced:])))


def _mask_digits(text: str) -> str:
    return _DIGIT.sub("#", text)
