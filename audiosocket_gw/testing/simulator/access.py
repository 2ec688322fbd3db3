"""Access to the simulated agent: the API key, the agent ids, and the signatures of signed URLs."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from audiosocket_gw.testing.simulator.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Denial:
    """An HTTP status and the JSON that goes with it."""

    status: int
    body: dict[str, Any]

    @property
    def message(self) -> str:
        detail = self.body["detail"]
        return str(detail["message"] if isinstance(detail, dict) else detail[0]["msg"])


def deny(status: int, name: str, message: str) -> Denial:
    """Build a denial in the form of ElevenLabs' errors, except validation errors."""
    return Denial(status, {"detail": {"status": name, "message": message}})


@dataclass(frozen=True, slots=True)
class _Grant:
    agent_id: str
    expires_at: float
    single_use: bool


class Access:
    """Decides who may connect. ``now`` is always the loop time, in seconds."""

    def __init__(self, scenario: Scenario, api_key: str | None) -> None:
        """``api_key``: None requires no key."""
        self._scenario = scenario
        self._api_key = api_key
        self._grants: dict[str, _Grant] = {}

    def check_key(self, key: str | None) -> Denial | None:
        """Check the ``xi-api-key`` of a request."""
        if self._api_key is None or (
            key is not None and secrets.compare_digest(key.encode(), self._api_key.encode())
        ):
            return None
        return deny(401, "invalid_api_key", "Invalid API key")

    def check_agent(self, agent_id: str | None) -> Denial | None:
        """Check that the request names an existing agent."""
        if not agent_id:
            return Denial(
                422, {"detail": [{"loc": ["query", "agent_id"], "msg": "Field required", "type": "missing"}]}
            )
        if self._scenario.agents and agent_id not in self._scenario.agents:
            return deny(404, "document_not_found", f"Document with id {agent_id} not found.")
        return None

    def sign(self, agent_id: str, now: float, *, single_use: bool) -> str:
        """Return a new signature for a conversation with the agent."""
        self._grants = {
            signature: grant for signature, grant in self._grants.items() if grant.expires_at > now
        }
        signature = f"cvtkn_{secrets.token_hex(16)}"
        self._grants[signature] = _Grant(agent_id, now + self._scenario.signed_url_lifetime_s, single_use)
        return signature

    def check_signature(self, signature: str | None, agent_id: str, now: float) -> Denial | None:
        """Check a WebSocket's signature, and invalidate it if it is for one use. A public agent needs
        none.
        """
        if signature is None and not self._scenario.private:
            return None
        if signature is None:
            return deny(401, "needs_authorization", "This agent needs a signed URL.")
        grant = self._grants.get(signature)
        if grant is None or grant.agent_id != agent_id or grant.expires_at <= now:
            return deny(401, "invalid_signature", "The signed URL is not valid, or not valid any more.")
        if grant.single_use:
            del self._grants[signature]
        return None
