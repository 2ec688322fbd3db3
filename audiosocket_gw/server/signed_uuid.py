"""UUIDs that only the owner of a secret can make: version 8 (RFC 9562), with a time and a signature. Pure.

    tttttttt-nnnn-8nnn-asss-ssssssssssss        in hexadecimal digits

``t``: when it was made, in seconds since 1970 (32 bits, until 2106). ``n``: a random number, so that calls of
the same second differ (28 bits). ``s``: the signature, the first 60 bits of HMAC-SHA256 (RFC 2104) of the
first 18 characters in lower case, with the secret as the key. ``8`` is the version; ``a`` has the variant.

A guess is right with a probability of 2^-60: at 10,000 guesses a second, once in 3.7 million years. Anyone
who sees a signed UUID on the wire can't use it: it is valid for one call, and only for a short time. Two
UUIDs of the same second are equal with a probability of 2^-28; the second call is then rejected: at 10 new
calls a second once in 69 days of that.
"""

from __future__ import annotations

import hmac
from uuid import UUID

NONCE_BITS = 28

MAX_REMEMBERED = 100_000
"""Used UUIDs that are still valid. Only the owner of the secret can reach it."""

SET_BACK_S = 600
"""Used UUIDs are remembered for so much longer: they would be valid again if the clock was set back."""

_SIGNED_CHARACTERS = 18


def sign(secret: str, made_at: float, nonce: int) -> UUID:
    """Return a signed UUID. ``made_at``: seconds since 1970; ``nonce``: a random number of `NONCE_BITS`."""
    digits = f"{int(made_at):08x}{nonce:07x}"
    signed = f"{digits[:8]}-{digits[8:12]}-8{digits[12:]}"
    return UUID(f"{signed}-a{_signature(secret, signed)}")


def _signature(secret: str, signed: str) -> str:
    return hmac.new(secret.encode(), signed.encode(), "sha256").hexdigest()[:15]


class SignedUuids:
    """Checks signed UUIDs, and remembers those that were used."""

    def __init__(self, secret: str, max_age_s: float) -> None:
        """``max_age_s``: how long a UUID is valid; clocks may also differ by it."""
        self._secret = secret
        self._max_age_s = max_age_s
        self._used: dict[UUID, None] = {}  # in the order of use

    def reject(self, uuid: UUID, now: float) -> str | None:
        """Return why the UUID isn't valid at ``now`` (seconds since 1970), or None: it is."""
        text = str(uuid)
        signature = f"a{_signature(self._secret, text[:_SIGNED_CHARACTERS])}"
        if not hmac.compare_digest(signature, text[_SIGNED_CHARACTERS:].replace("-", "")):
            return "its UUID is not signed with UUID_SECRET"
        age_s = now - _made_at(uuid)
        if abs(age_s) > self._max_age_s:
            when = f"{age_s:.0f} s ago" if age_s > 0 else f"{-age_s:.0f} s in the future"
            return f"its UUID was made {when} (UUID_MAX_AGE={self._max_age_s:g}; compare the clocks)"
        if uuid in self._used:
            return "its UUID was used before; make a new one for each call"
        self._forget(now, SET_BACK_S)
        if len(self._used) >= MAX_REMEMBERED:
            self._forget(now, 0)
        if len(self._used) >= MAX_REMEMBERED:
            return f"{MAX_REMEMBERED} UUIDs were used within UUID_MAX_AGE; lower it"
        return None

    def use(self, uuid: UUID) -> None:
        """Record that a call has begun with this UUID."""
        self._used[uuid] = None

    def __len__(self) -> int:
        """Return how many used UUIDs are remembered."""
        return len(self._used)

    def _forget(self, now: float, margin_s: float) -> None:
        """Drop used UUIDs that are too old by so much, from the first to one that isn't."""
        while self._used and now - _made_at(oldest := next(iter(self._used))) > self._max_age_s + margin_s:
            del self._used[oldest]


def _made_at(uuid: UUID) -> int:
    return uuid.time_low
