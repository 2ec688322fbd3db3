"""Checks for which address a certificate is, by the rule that OpenSSL applies to names only.

Asterisk's own script (``ast_tls_cert -C 192.0.2.5``) writes its argument only into the common name. For names
OpenSSL uses that if there are no alternative names; for addresses it never does.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any


def is_address(name: str) -> bool:
    """Return whether it is an address, not a name."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def is_for_address(certificate: Mapping[str, Any], address: str) -> bool:
    """Return whether the certificate (of ``getpeercert()``) is for it: by its alternative names, if any."""
    alternatives = certificate.get("subjectAltName", ())
    if alternatives:
        return any(kind == "IP Address" and _same(name, address) for kind, name in alternatives)
    subject = [pair for relative in certificate.get("subject", ()) for pair in relative]
    return any(key == "commonName" and _same(name, address) for key, name in subject)


def _same(name: str, address: str) -> bool:
    return is_address(name) and ip_address(name) == ip_address(address)
