"""What the agent, or a key, does to a call: tools, transfer, hang-up. The agent asks; this decides.

A transfer and a hang-up leave the call in the same way: the agent is answered, the caller hears its last
words, and only then is Asterisk told. A caller who cuts in stays, and the agent is told so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import httpx

from audiosocket_gw import events
from audiosocket_gw.ami.call_control import CallControl
from audiosocket_gw.ami.result import CallResult
from audiosocket_gw.control.dtmf import DtmfCollector, KeyAction
from audiosocket_gw.control.settings import ControlSettings
from audiosocket_gw.control.transfer_policy import Destination
from audiosocket_gw.elevenlabs import messages
from audiosocket_gw.errors import ControlError, ToolError
from audiosocket_gw.events import CallEnd, EndReason
from audiosocket_gw.tools import ToolRegistry
from audiosocket_gw.tools.builtin import CallToolContext

logger = logging.getLogger("audiosocket_gw.call")
audit = logging.getLogger("audiosocket_gw.audit")

MAX_TOOLS_AT_ONCE = 8
"""Of one call: an agent that calls more is in a loop."""

RELEASE_S = 5.0
"""How long Asterisk has to close the connection of a caller that it has taken away."""


class ActingCall(Protocol):
    """The call, as its actions see it."""

    uuid: UUID

    def send_to_agent(self, message: bytes) -> None:
        """Send the agent a message, or nothing when it is gone."""
        ...

    async def last_words(self) -> bool:
        """Wait until the caller has heard what the agent says; False when the caller cut in."""
        ...

    def refuse_new_replies(self) -> None:
        """Let the agent finish what it says, and say nothing more."""
        ...

    def accept_replies(self) -> None:
        """Undo `refuse_new_replies`."""
        ...

    def silence_agent(self) -> None:
        """Stop what the agent is saying, until `accept_replies`."""
        ...

    def end(self, reason: EndReason, detail: str) -> None:
        """End the call."""
        ...

    def emit(self, event: events.CallEvent) -> None:
        """Tell the observers."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """What the actions of all calls share."""

    settings: ControlSettings
    tools: ToolRegistry
    http: httpx.AsyncClient


class Actions:
    """The hands of one call's agent.

    ``control`` and ``result`` are None without a manager interface: hang-up then works by AudioSocket alone,
    and a transfer is refused. ``caller`` becomes known after the start.
    """

    def __init__(
        self,
        call: ActingCall,
        control: CallControl | None,
        result: CallResult | None,
        services: Services,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.caller: Mapping[str, str] = {}
        self._call = call
        self._control = control
        self._result = result
        self._services = services
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._asked: set[str] = set()
        self._running = 0
        self._departure: asyncio.Task[None] | None = None
        self._release: asyncio.Future[CallEnd | None] | None = None
        self._closed = False
        self._number = DtmfCollector()
        self._number_timer: asyncio.TimerHandle | None = None

    # Tools

    def tool_called(self, message: messages.ClientToolCall) -> None:
        """Run the tool in a task of its own, and answer the agent once."""
        call = self._call
        call.emit(events.ToolCalled(call.uuid, self._loop.time(), message.name, message.tool_call_id))
        if self._closed or message.tool_call_id in self._asked:
            return  # asked twice: answered once
        if message.tool_call_id:  # calls without an id can't be told apart: each is one of its own
            self._asked.add(message.tool_call_id)
        if self._running >= MAX_TOOLS_AT_ONCE:
            self._answer(message, "Too many tools are running. Wait for their results.", is_error=True)
            return
        self._running += 1
        self._tasks.create_task(self._run_tool(message))

    def mcp_tool_called(self, message: messages.McpToolCall) -> None:
        """Approve or deny an MCP tool that waits for it, once: otherwise the agent would wait for minutes."""
        asked = f"MCP {message.tool_call_id}"  # the ids of MCP tools are not those of the agent's others
        if self._closed or not message.tool_call_id or asked in self._asked or message.state == "loading":
            return
        self._asked.add(asked)
        if message.state == "awaiting_approval":
            self._decide_mcp(message)

    def _decide_mcp(self, message: messages.McpToolCall) -> None:
        policy = self._services.settings.mcp_approval
        is_approved = policy.allows(message.name)
        logger.log(
            logging.INFO if is_approved else logging.WARNING,
            "call %s: MCP tool %.80r %s (MCP_APPROVAL=%s)",
            self._call.uuid,
            message.name,
            "approved" if is_approved else "denied",
            policy,
        )
        self._call.send_to_agent(messages.mcp_approval(message.tool_call_id, is_approved=is_approved))

    async def _run_tool(self, message: messages.ClientToolCall) -> None:
        context = CallToolContext(
            uuid=self._call.uuid, http=self._services.http, caller=self.caller, call=self
        )
        try:
            result = await self._services.tools.call(message.name, message.parameters, context)
        finally:
            self._running -= 1
        self._answer(message, result.text, is_error=result.is_error)

    def _answer(self, message: messages.ClientToolCall, text: str, *, is_error: bool) -> None:
        call = self._call
        call.send_to_agent(messages.tool_result(message.tool_call_id, text, is_error=is_error))
        call.emit(
            events.ToolAnswered(
                call.uuid, self._loop.time(), message.name, message.tool_call_id, is_error=is_error
            )
        )

    # Leaving: `builtin_tools.CallActions`

    async def transfer(self, extension: str, context: str | None, priority: str | None) -> str:
        """Check the destination, and put the caller through after the agent's last words.

        Raises:
            ToolError: it isn't allowed, doesn't exist, or can't be done now.
        """
        wanted = f"{extension[:40]!r}@{(context or '')[:80]!r}"
        try:
            destination = await self._checked(extension, context, priority)
            self._leave(self._put_through(destination))
        except ToolError as refusal:
            self._audit("refused", f"{wanted}: {refusal}")
            raise
        except asyncio.CancelledError:
            self._audit("given up", wanted)
            raise
        where = destination.name or destination.extension
        return f"Accepted. The caller is being put through to {where}. Say nothing more."

    async def hang_up(self) -> str:
        """Hang up after the agent's last words.

        Raises:
            ToolError: the caller is being transferred.
        """
        self._leave(self._hang_up())
        return "Accepted. The call ends now. Say nothing more."

    async def _checked(self, extension: str, context: str | None, priority: str | None) -> Destination:
        destination = self._services.settings.transfer_policy.resolve(extension, context, priority)
        if self._control is None:
            raise ToolError("Transfers are not available on this line. Offer to help in another way.")
        try:
            exists = await self._control.extension_exists(
                destination.context, destination.extension, destination.priority
            )
        except ControlError as error:
            logger.warning("call %s: transfer to %s not possible: %s", self._call.uuid, destination, error)
            raise ToolError(
                "The telephone system can't transfer at the moment. Offer to help in another way."
            ) from error
        if not exists:
            raise ToolError(f"There is no extension {destination.extension}. Ask the caller for another one.")
        return destination

    def _leave(self, departure: Coroutine[None, None, None]) -> None:
        if self._departure is not None:
            departure.close()
            raise ToolError("The call is being transferred or ended already. Say nothing more.")
        self._departure = self._tasks.create_task(departure)

    async def departed(self) -> None:
        """Wait until the call has been transferred or hung up, if that is under way; or stays after all."""
        if self._departure is not None:
            await asyncio.wait([self._departure])

    async def released(self) -> CallEnd | None:
        """Return the end that Asterisk was told to bring, once it is known whether it did."""
        return await self._release if self._release is not None else None

    async def _put_through(self, destination: Destination) -> None:
        outcome = "given up"
        try:
            if await self._call.last_words():
                outcome = await self._redirect(destination)
            else:
                self._stay(f"transfer to {destination}", "The caller cut in, so the transfer was not made.")
        finally:
            self._audit(outcome, str(destination))
        if self._release is not None:
            await self._wait_for_release(EndReason.TRANSFERRED, f"put through to {destination}")

    async def _redirect(self, destination: Destination) -> str:
        """Send the caller on; return the outcome for the audit log."""
        assert self._control is not None and self._result is not None
        release = self._release = self._loop.create_future()
        try:
            channel = await self._control.locate(self._call.uuid)
            await self._result.tell(EndReason.TRANSFERRED, channel)
            await channel.redirect(destination.context, destination.extension, destination.priority)
        except ControlError as error:
            logger.warning("call %s: transfer to %s failed: %s", self._call.uuid, destination, error)
            release.set_result(None)
            self._tasks.create_task(self._result.withdraw(EndReason.TRANSFERRED))
            self._stay(f"transfer to {destination}", "The transfer failed: nobody could be reached there.")
            return "failed"
        release.set_result(CallEnd(EndReason.TRANSFERRED, f"put through to {destination}"))
        return "done"

    async def _hang_up(self) -> None:
        self._call.refuse_new_replies()
        if not await self._call.last_words():
            self._stay("hang-up", "The caller cut in, so the call goes on.")
            return
        detail = "the agent hung up"
        if self._control is not None and self._result is not None:
            release = self._release = self._loop.create_future()
            release.set_result(CallEnd(EndReason.AGENT_HANGUP, detail))
            try:
                channel = await self._control.locate(self._call.uuid)
                await self._result.tell(EndReason.AGENT_HANGUP, channel)
                await channel.hang_up()
            except ControlError as error:
                logger.info("call %s: hang-up by AudioSocket, since AMI can't: %s", self._call.uuid, error)
            else:
                await self._wait_for_release(EndReason.AGENT_HANGUP, detail)
        self._call.end(EndReason.AGENT_HANGUP, detail)

    async def _wait_for_release(self, reason: EndReason, detail: str) -> None:
        """Go on with silence until Asterisk closes: to close first would send the caller elsewhere."""
        await asyncio.sleep(RELEASE_S)
        self._call.end(reason, f"{detail}; Asterisk did not close the connection by itself")

    def _stay(self, what: str, why: str) -> None:
        """The call goes on: let the agent, which believes that it is over, speak again."""
        self._departure = self._release = None
        self._call.accept_replies()
        logger.info("call %s: no %s: %s", self._call.uuid, what, why)
        note = f"(Note from the telephone system: {why} Speak to the caller.)"
        self._call.send_to_agent(messages.user_message(note))

    def _audit(self, outcome: str, detail: str) -> None:
        audit.info("call %s: transfer %s: %s", self._call.uuid, outcome, detail)

    # Keys

    def digit_pressed(self, digit: str) -> None:
        """Act on a key, or gather it for the agent."""
        if self._closed:
            return
        action = self._services.settings.dtmf_actions.get(digit)
        if action is not None:
            self._tasks.create_task(self._do(action))
            return
        if self._number_timer is not None:
            self._number_timer.cancel()
        number = self._number.add(digit)
        if number is not None:
            self._tell_keys(number)
        else:
            self._number_timer = self._loop.call_later(
                self._services.settings.dtmf_timeout_s, lambda: self._tell_keys(self._number.end())
            )

    async def _do(self, action: KeyAction) -> None:
        """Act for the caller, who doesn't want to hear the agent out, nor what the agent is about to do."""
        self._call.silence_agent()
        if self._departure is not None and self._release is None:
            self._departure.cancel()
            self._departure = None
        try:
            if action.kind == "hangup":
                await self.hang_up()
            else:
                await self.transfer(action.target, None, None)
        except ToolError as error:
            logger.warning("call %s: key action %s failed: %s", self._call.uuid, action.kind, error)
            if self._departure is None:
                self._stay(
                    f"{action.kind} by key", f"The caller pressed the key for a {action.kind}, but: {error}"
                )

    def _tell_keys(self, number: str | None) -> None:
        if number:
            note = f"(The caller pressed the keys: {' '.join(number)})"
            self._call.send_to_agent(messages.user_message(note))

    def close(self) -> None:
        """Leave nothing behind, and begin nothing new."""
        self._closed = True
        if self._number_timer is not None:
            self._number_timer.cancel()
