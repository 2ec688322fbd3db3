"""Sets a call up, from its UUID to an agent that is connected."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from audiosocket_gw.call.caller_format import CallerFormatReport
from audiosocket_gw.call.caller_lookup import CallerLookup
from audiosocket_gw.call.connect_agent import connect_agent
from audiosocket_gw.call.context import CallContext
from audiosocket_gw.call.screening import Screening
from audiosocket_gw.control.actions import Actions
from audiosocket_gw.elevenlabs.connection import AgentConnection, MessageHandler
from audiosocket_gw.elevenlabs.setup_steps import SetupSteps
from audiosocket_gw.end_reasons import CallEnd
from audiosocket_gw.tap import Tap


@dataclass(frozen=True, slots=True)
class AgentSetup:
    """The set-up of one call. ``queue`` is where it waits for its turn."""

    context: CallContext
    queue: str
    screening: Screening
    lookup: CallerLookup
    caller_format: CallerFormatReport
    steps: SetupSteps
    tap: Tap | None

    async def connect(
        self,
        tasks: asyncio.TaskGroup,
        actions: Actions,
        on_message: MessageHandler,
        ended: asyncio.Future[CallEnd],
    ) -> AgentConnection:
        """Connect the agent, when it is this call's turn and the caller has shown what is required.

        ``ended`` is done when the call has ended. ``on_message`` receives the agent's messages.

        Raises:
            CallRejected: the caller is unknown, or there is no room for the call.
            AgentError: the conversation couldn't start.
        """
        caller: asyncio.Task[Mapping[str, str]] | None = None
        if self.screening.needs_match:  # first, so that a stranger loses its place soon
            caller = tasks.create_task(self._look_up_caller(tasks, actions))
            await self.screening.matched()
        await self.screening.heard()
        async with self.context.setups.turn(self.queue, ended):
            # Otherwise no sooner: a caller that has gone by its turn costs no request.
            caller = caller or tasks.create_task(self._look_up_caller(tasks, actions))
            return await connect_agent(self.context, caller, on_message, self.tap, self.steps, tasks)

    async def _look_up_caller(self, tasks: asyncio.TaskGroup, actions: Actions) -> Mapping[str, str]:
        variables = actions.tool_calls.caller = await self.lookup.run(tasks, self.caller_format)
        return variables
