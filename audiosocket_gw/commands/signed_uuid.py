"""``audiosocket-gw uuid``: prints a signed UUID for one call."""

from __future__ import annotations

import secrets
import time
from uuid import UUID

from pydantic import SecretStr

from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.server.signed_uuid import NONCE_BITS, sign


def new_signed_uuid(secret: SecretStr) -> UUID:
    """Return a UUID that is signed with the secret, made now."""
    return sign(secret.get_secret_value(), time.time(), secrets.randbits(NONCE_BITS))


def run_uuid(secret: SecretStr | None) -> int:
    """Print a signed UUID; return the exit status 0.

    Raises:
        ConfigurationError: there is no secret.
    """
    if secret is None:
        raise ConfigurationError(
            "UUID_SECRET is not set: set it to the gateway's, such as the output of `openssl rand -hex 32`"
        )
    print(new_signed_uuid(secret))
    return 0
