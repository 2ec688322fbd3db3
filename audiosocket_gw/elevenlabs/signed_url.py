"""Checks a signed URL: it decides where the caller's audio and number go. Pure.

The answer comes from the host of ``ELEVENLABS_BASE_URL``, or from anyone who can answer in its name. So the
agent must be at that host, or at another one of its domain: a region of ElevenLabs, such as
``api.eu.residency.elevenlabs.io``.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit


def check_signed_url(signed_url: str, base_url: str) -> None:
    """Check that the base URL's host may name this agent.

    Raises:
        ValueError: it may not; the message says why, without the query, which is a secret.
    """
    base = urlsplit(base_url)
    try:
        if not signed_url.isascii() or not signed_url.isprintable():
            raise ValueError
        signed = urlsplit(signed_url)
        host = (signed.hostname or "").rstrip(".")
        signed.port  # noqa: B018 (raises ValueError)
    except ValueError:
        raise ValueError("it is not a URL") from None
    if signed.scheme not in ("ws", "wss") or not host:
        raise ValueError("it is not a WebSocket URL")
    if base.scheme == "https" and signed.scheme != "wss":
        raise ValueError(f"it names {_place(signed)} without TLS, although ELEVENLABS_BASE_URL is https")
    if "@" in signed.netloc:
        raise ValueError(f"it has a user name, for the host {host:.100}")
    base_host = (base.hostname or "").rstrip(".")
    if host != base_host and (domain_of(host) != domain_of(base_host) or domain_of(host) is None):
        raise ValueError(
            f"it names the host {host:.100}, which is outside the domain of ELEVENLABS_BASE_URL, "
            f"{base_host:.100}"
        )


def is_chosen_by_answer(signed_url: str, base_url: str) -> bool:
    """Return whether the answer names another host than the operator, who uses the public network."""
    base = urlsplit(base_url)
    return base.scheme == "https" and urlsplit(signed_url).hostname != base.hostname


def domain_of(host: str) -> str | None:
    """Return the domain that one owner has: the last two labels of the name, three as in ``example.co.uk``.

    None: the host is an address, or a name without a domain.
    """
    try:
        ip_address(host)
    except ValueError:
        labels = host.split(".")
    else:
        return None
    shared = len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3
    own = 3 if shared else 2
    return ".".join(labels[-own:]) if len(labels) >= own else None


def _place(url: SplitResult) -> str:
    return f"{url.scheme}://{(url.hostname or '')[:100]}"
