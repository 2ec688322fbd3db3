"""What a call needs of its PBX, in the call's own words: who is calling, go there, hang up.

Everything that fails is a `ControlError`. Before anything is done to a channel, Asterisk is asked whether the
channel is still in the call: the registry may be out of date, and then somebody else would be moved.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from audiosocket_gw.ami.client import AmiClient
from audiosocket_gw.ami.connection import MAX_LINE_BYTES, AmiActionError, Values
from audiosocket_gw.ami.registry import Channel, Headers, known, uuids_named_by
from audiosocket_gw.ami.text import as_answered, is_presented, without_cr
from audiosocket_gw.errors import ControlError, LocalProtocolError

logger = logging.getLogger("audiosocket_gw.ami")

REGISTRY_WAIT_S = 0.5
"""Asterisk tells of the channel before it connects the call, but on another connection: it can come later."""

LANDING_DEADLINE_S = 3.0
LANDING_POLL_S = 0.05

ORIGINATE_GRACE_S = 5.0
"""What Asterisk's report may take beyond the time that it lets the phone ring."""

_EXTENSION = re.compile(r"[A-Za-z0-9*#+][A-Za-z0-9*#+._-]{0,39}")
_CONTEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,78}")
_PRIORITY = re.compile(r"[1-9][0-9]{0,5}|[A-Za-z][A-Za-z0-9_-]{0,39}")
_VARIABLE_TO_SET = re.compile(r"_{0,2}[A-Za-z][A-Za-z0-9_]{0,79}")
_VARIABLE_TO_READ = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,79}(\([A-Za-z0-9_.,:/-]*\))?")
_DIALLED = re.compile(r"[A-Za-z0-9]+/[A-Za-z0-9*#+._:@/-]{1,120}")
_DRIVEN = r"AudioSocket/(?P<service>[^/,&]*)/(?P<uuid>{uuid})(?:/c\((?P<codec>\w*)\))?"
"""What the channel driver is dialled by, in the data of ``Dial``; the codec is optional."""

_CALLER_ID = re.compile(r"[^\r\n\0]{0,120}")
# Originate takes several variables in one header, with commas between them and quotes around them.
_ORIGINATE_VALUE = re.compile(r"[^\r\n\0,\"\\()\[\]{}$]{0,500}")

_PRESENTATIONS = ("CALLERID(num-pres)", "CALLERID(name-pres)")

_QUESTIONS_BYTES = MAX_LINE_BYTES - 100

_ORIGINATE_FAILURES = {
    "0": "no such extension, or not reachable",
    "1": "hung up",
    "3": "no answer",
    "5": "busy",
    "8": "congestion",
}


@dataclass(frozen=True, slots=True)
class DialplanLine:
    """What a channel executes, ``application(data)``, with variables filled in; and where that stands."""

    context: str
    exten: str
    priority: str
    application: str
    data: str

    @property
    def place(self) -> str:
        """Where it is in the dialplan, as Asterisk writes it: ``5002@phones:4``."""
        return f"{self.exten}@{self.context}:{self.priority}"

    def with_codec(self, uuid: UUID, codec: str) -> DialplanLine:
        """Return the line that dials the call of ``uuid`` with a codec."""
        named = rf"AudioSocket/\g<service>/\g<uuid>/c({codec})"
        return replace(self, data=_driven(uuid).sub(named, self.data))

    def __str__(self) -> str:
        return f"{self.application}({self.data})"


@dataclass(frozen=True, slots=True)
class CallerData:
    """Who is calling, and how: the caller's channel, its variables, and the line that called us.

    ``variables`` has every one that was asked for; one that isn't set is empty. ``line`` is None when the
    channel executes something else, having been dialled for: by a queue, say. ``codec`` is what Asterisk
    sends in this call, by Asterisk's name (``slin``, ``ulaw``, ``g722``); empty when that isn't known.
    """

    channel: Channel
    variables: Mapping[str, str]
    line: DialplanLine | None = None
    codec: str = ""


@dataclass(frozen=True, slots=True)
class ChannelState:
    """What a channel executes now, nothing between two applications; and variables that were asked for."""

    application: str
    data: str
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TransferTarget:
    """Where a channel was seen after a redirect, and what it executed there."""

    channel: str
    context: str
    exten: str
    priority: str
    application: str


@dataclass(frozen=True, slots=True)
class Originated:
    """A call that was placed and answered."""

    channel: str
    uniqueid: str


class CallControl:
    """The control over the calls of one PBX."""

    def __init__(self, client: AmiClient) -> None:
        self._client = client
        self._misses_reported = False

    @property
    def connected(self) -> bool:
        """There is a connection to the PBX's manager interface now."""
        return self._client.connected

    async def wait_until_connected(self) -> None:
        """Wait for a connection to the PBX's manager interface."""
        while not self.connected:
            await self._client.wait_for_update()

    async def channel_of(self, uuid: UUID) -> Channel:
        """Return the caller's channel.

        Raises:
            ControlError: no channel has the call, or Asterisk can't be asked.
        """
        return Channel.from_headers(await self._status(uuid))

    async def describe(self, uuid: UUID, variables: Sequence[str] = ()) -> CallerData:
        """Return who is calling, with channel variables, or functions such as ``CHANNEL(language)``.

        Raises:
            ControlError: the call isn't known, a name is bad, or Asterisk can't be asked.
        """
        for name in variables:
            _check(_VARIABLE_TO_READ, name, "channel variable")
        # Variables apart: whatever somebody has put into one, who is calling stays what it is.
        status = await self._status(uuid, _PRESENTATIONS if "CALLERID" in self._client.functions else ())
        line = _line(uuid, status)
        return CallerData(
            channel=_presented(status),
            variables=await self._read(status["Channel"], variables),
            line=line,
            codec=await self._codec(uuid, line) if line else "",
        )

    async def extension_exists(self, context: str, extension: str, priority: int | str = 1) -> bool:
        """Tell whether the dialplan has the extension, patterns included.

        Raises:
            ControlError: it is no name of an extension, or Asterisk can't be asked.
        """
        _check_destination(context, extension, priority)
        question = f"DIALPLAN_EXISTS({context},{extension},{priority})"
        answer = await self._client.perform("Getvar", {"Variable": question})
        value = answer.headers.get("Value", "")
        if value not in {"0", "1"}:
            raise ControlError(
                f"Asterisk can't tell whether {extension}@{context} exists: it says {value!r}; "
                "is func_dialplan.so loaded?"
            )
        return value == "1"

    async def set_variables(self, uuid: UUID, variables: Mapping[str, str]) -> None:
        """Set variables on the caller's channel, for the dialplan that goes on.

        Raises:
            ControlError: a name or value can't be set, the call isn't known, or Asterisk refused.
        """
        channel = (await self._status(uuid))["Channel"]
        if not await self.set_variables_on(channel, variables):
            raise ControlError(f"the channel {channel} of the call {uuid} has just hung up")

    async def set_variables_on(self, channel: str, variables: Mapping[str, str]) -> bool:
        """Set variables on a channel without asking what it does; return False if there is none of this name.

        All are sent at once. Asterisk never uses the name of a channel again.

        Raises:
            ControlError: a name or value can't be set, or Asterisk refused.
        """
        for name in variables:
            # Setvar with parentheses in the name would call a dialplan function.
            _check(_VARIABLE_TO_SET, name, "channel variable")
        settings = (
            self._act("Setvar", {"Channel": channel, "Variable": name, "Value": value})
            for name, value in variables.items()
        )
        try:
            await asyncio.gather(*settings)
        except AmiActionError as refusal:
            if refusal.is_no_such_channel:
                return False
            raise
        return True

    async def state_of(self, channel: str, variables: Sequence[str] = ()) -> ChannelState | None:
        """Return what a channel does now, or None when there is none of this name.

        Raises:
            ControlError: Asterisk can't be asked.
        """
        status = await self._status_of(channel, variables)
        if status is None:
            return None
        return ChannelState(*_executed(status), _variables(status, {name: name for name in variables}))

    async def redirect(
        self, uuid: UUID, context: str, extension: str, priority: int | str = 1
    ) -> TransferTarget:
        """Send the caller to an extension, and return when the caller has been seen there.

        The AudioSocket connection must get audio until Asterisk closes it: closed sooner, the dialplan goes
        on where it was.

        Raises:
            ControlError: it was refused or it can't be proved; the message says whether the caller is gone.
        """
        _check_destination(context, extension, priority)
        before = await self._status(uuid)
        await self._act(
            "Redirect",
            {
                "Channel": before["Channel"],
                "Context": context,
                "Exten": extension,
                "Priority": str(priority),
            },
        )
        destination = f"{extension}@{context}"
        try:
            async with asyncio.timeout(LANDING_DEADLINE_S):
                return await self._landing(uuid, before, destination)
        except TimeoutError:
            raise ControlError(
                f"Asterisk took the order, but within {LANDING_DEADLINE_S:g} s nobody came to {destination}"
            ) from None

    async def hang_up(self, uuid: UUID, cause: int = 16) -> None:
        """Hang the caller up; ``cause`` is of Q.850, 16 is normal clearing.

        Raises:
            ControlError: the call isn't known, or Asterisk refused.
        """
        channel = (await self._status(uuid))["Channel"]
        await self._act("Hangup", {"Channel": channel, "Cause": str(cause)})

    async def originate(
        self,
        channel: str,
        context: str,
        extension: str,
        priority: int | str = 1,
        *,
        caller_id: str = "",
        variables: Mapping[str, str] | None = None,
        ring_s: float = 30.0,
    ) -> Originated:
        """Ring ``channel`` (``PJSIP/100``) and send who answers to an extension; return when answered.

        Raises:
            ControlError: an argument is bad, Asterisk refused, or nobody answered; the message says which.
        """
        _check(_DIALLED, channel, "channel to dial")
        _check_destination(context, extension, priority)
        _check(_CALLER_ID, caller_id, "caller id")
        values: dict[str, str | list[str]] = {
            "Channel": channel,
            "Context": context,
            "Exten": extension,
            "Priority": str(priority),
            "Timeout": str(round(ring_s * 1_000)),
            "Async": "true",
            "Variable": _assignments(variables or {}),
            **({"CallerID": caller_id} if caller_id else {}),
        }
        return _originated(channel, await self._act("Originate", values, ring_s + ORIGINATE_GRACE_S))

    def forget(self, uuid: UUID) -> None:
        """Drop what is known of the call's channel: the call is over."""
        self._client.registry.forget(uuid)

    async def _codec(self, uuid: UUID, line: DialplanLine) -> str:
        """Return what Asterisk sends: by the channel driver, when the line names none, the caller's codec."""
        if line.application == "AudioSocket":
            return "slin"
        dialled = _driven(uuid).search(line.data)
        if dialled is None:
            return ""
        if dialled["codec"]:
            return dialled["codec"]
        try:
            status = await self._status_of(f"AudioSocket/{dialled['service']}-{dialled['uuid']}")
        except ControlError:
            return ""
        formats = status.get("Nativeformats", "") if status else ""
        return formats.strip("()").partition("|")[0]

    # Channel variables

    async def _read(self, channel: str, names: Sequence[str]) -> dict[str, str]:
        """Return the variables, with each CR LF as LF; one that isn't set is empty.

        Asterisk tells the first 511 bytes of each, however it is asked (measured on 22.10).
        """
        if "REPLACE" not in self._client.functions:
            return await self._ask(channel, {name: name for name in names})
        return await self._ask(channel, {name: without_cr(name) for name in names})

    async def _ask(self, channel: str, questions: Mapping[str, str]) -> dict[str, str]:
        """Return the answers to what is asked for each name, empty where there is none."""
        values = dict.fromkeys(questions, "")
        for portion in _portions(questions):
            status = await self._status_of(channel, [questions[name] for name in portion])
            if status is not None:
                values |= _variables(status, {name: questions[name] for name in portion})
        return values

    # How a call is found

    async def _status(self, uuid: UUID, variables: Sequence[str] = ()) -> Headers:
        """Return what Asterisk says now of the channel that has the call, wherever it has gone."""
        hinted = await self._hinted(uuid)
        if hinted is not None:
            status = await self._status_of(hinted.name, variables)
            if status is not None and uuid in uuids_named_by(*_executed(status)):
                return status
        listed = await self._listed(uuid, hinted)
        status = await self._status_of(listed.name, variables)
        if status is None:
            raise ControlError(f"the channel {listed.name} of the call {uuid} has just hung up")
        return status

    async def _hinted(self, uuid: UUID) -> Channel | None:
        try:
            async with asyncio.timeout(REGISTRY_WAIT_S):
                while (channel := self._client.registry.channel_of(uuid)) is None and self.connected:
                    await self._client.wait_for_update()
        except TimeoutError:
            return None
        return channel

    async def _listed(self, uuid: UUID, hinted: Channel | None) -> Channel:
        self._client.registry.forget(uuid)
        await self._client.refresh()
        channel = self._client.registry.channel_of(uuid)
        if channel is None:
            raise ControlError(f"no channel of Asterisk at {self._client.address} is in the call {uuid}")
        if hinted is None and not self._misses_reported:
            self._misses_reported = True
            logger.info(_NOT_TOLD, self._client.address)
        return channel

    async def _status_of(self, channel: str, variables: Sequence[str] = ()) -> Headers | None:
        """Return what Asterisk says of the channel, or None when there is none of this name."""
        values = {"Channel": channel}
        if variables:
            values["Variables"] = ",".join(variables)
        try:
            received = await self._act("Status", values)
        except AmiActionError as refusal:
            if refusal.is_no_such_channel:
                return None
            raise
        for headers in received:
            if headers.get("Event") == "Status":
                return headers
        if variables:
            logger.warning(_BROKEN_BY_A_VALUE, self._client.address, ", ".join(variables))
        return None

    async def _act(self, action: str, values: Values, deadline_s: float | None = None) -> tuple[Headers, ...]:
        try:
            answer = await self._client.perform(action, values, deadline_s)
        except LocalProtocolError as error:
            raise ControlError(str(error)) from error
        return (answer.headers, *answer.rows)

    async def _landing(self, uuid: UUID, before: Headers, destination: str) -> TransferTarget:
        """Wait until the channel executes something else, which is at the new place."""
        while (status := await self._status_of(before["Channel"])) is not None:
            # Between two applications it executes nothing, or again what AudioSocket() was called by.
            application, data = _executed(status)
            left = (application, data) != _executed(before) and uuid not in uuids_named_by(application, data)
            if left and application:
                return _landed(status, destination)
            await asyncio.sleep(LANDING_POLL_S)
        raise ControlError(
            f"the caller was hung up on the way to {destination}: Asterisk found nothing to execute there, "
            "or it ended at once"
        )


def _check(pattern: re.Pattern[str], value: str, what: str) -> None:
    if not pattern.fullmatch(value):
        raise ControlError(f"{value[:80]!r} is no {what}")


def _check_destination(context: str, extension: str, priority: int | str) -> None:
    _check(_CONTEXT, context, "context")
    _check(_EXTENSION, extension, "extension")
    _check(_PRIORITY, str(priority), "priority")


def _executed(status: Headers) -> tuple[str, str]:
    """Return application and data; the application is empty between two of them."""
    return known(status.get("Application", "")), known(status.get("Data", ""))


def _line(uuid: UUID, status: Headers) -> DialplanLine | None:
    application, data = _executed(status)
    if uuid not in uuids_named_by(application, data):
        return None
    return DialplanLine(
        context=status.get("Context", ""),
        exten=status.get("Exten", ""),
        priority=status.get("Priority", ""),
        application=application,
        data=data,
    )


def _driven(uuid: UUID) -> re.Pattern[str]:
    return re.compile(_DRIVEN.format(uuid=uuid), re.IGNORECASE)


def _landed(status: Headers, destination: str) -> TransferTarget:
    landing = TransferTarget(
        channel=status.get("Channel", ""),
        context=status.get("Context", ""),
        exten=status.get("Exten", ""),
        priority=status.get("Priority", ""),
        application=status.get("Application", ""),
    )
    if landing.exten == "i" and not destination.startswith("i@"):
        raise ControlError(
            f"{destination} is invalid: the caller is at the extension `i` of {landing.context}"
        )
    return landing


def _presented(status: Headers) -> Channel:
    """Return the channel, without the number or the name that the caller wants to be withheld."""
    channel = Channel.from_headers(status)
    number, name = _variables(status, {name: name for name in _PRESENTATIONS}).values()
    return replace(
        channel,
        caller_number=channel.caller_number if is_presented(number) else "",
        caller_name=channel.caller_name if is_presented(name) else "",
    )


def _variables(status: Headers, questions: Mapping[str, str]) -> dict[str, str]:
    """Read ``Variable: QUESTION=value`` for each name; Asterisk writes ``(null)`` for what isn't set.

    One that comes twice was written by another's value: which of them is true can't be told.
    """
    answers = defaultdict(list)
    for line in status.get("Variable", "").split("\r\n"):
        question, _, value = line.partition("=")
        answers[question].append("" if value == "(null)" else value)
    read = {name: answers[as_answered(question)] for name, question in questions.items()}
    return {name: values[0] if len(values) == 1 else "" for name, values in read.items()}


def _portions(questions: Mapping[str, str]) -> Iterator[list[str]]:
    """Share the names out, so that what is asked for each portion fits into one header."""
    portion: list[str] = []
    length = 0
    for name, question in questions.items():
        if portion and length + len(question) > _QUESTIONS_BYTES:
            yield portion
            portion, length = [], 0
        portion.append(name)
        length += len(question) + 1
    if portion:
        yield portion


def _assignments(variables: Mapping[str, str]) -> list[str]:
    for name, value in variables.items():
        _check(_VARIABLE_TO_SET, name, "channel variable")
        _check(_ORIGINATE_VALUE, value, f"value for the channel variable {name}")
    return [f"{name}={value}" for name, value in variables.items()]


def _originated(channel: str, received: Sequence[Headers]) -> Originated:
    """Read Asterisk's report, which comes behind its "queued", or instead of it when it failed at once."""
    for headers in received:
        if headers.get("Event") == "OriginateResponse":
            if headers.get("Response") == "Success":
                return Originated(headers.get("Channel", ""), headers.get("Uniqueid", ""))
            reason = headers.get("Reason", "")
            why = _ORIGINATE_FAILURES.get(reason, f"Asterisk's reason {reason}")
            raise ControlError(f"the call to {channel} did not come about: {why}")
    raise ControlError(f"Asterisk did not report on the call to {channel}")


_NOT_TOLD = (
    "%s: Asterisk did not tell of a call in time, so all its channels were listed to find it; if this is so "
    "for every call, give the user of manager.conf read=call,dialplan and its eventfilter lines"
)
_BROKEN_BY_A_VALUE = (
    "%s: a value with an empty line in it broke Asterisk's answer, so none of these channel variables is "
    "known: %s; load func_strings.so into Asterisk, and the gateway can ask for them without line breaks"
)
