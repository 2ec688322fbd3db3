"""The hand-over of a caller: a transfer or a hang-up, requested by the agent's tools or by keys.

First the agent is answered, then the caller hears its last words, then Asterisk is instructed. If the caller
interrupts, the call continues and the agent gets a note.

::

    transfer   IDLE ──▶ LAST_WORDS ──▶ ASKED_ASTERISK ──▶ RELEASED
    hang-up    IDLE ──▶ LAST_WORDS ─────────────────────▶ RELEASED

A hang-up doesn't wait for Asterisk's answer: the call ends in any case. The hand-over returns to IDLE, and
the call continues, from LAST_WORDS (the caller interrupted, or pressed a key that acts) and from
ASKED_ASTERISK (the transfer failed).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from enum import Enum
from functools import partial

from audiosocket_gw.ami.call_control import CallControl
from audiosocket_gw.ami.result import CallResult
from audiosocket_gw.control.controlled_call import ControlledCall
from audiosocket_gw.control.key_actions import KeyAction
from audiosocket_gw.control.transfer_policy import Destination, TransferPolicy
from audiosocket_gw.elevenlabs import client_messages
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.errors import ControlError, ToolError
from audiosocket_gw.events import TransferDecided, TransferOutcome, TransferRequested
from audiosocket_gw.log.current_call import enter_call

logger = logging.getLogger("audiosocket_gw.control")
audit = logging.getLogger("audiosocket_gw.audit")

LastWords = asyncio.Future[bool]
"""What `ControlledCall.last_words` returns."""

RELEASE_S = 5.0
"""Time for Asterisk to close the connection after it has moved the caller."""

_UNWANTED = (TransferOutcome.REFUSED, TransferOutcome.FAILED)
"""Outcomes that the operator should look at."""

_AGENT_HANGUP = CallEnd(EndReason.AGENT_HANGUP, "the agent hung up")


class State(Enum):
    """The state of a call's hand-over."""

    IDLE = "idle"
    LAST_WORDS = "last words"
    """Accepted. The caller hears the rest of the agent's speech, and may still interrupt."""
    ASKED_ASTERISK = "asked Asterisk"
    """The transfer has been requested; Asterisk hasn't answered."""
    RELEASED = "released"
    """The call ends by this hand-over; Asterisk closes the connection next."""


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.IDLE: frozenset({State.LAST_WORDS}),
    State.LAST_WORDS: frozenset({State.IDLE, State.ASKED_ASTERISK, State.RELEASED}),
    State.ASKED_ASTERISK: frozenset({State.IDLE, State.RELEASED}),
    State.RELEASED: frozenset(),
}


class Handover:
    """Transfers or hangs up the caller of one call. Only one hand-over runs at a time.

    ``control`` and ``result`` are None without a manager interface: then a hang-up uses AudioSocket only, and
    a transfer is rejected.
    """

    def __init__(
        self,
        call: ControlledCall,
        policy: TransferPolicy,
        control: CallControl | None,
        result: CallResult | None,
        tasks: asyncio.TaskGroup,
        *,
        release_s: float = RELEASE_S,
    ) -> None:
        self._call = call
        self._policy = policy
        self._control = control
        self._result = result
        self._tasks = tasks
        self._release_s = release_s
        self._state = State.IDLE
        self._task: asyncio.Task[None] | None = None
        self._decision: asyncio.Future[CallEnd | None] | None = None

    @property
    def state(self) -> State:
        """The state."""
        return self._state

    def __repr__(self) -> str:
        return f"<Handover of call {self._call.uuid}: {self._state.value}>"

    async def transfer(
        self, extension: str, context: str | None, priority: str | None, *, silence: bool = False
    ) -> str:
        """Check the destination, and transfer the caller after the agent's last words.

        With ``silence`` the agent is stopped, so that the caller can't interrupt it and stay. Return the
        answer for the agent.

        Raises:
            ToolError: the destination isn't allowed or doesn't exist, or a transfer isn't possible now.
        """
        wanted = f"{extension[:40]!r}@{(context or '')[:80]!r}"
        asked = f"{extension[:40]}@{(context or '')[:80]}".rstrip("@")
        try:
            destination = await self._checked(extension, context, priority)
            self._start(partial(self._put_through, destination), silence=silence)
        except ToolError as refusal:
            self._audit(TransferOutcome.REFUSED, f"{wanted}: {refusal}")
            self._decide(asked, "", TransferOutcome.REFUSED, str(refusal))
            raise
        except asyncio.CancelledError:
            self._audit(TransferOutcome.GIVEN_UP, wanted)
            self._decide(asked, "", TransferOutcome.GIVEN_UP, "the call ended")
            raise
        now = asyncio.get_running_loop().time()
        self._call.emit(TransferRequested(self._call.uuid, now, str(destination), destination.name))
        where = destination.name or destination.extension
        return f"Accepted. The caller is being put through to {where}. Say nothing more."

    async def hang_up(self, end: CallEnd = _AGENT_HANGUP, *, silence: bool = False) -> str:
        """Hang up after the agent's last words; ``end`` names who wants it. Return the answer for the agent.

        Raises:
            ToolError: the caller is being transferred.
        """
        self._start(partial(self._hang_up, end), silence=silence)
        return "Accepted. The call ends now. Say nothing more."

    async def act_on_key(self, action: KeyAction) -> None:
        """Act on the caller's key: silence the agent, and replace a hand-over that waits for last words."""
        enter_call(self._call.uuid)
        self._call.silence_agent()
        if self._state is State.LAST_WORDS and self._task is not None:
            self._task.cancel()
            self._enter(State.IDLE)
        try:
            if action.kind == "hangup":
                await self.hang_up()
            else:
                await self.transfer(action.target, None, None)
        except ToolError as error:
            logger.warning("call %s: DTMF action %s failed: %s", self._call.uuid, action.kind, error)
            if self._state is State.IDLE:
                why = f"The caller pressed the key for a {action.kind}, but: {error}"
                self._let_agent_speak(f"{action.kind} by key", why)

    async def released(self) -> CallEnd | None:
        """Return the end by this hand-over, or None if there is none; wait for the answer to a transfer."""
        return await self._decision if self._decision is not None else None

    async def _checked(self, extension: str, context: str | None, priority: str | None) -> Destination:
        destination = self._policy.resolve(extension, context, priority)
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

    def _start(self, handover: Callable[[LastWords], Coroutine[None, None, None]], *, silence: bool) -> None:
        if self._state is not State.IDLE:
            raise ToolError("The call is being transferred or ended already. Say nothing more.")
        if silence:
            self._call.silence_agent()
        self._enter(State.LAST_WORDS)
        self._task = self._tasks.create_task(handover(self._call.last_words()))
        # A cancelled task refers to its frame, and that to this object: the cycle would hold the whole call.
        self._task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        if self._task is task:
            self._task = None

    async def _put_through(self, destination: Destination, last_words: LastWords) -> None:
        enter_call(self._call.uuid)
        outcome, detail = TransferOutcome.GIVEN_UP, "the call ended, or the caller pressed a key"
        try:
            if await last_words:
                outcome, detail = await self._redirect(destination)
            else:
                detail = "the caller interrupted"
                self._abort(
                    f"transfer to {destination}", "The caller interrupted: the transfer was not made."
                )
        finally:
            self._audit(outcome, str(destination))
            self._decide(str(destination), destination.name, outcome, detail)
        if self._state is State.RELEASED:
            await self._wait_for_release(EndReason.TRANSFERRED, f"put through to {destination}")

    async def _redirect(self, destination: Destination) -> tuple[TransferOutcome, str]:
        """Redirect the caller; return the outcome, and why it failed."""
        assert self._control is not None and self._result is not None, "see _checked"
        self._enter(State.ASKED_ASTERISK)
        decision = self._decision = asyncio.get_running_loop().create_future()
        try:
            channel = await self._control.locate(self._call.uuid)
            await self._result.set_reason(EndReason.TRANSFERRED, channel)
            await channel.redirect(destination.context, destination.extension, destination.priority)
        except ControlError as error:
            logger.warning("call %s: transfer to %s failed: %s", self._call.uuid, destination, error)
            decision.set_result(None)
            self._tasks.create_task(self._result.withdraw(EndReason.TRANSFERRED))
            self._abort(f"transfer to {destination}", "The transfer failed: no one could be reached there.")
            return TransferOutcome.FAILED, str(error)
        self._enter(State.RELEASED)
        decision.set_result(CallEnd(EndReason.TRANSFERRED, f"put through to {destination}"))
        return TransferOutcome.DONE, ""

    async def _hang_up(self, end: CallEnd, last_words: LastWords) -> None:
        enter_call(self._call.uuid)
        self._call.refuse_new_replies()
        if not await last_words:
            self._abort("hang-up", "The caller interrupted, so the call continues.")
            return
        self._enter(State.RELEASED)
        if self._control is not None and self._result is not None:
            self._decision = asyncio.get_running_loop().create_future()
            self._decision.set_result(end)
            try:
                channel = await self._control.locate(self._call.uuid)
                await self._result.set_reason(end.reason, channel)
                await channel.hang_up()
            except ControlError as error:
                logger.info("call %s: AMI failed, hanging up by AudioSocket: %s", self._call.uuid, error)
            else:
                await self._wait_for_release(end.reason, end.detail)
        self._call.end(end.reason, end.detail)

    async def _wait_for_release(self, reason: EndReason, detail: str) -> None:
        """Send silence until Asterisk closes: if the gateway closed first, the caller would continue at the
        next priority instead.
        """
        await asyncio.sleep(self._release_s)
        self._call.end(reason, f"{detail}; Asterisk did not close the connection by itself")

    def _abort(self, what: str, why: str) -> None:
        self._enter(State.IDLE)
        self._decision = None
        self._let_agent_speak(what, why)

    def _let_agent_speak(self, what: str, why: str) -> None:
        """Let the agent speak again, and send it the reason: it believes that the call is over."""
        self._call.accept_replies()
        logger.info("call %s: %s cancelled, the call continues: %s", self._call.uuid, what, why)
        note = f"(Note from the telephone system: {why} Speak to the caller.)"
        self._call.send_to_agent(client_messages.user_message(note))

    def _enter(self, state: State) -> None:
        assert state in TRANSITIONS[self._state], f"from {self._state} to {state}"
        self._state = state

    def _audit(self, outcome: TransferOutcome, detail: str) -> None:
        level = logging.WARNING if outcome in _UNWANTED else logging.INFO
        audit.log(level, "call %s: transfer %s: %s", self._call.uuid, outcome, detail)

    def _decide(self, destination: str, name: str, outcome: TransferOutcome, detail: str) -> None:
        now = asyncio.get_running_loop().time()
        self._call.emit(TransferDecided(self._call.uuid, now, destination, name, outcome, detail))
