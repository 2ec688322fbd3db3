"""Everything that the agent and the caller's keys do to one call: tool calls, hand-over, DTMF."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httpx

from audiosocket_gw.ami.call_control import CallControl
from audiosocket_gw.ami.result import CallResult
from audiosocket_gw.control.controlled_call import ControlledCall
from audiosocket_gw.control.dtmf_input import DtmfInput
from audiosocket_gw.control.handover import Handover
from audiosocket_gw.control.settings import ControlSettings
from audiosocket_gw.control.tool_calls import ToolCalls
from audiosocket_gw.tools import ToolRegistry


@dataclass(frozen=True, slots=True)
class Services:
    """What the actions of all calls share."""

    settings: ControlSettings
    tools: ToolRegistry
    http: httpx.AsyncClient


class Actions:
    """The actions on one call: ``tool_calls`` and ``dtmf`` ask for them, ``handover`` ends the call."""

    def __init__(
        self,
        call: ControlledCall,
        control: CallControl | None,
        result: CallResult | None,
        services: Services,
        tasks: asyncio.TaskGroup,
    ) -> None:
        settings = services.settings
        self.handover = Handover(call, settings.transfer_policy, control, result, tasks)
        self.tool_calls = ToolCalls(
            call, self.handover, services.tools, services.http, settings.mcp_approval, tasks
        )
        self.dtmf = DtmfInput(call, self.handover, settings, tasks)
        self.is_closed = False

    def close(self) -> None:
        """Clean up, and start nothing new."""
        self.is_closed = True
        self.tool_calls.close()
        self.dtmf.close()
