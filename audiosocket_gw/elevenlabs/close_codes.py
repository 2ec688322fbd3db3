"""Why the connection to the agent ended: close codes, HTTP statuses and their texts to `EndReason`."""

from __future__ import annotations

from urllib.parse import urlsplit

from audiosocket_gw.causes import MAX_FOREIGN
from audiosocket_gw.end_reasons import EndReason

_BY_CODE = {
    1000: EndReason.AGENT_HANGUP,
    1001: EndReason.AGENT_LOST,
    1002: EndReason.AGENT_FAILED,
    1003: EndReason.AGENT_REJECTED,
    1005: EndReason.AGENT_LOST,
    1006: EndReason.AGENT_LOST,
    1007: EndReason.AGENT_REJECTED,
    1008: EndReason.AGENT_REJECTED,
    1009: EndReason.AGENT_REJECTED,
    1011: EndReason.AGENT_FAILED,
    1012: EndReason.AGENT_LOST,
    1013: EndReason.AGENT_LOST,
    1014: EndReason.AGENT_LOST,
    3000: EndReason.AGENT_QUOTA,
    3008: EndReason.AGENT_BUSY,
    4300: EndReason.AGENT_BUSY,
}
"""1000, 1002, 1008 and 1011 are documented by ElevenLabs; 3000, 3008 and 4300 were reported by users.
The others are those of RFC 6455 and IANA's registry, which proxies and servers send."""

_BY_TEXT = (
    ("quota", EndReason.AGENT_QUOTA),
    ("concurrent", EndReason.AGENT_BUSY),
    ("capacity", EndReason.AGENT_BUSY),
    ("maximum duration", EndReason.AGENT_HANGUP),
    ("max_duration", EndReason.AGENT_HANGUP),
    ("authoriz", EndReason.AGENT_UNAUTHORIZED),
    ("authentic", EndReason.AGENT_UNAUTHORIZED),
)
"""The same failure has several codes (quota: 1002 and 3000); its text is more stable."""

_NOT_NORMAL = ("exceeds your quota", "quota_exceeded", "too many concurrent")
"""Texts that contradict a normal close code; other texts may be the agent's own goodbye."""


def reason_of_close(code: int, text: str) -> EndReason:
    """Return the reason for a WebSocket close. ``text``: the close reason and the error message before it."""
    lowered = text.lower()
    if code == 1000 and not any(phrase in lowered for phrase in _NOT_NORMAL):
        return EndReason.AGENT_HANGUP
    for words, reason in _BY_TEXT:
        if words in lowered:
            return reason
    return _BY_CODE.get(code, EndReason.AGENT_FAILED)


def redirect_target(location: str | None) -> str:
    """Return the target of a redirect, or "", without query and user: a signed URL's query is a secret."""
    if not location:
        return ""
    try:
        parts = urlsplit(location)
        place = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    except ValueError:
        return ""
    return place[:MAX_FOREIGN]


def reason_of_status(status: int, text: str = "") -> EndReason:
    """Return the reason for an unexpected HTTP status. ``text``: the start of the body."""
    if "quota" in text.lower():
        return EndReason.AGENT_QUOTA
    if status in (401, 403):
        return EndReason.AGENT_UNAUTHORIZED
    if status == 404:
        return EndReason.AGENT_NOT_FOUND
    if status == 429:
        return EndReason.AGENT_BUSY
    if status < 400:  # a page, or a redirect to one, where a WebSocket was expected
        return EndReason.AGENT_PROTOCOL
    if status < 500:
        return EndReason.AGENT_REJECTED
    return EndReason.AGENT_UNREACHABLE
