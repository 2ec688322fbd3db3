"""The syntax of the dialplan: names that are safe to send, and the line that a channel executes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from audiosocket_gw.ami.registry import UUID_PATTERN, Headers, known, uuids_named_by
from audiosocket_gw.errors import ControlError

EXTENSION = r"[A-Za-z0-9*#+][A-Za-z0-9*#+._-]{0,39}"
CONTEXT = r"[A-Za-z0-9][A-Za-z0-9._-]{0,78}"
"""Regular expressions: only characters that mean nothing to the manager interface or the dialplan."""

_EXTENSION = re.compile(EXTENSION)
_CONTEXT = re.compile(CONTEXT)
_PRIORITY = re.compile(r"[1-9][0-9]{0,5}|[A-Za-z][A-Za-z0-9_-]{0,39}")
_VARIABLE_TO_SET = re.compile(r"_{0,2}[A-Za-z][A-Za-z0-9_]{0,79}")
_VARIABLE_TO_READ = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,79}(\([A-Za-z0-9_.,:/-]*\))?")
_DIALLED = re.compile(r"[A-Za-z0-9]+/[A-Za-z0-9*#+._:@/-]{1,120}")
_CALLER_ID = re.compile(r"[^\r\n\0]{0,120}")
# Originate has several variables in one header, quoted and separated by commas.
_ORIGINATE_VALUE = re.compile(r"[^\r\n\0,\"\\()\[\]{}$]{0,500}")

_DRIVEN = re.compile(
    rf"AudioSocket/(?P<service>[^/,&]*)/(?P<uuid>{UUID_PATTERN})(?:/c\((?P<codec>\w*)\))?", re.IGNORECASE
)
"""How ``Dial`` names the channel driver in its data; the codec is optional."""


@dataclass(frozen=True, slots=True)
class DialplanLine:
    """The line that a channel executes, ``application(data)`` with variables replaced, and its place."""

    context: str
    exten: str
    priority: str
    application: str
    data: str

    @property
    def place(self) -> str:
        """The place in the dialplan, as Asterisk writes it: ``5002@phones:4``."""
        return f"{self.exten}@{self.context}:{self.priority}"

    def with_codec(self, uuid: UUID, codec: str) -> DialplanLine:
        """Return the line that dials the call of ``uuid`` with a codec."""

        def named(driven: re.Match[str]) -> str:
            if UUID(driven["uuid"]) != uuid:
                return driven[0]
            return f"AudioSocket/{driven['service']}/{driven['uuid']}/c({codec})"

        return replace(self, data=_DRIVEN.sub(named, self.data))

    def driver_channel(self, uuid: UUID) -> DriverChannel | None:
        """Return the channel of the channel driver that this line dials for the call, if it dials one."""
        for driven in _DRIVEN.finditer(self.data):
            if UUID(driven["uuid"]) == uuid:
                return DriverChannel(
                    f"AudioSocket/{driven['service']}-{driven['uuid']}", driven["codec"] or ""
                )
        return None

    def __str__(self) -> str:
        return f"{self.application}({self.data})"


@dataclass(frozen=True, slots=True)
class DriverChannel:
    """A channel that ``Dial(AudioSocket/...)`` creates. ``codec`` is empty if the line names none."""

    name: str
    codec: str


def executed(status: Headers) -> tuple[str, str]:
    """Return application and data of a `Status`; the application is empty between two of them."""
    return known(status.get("Application", "")), known(status.get("Data", ""))


def calling_line(uuid: UUID, status: Headers) -> DialplanLine | None:
    """Return the line of a `Status`, if it calls the gateway for the call ``uuid``."""
    application, data = executed(status)
    if uuid not in uuids_named_by(application, data):
        return None
    return DialplanLine(
        context=status.get("Context", ""),
        exten=status.get("Exten", ""),
        priority=status.get("Priority", ""),
        application=application,
        data=data,
    )


def check_destination(context: str, extension: str, priority: int | str) -> None:
    """Check a place in the dialplan, name by name.

    Raises:
        ControlError: one of them is not a valid name.
    """
    _check(_CONTEXT, context, "context")
    _check(_EXTENSION, extension, "extension")
    _check(_PRIORITY, str(priority), "priority")


def check_variables_to_set(variables: Mapping[str, str]) -> None:
    """Check the names; Setvar with parentheses in a name would call a dialplan function.

    Raises:
        ControlError: one of them is not the name of a variable.
    """
    for name in variables:
        _check(_VARIABLE_TO_SET, name, "channel variable")


def check_variable_to_read(name: str) -> None:
    """Check the name of a variable, or a function such as ``CHANNEL(language)``.

    Raises:
        ControlError: the name is neither.
    """
    _check(_VARIABLE_TO_READ, name, "channel variable")


def check_call_to_originate(channel: str, caller_id: str, variables: Mapping[str, str]) -> None:
    """Check the arguments of an Originate other than the destination.

    Raises:
        ControlError: a value has characters that have a meaning for Asterisk.
    """
    _check(_DIALLED, channel, "channel to dial")
    _check(_CALLER_ID, caller_id, "caller id")
    check_variables_to_set(variables)
    for name, value in variables.items():
        _check(_ORIGINATE_VALUE, value, f"value for the channel variable {name}")


def _check(pattern: re.Pattern[str], value: str, what: str) -> None:
    if not pattern.fullmatch(value):
        raise ControlError(f"{value[:80]!r} is no {what}")
