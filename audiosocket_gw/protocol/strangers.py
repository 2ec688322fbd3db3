"""Peers on the AudioSocket port that aren't Asterisk, recognised by their first bytes. Pure."""

from __future__ import annotations

_PROXY = (
    "this is a PROXY protocol header, which Asterisk never sends: switch it off for this port in the load "
    "balancer (HAProxy: no send-proxy; nginx: proxy_protocol off)"
)
_HTTP = "this is HTTP: use a TCP health check for this port, one that connects and closes"
_TLS = "this is TLS, which AudioSocket doesn't have"

_BEGINNINGS = {
    b"PROXY ": _PROXY,
    b"\r\n\r\n\0\r\nQUIT\n": _PROXY,  # version 2
    **dict.fromkeys((b"GET ", b"HEAD ", b"POST ", b"PUT ", b"OPTIONS ", b"CONNECT ", b"PRI * HTTP/2"), _HTTP),
    b"\x16\x03": _TLS,
}


def stranger(data: bytes) -> str | None:
    """Return which protocol a stream begins with, and what to do about it; None if it is unknown."""
    return next((who for beginning, who in _BEGINNINGS.items() if data.startswith(beginning)), None)
