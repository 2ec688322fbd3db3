"""The status and the variables of one channel of Asterisk, by its name. Acts: `caller_channel`."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from audiosocket_gw.ami.client import AmiClient, AmiTiming
from audiosocket_gw.ami.connection import MAX_LINE_BYTES, AmiActionError, Values
from audiosocket_gw.ami.dialplan import check_variables_to_set
from audiosocket_gw.ami.encoding import as_answered, without_cr
from audiosocket_gw.ami.registry import Headers
from audiosocket_gw.errors import ControlError, LocalProtocolError

logger = logging.getLogger("audiosocket_gw.ami")

_QUESTIONS_BYTES = MAX_LINE_BYTES - 100


class ChannelActions:
    """Actions on the channels of one Asterisk. Every failure is a `ControlError`."""

    def __init__(self, client: AmiClient) -> None:
        self._client = client

    @property
    def timing(self) -> AmiTiming:
        """The time limits."""
        return self._client.timing

    async def perform(
        self, action: str, values: Values, deadline_s: float | None = None
    ) -> tuple[Headers, ...]:
        """Perform an action; return its response, and the events that belong to it.

        Raises:
            ControlError: Asterisk rejected it or can't be asked, or a value can't be sent.
        """
        try:
            answer = await self._client.perform(action, values, deadline_s)
        except LocalProtocolError as error:
            raise ControlError(str(error)) from error
        return (answer.headers, *answer.rows)

    async def status(self, channel: str, variables: Sequence[str] = ()) -> Headers | None:
        """Return the headers of the channel's `Status`, or None if no channel has this name.

        Raises:
            ControlError: Asterisk can't be asked.
        """
        values = {"Channel": channel}
        if variables:
            values["Variables"] = ",".join(variables)
        try:
            received = await self.perform("Status", values)
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

    async def read_variables(self, channel: str, names: Sequence[str]) -> dict[str, str]:
        """Return the variables, with each CR LF as LF; one that isn't set is empty.

        Asterisk sends the first 511 bytes of each, whatever the action (measured on 22.10).

        Raises:
            ControlError: Asterisk can't be asked.
        """
        can_replace = "REPLACE" in self._client.functions
        questions = {name: without_cr(name) if can_replace else name for name in names}
        values = dict.fromkeys(questions, "")
        for portion in _portions(questions):
            status = await self.status(channel, [questions[name] for name in portion])
            if status is not None:
                values |= answers(status, {name: questions[name] for name in portion})
        return values

    async def set_variables(self, channel: str, variables: Mapping[str, str]) -> bool:
        """Set variables; return False if no channel has this name.

        All are sent at once. Asterisk never reuses the name of a channel.

        Raises:
            ControlError: a name or value can't be set, or Asterisk refused.
        """
        check_variables_to_set(variables)
        settings = (
            self.perform("Setvar", {"Channel": channel, "Variable": name, "Value": value})
            for name, value in variables.items()
        )
        try:
            await asyncio.gather(*settings)
        except AmiActionError as refusal:
            if refusal.is_no_such_channel:
                return False
            raise
        return True


def answers(status: Headers, questions: Mapping[str, str]) -> dict[str, str]:
    """Parse ``Variable: QUESTION=value`` for each name; Asterisk writes ``(null)`` for unset ones.

    If a variable comes twice, the value of another one contains it, and its true value is unknown: return it
    empty.
    """
    given = defaultdict(list)
    for line in status.get("Variable", "").split("\r\n"):
        question, _, value = line.partition("=")
        given[question].append("" if value == "(null)" else value)
    read = {name: given[as_answered(question)] for name, question in questions.items()}
    return {name: values[0] if len(values) == 1 else "" for name, values in read.items()}


def _portions(questions: Mapping[str, str]) -> Iterator[list[str]]:
    """Split the names so that each portion fits into one header."""
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


_BROKEN_BY_A_VALUE = (
    "%s: a value with an empty line in it broke Asterisk's answer, so none of these channel variables is "
    "known: %s; load func_strings.so into Asterisk, and the gateway can ask for them without line breaks"
)
