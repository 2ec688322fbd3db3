"""The tree of errors.

::

    GatewayError
    ├── ConfigurationError        an invalid or missing setting
    ├── ProtocolError
    │   ├── LocalProtocolError    we tried to send something illegal
    │   └── RemoteProtocolError   the peer sent something illegal
    ├── AgentError                the agent can't be reached, or rejected the call
    ├── CallRejected              the caller hasn't shown what is required, or the gateway is overloaded
    ├── ControlError              Asterisk's manager interface can't do it
    │   └── UnknownCallError      no channel of Asterisk is in the call
    ├── ToolError                 a tool call can't be carried out
    └── HistoryError              the history of calls can't answer
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from audiosocket_gw.causes import Cause
from audiosocket_gw.end_reasons import CallEnd, EndReason

EXIT_CONFIGURATION = 2
"""Exit status of a command that failed with a `ConfigurationError`."""


def reason_of(error: BaseException, otherwise: str = "") -> str:
    """Return the error's message, or if it is empty (`TimeoutError`), ``otherwise`` or the error's name."""
    return str(error) or otherwise or type(error).__name__


class GatewayError(Exception):
    """The base of every error that this package raises."""


class ConfigurationError(GatewayError):
    """A setting is missing or invalid; the message names the variable, the value and the fix."""


class Faults:
    """Collects `ConfigurationError`s, so that one start names all faults."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Continue after a `ConfigurationError` in the block. The same line counts once."""
        try:
            yield
        except ConfigurationError as error:
            self.add(*str(error).splitlines())

    def add(self, *lines: str) -> None:
        """Add faults, a line for each."""
        self._lines |= dict.fromkeys(lines)

    def raise_if_any(self) -> None:
        """Raise one error with all collected faults.

        Raises:
            ConfigurationError: there are faults; the message has a line for each.
        """
        if self._lines:
            raise ConfigurationError("\n".join(self._lines))


class ProtocolError(GatewayError):
    """One side violated a wire protocol."""


class LocalProtocolError(ProtocolError):
    """The gateway tried to send something illegal: a defect."""


class RemoteProtocolError(ProtocolError):
    """Asterisk, or the agent, sent something illegal."""


class AgentError(GatewayError):
    """The agent can't be reached, rejected the call, or broke it off; ``end`` says how."""

    def __init__(self, reason: EndReason, cause: Cause) -> None:
        self.end = CallEnd(reason, cause)
        super().__init__(self.end.detail)

    @property
    def reason(self) -> EndReason:
        return self.end.reason


class CallRejected(GatewayError):
    """The call may not reach the agent; ``end`` says why."""

    def __init__(self, end: CallEnd) -> None:
        self.end = end
        super().__init__(end.detail)


class ControlError(GatewayError):
    """Asterisk's manager interface is not connected, doesn't know the call, or rejected the action."""


class UnknownCallError(ControlError):
    """Asterisk answered: none of its channels is in the call."""


class ToolFault(StrEnum):
    """Why a tool call has no result."""

    ERROR = "error"
    """The tool says so itself, such as a transfer that isn't allowed."""
    ARGUMENTS = "bad-arguments"
    UNKNOWN = "unknown-tool"
    BUSY = "busy"
    FAILED = "failed"
    """It raised an exception, or its worker process died."""
    TIMED_OUT = "timed-out"
    CANCELLED = "cancelled"
    """The call ended first."""


class ToolError(GatewayError):
    """A tool is unknown, not allowed, or got invalid arguments; the message is meant for the agent."""

    def __init__(self, message: str = "", fault: ToolFault = ToolFault.ERROR) -> None:
        super().__init__(message)
        self.fault = fault


class HistoryError(GatewayError):
    """The history of calls can't answer: its disk hangs, or it is locked."""
