"""The certificate authorities that TLS trusts, from the environment and the settings.

``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` name the authorities (httpx), ``SSLKEYLOGFILE`` a file for TLS keys
(Python). They are often set for a whole machine, for other programs. An invalid one is named, without a
traceback.
"""

from __future__ import annotations

import logging
import os
import re
import ssl
from pathlib import Path

import httpx

from audiosocket_gw.errors import ConfigurationError, Faults

logger = logging.getLogger("audiosocket_gw.runtime")

_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")
"""A certificate in ``SSL_CERT_DIR``: OpenSSL looks for the hash of its subject."""

_TLS_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE", "OPENSSL_CONF")


def create_ssl_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return the TLS context for the agent, the REST host and tools' hosts; it checks certificates and names.

    ``ca_file`` (``TLS_CA_FILE``) is trusted in addition. With it certificates are checked as up to Python
    3.12: since 3.13 Python rejects authorities that lack extensions (``VERIFY_X509_STRICT``), as many private
    ones do.

    Raises:
        ConfigurationError: a variable, or ``ca_file``, names what can't be used; the message has a
            line for each.
    """
    faults = Faults()
    with faults.collected():
        _check_key_log()
    with faults.collected():
        _check_authorities()
    if ca_file is not None:
        with faults.collected():
            trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca_file, "TLS_CA_FILE")
    faults.raise_if_any()
    try:
        context = httpx.create_ssl_context()
    except OSError as error:  # an SSLError is one
        raise ConfigurationError(
            f"TLS can't be set up: {error}. Check these variables: {_set_variables() or 'none is set'}"
        ) from None
    if ca_file is not None:
        trust(context, ca_file, "TLS_CA_FILE")
    return context


def trust(context: ssl.SSLContext, ca_file: Path, setting: str) -> None:
    """Trust the authorities in ``ca_file`` too, even if they lack what Python 3.13 requires.

    Raises:
        ConfigurationError: the file, named by ``setting``, can't be read, or has no certificate.
    """
    try:
        context.load_verify_locations(ca_file)
    except OSError as error:
        raise ConfigurationError(
            f"{setting}={str(ca_file)!r}: {_why(error)}. Name a PEM file with the authority's certificate."
        ) from None
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT


def _check_key_log() -> None:
    path = os.environ.get("SSLKEYLOGFILE")
    if not path:
        return
    try:
        with Path(path).open("a"):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"SSLKEYLOGFILE={path!r}: {_why(error)}. Python writes the keys of TLS there: unset it, or name "
            "a file that can be written."
        ) from None


def _check_authorities() -> None:
    """Check the variable that httpx uses: the file, or else the directory."""
    if file := os.environ.get("SSL_CERT_FILE"):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
        except OSError as error:
            raise ConfigurationError(
                f"SSL_CERT_FILE={file!r}: {_why(error)}. Unset it, or name a PEM file with the authorities "
                "to trust; to add one to the usual ones, set TLS_CA_FILE."
            ) from None
    elif paths := os.environ.get("SSL_CERT_DIR"):
        directories = list(filter(os.path.isdir, paths.split(os.pathsep)))
        if not directories:
            raise ConfigurationError(
                f"SSL_CERT_DIR={paths!r}: there is no such directory. Unset it, or name one with the "
                "authorities to trust."
            )
        if not any(map(_may_hold_authorities, directories)):
            logger.warning(
                "SSL_CERT_DIR=%r: it has no certificate under a name that OpenSSL looks for "
                "(`openssl rehash` creates them): no public authority is trusted",
                paths,
            )


def _may_hold_authorities(directory: str) -> bool:
    try:
        return any(_HASHED.fullmatch(path.name) for path in Path(directory).iterdir())
    except OSError:  # perhaps it can be searched, though not listed
        return True


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "there is no certificate in it (PEM)"
    return error.strerror or str(error)


def _set_variables() -> str:
    return ", ".join(f"{name}={os.environ[name]!r}" for name in _TLS_VARIABLES if os.environ.get(name))
