"""What connects to an AudioSocket port and is no Asterisk, by the first bytes that it sends. Pure."""

from __future__ import annotations

_PROXY = (
    "this is a PROXY protocol header, which Asterisk never sends: switch it off for this port in the load "
    "balancer (HAProxy: no send-proxy; nginx: proxy_protocol off)"
)
_HTTP = "this is HTTP: a health check of this port must be one of TCP, which connects and closes"
_TLS = "this is TLS, which AudioSocket doesn't have"

_BEGINNINGS = {
    b"PROXY ": _PROXY,
    b"\r\n\r\n\0\r\nQUIT\n": _PROXY,  # version 2
    **dict.fromkeys((b"GET ", b"HEAD ", b"POST ", b"PUT ", b"OPTIONS ", b"CONNECT ", b"PRI * HTTP/2"), _HTTP),
    b"\x16\x03": _TLS,
}


def stranger(data: bytes) -> str | None:
    """Say who begins a stream like this, and what to do about it; None: nobody that is known."""
    return next((who for beginning, who in _BEGINNINGS.items() if data.startswith(beginning)), None)
