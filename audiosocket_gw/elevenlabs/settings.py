"""Settings of the connection to the agent."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """The settings that locate an agent; each has the name of its environment variable, times are in seconds.

    ``elevenlabs_agent_url`` is asked for the agent of each call; without it ``elevenlabs_agent_id`` answers.
    """

    elevenlabs_agent_id: str | None
    elevenlabs_agent_url: str | None
    elevenlabs_api_key: SecretStr | None
    elevenlabs_base_url: str
    agent_url_timeout: float
    agent_connect_timeout: float
    allow_private_agent: bool
