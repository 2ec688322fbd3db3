"""Settings of control: what the agent and the caller's keys may do to a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from audiosocket_gw.control.key_actions import KeyAction
from audiosocket_gw.control.mcp_approval import McpApproval
from audiosocket_gw.control.transfer_policy import TransferPolicy


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """Settings used: ``TRANSFER_*``, ``MCP_APPROVAL``, ``DTMF_ACTIONS`` and ``DTMF_TIMEOUT``.

    ``dtmf_timeout`` seconds without a key end a number that the caller enters.
    """

    transfer_policy: TransferPolicy
    mcp_approval: McpApproval = field(default_factory=McpApproval)
    dtmf_actions: Mapping[str, KeyAction] = field(default_factory=dict)
    dtmf_timeout: float = 2.0
