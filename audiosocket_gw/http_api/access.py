"""Decides whether a request may pass. Pure.

With a token, a request must have it. Without one only this machine can connect, and there the danger is a
page in the operator's browser: its requests come from this machine, too. A page can't choose the headers
``Host``, ``Origin`` and ``Sec-Fetch-Site``, and these show it.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from audiosocket_gw.server.settings import without_mapping

SAFE_METHODS = frozenset({"GET", "HEAD"})
"""Methods that change nothing (RFC 9110)."""


_AUTHORITY = re.compile(r"(?:\[(?P<bracketed>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:@/\[\]]+))(?::[0-9]*)?")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused: an HTTP status, and what to do, in words."""

    status: int
    message: str


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of a TCP port. ``token`` None: requests of this machine need none."""

    token: bytes | None

    def refuse(self, method: str, headers: Mapping[str, str]) -> Refusal | None:
        """Return why a request is refused, or None: it may pass. ``headers``: by lower-case name."""
        if self.token is not None:
            return self._check_token(headers.get("authorization", ""))
        return _check_browser(method, headers)

    def _check_token(self, authorization: str) -> Refusal | None:
        assert self.token is not None
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self.token):
            return None
        if not authorization:
            return Refusal(401, "send the header `Authorization: Bearer` with the value of HTTP_TOKEN")
        return Refusal(401, "the token in the header `Authorization` is not the value of HTTP_TOKEN")


def _check_browser(method: str, headers: Mapping[str, str]) -> Refusal | None:
    """Refuse what a foreign page lets a browser send.

    A name that its owner lets point to 127.0.0.1 (DNS rebinding) shows in ``Host``; a form or script of
    another site shows in ``Origin``, and in ``Sec-Fetch-Site``.
    """
    host = headers.get("host", "")
    if not is_loopback(host_of(host)):
        return Refusal(403, "without HTTP_TOKEN this port answers to localhost, 127.0.0.1 and [::1] only")
    origin = headers.get("origin")
    if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
        return Refusal(403, "the request comes from a page of another site (Origin)")
    is_foreign = headers.get("sec-fetch-site", "none") not in ("same-origin", "none")
    if is_foreign and not _is_navigation(method, headers):
        return Refusal(403, "the request comes from a page of another site (Sec-Fetch-Site)")
    return None


def _is_navigation(method: str, headers: Mapping[str, str]) -> bool:
    """Return whether the browser opens the answer in a tab, as a page that the other site can't read."""
    mode, destination = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
    return method in SAFE_METHODS and (mode, destination) == ("navigate", "document")


def host_of(authority: str) -> str:
    """Return the host of ``host:port`` or ``[host]:port``, without brackets; empty if it has another form."""
    found = _AUTHORITY.fullmatch(authority)
    return (found["bracketed"] or found["host"] or "") if found else ""


def is_loopback(host: str) -> bool:
    """Return whether an address or a name is this machine's loopback.

    No other name than ``localhost`` is: RFC 6761 reserves it.
    """
    try:
        return without_mapping(ip_address(host)).is_loopback
    except ValueError:
        return host.lower().removesuffix(".") == "localhost"
