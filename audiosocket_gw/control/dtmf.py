"""The caller's DTMF keys: collected into numbers for the agent, or mapped to an action without it."""

from __future__ import annotations

from dataclasses import dataclass, field

from audiosocket_gw.protocol.audiosocket import DTMF_DIGITS

END_OF_NUMBER = "#"

MAX_DIGITS = 40
"""A number also ends after this many digits: longer ones don't occur, and the memory is limited."""


@dataclass(frozen=True, slots=True)
class KeyAction:
    """The action of a key: ``hangup``, or ``transfer`` to a destination that the transfer policy allows."""

    kind: str
    target: str = ""

    @classmethod
    def parse(cls, text: str) -> KeyAction:
        """Parse ``hangup`` or ``transfer:TARGET``.

        Raises:
            ValueError: the text is neither.
        """
        kind, _, target = text.strip().partition(":")
        if (kind, bool(target)) not in {("hangup", False), ("transfer", True)}:
            raise ValueError(f"{text!r} is neither hangup nor transfer:DESTINATION")
        return cls(kind, target)


def parse_key_actions(text: str) -> dict[str, KeyAction]:
    """Parse ``0=transfer:operator,*=hangup``.

    Raises:
        ValueError: a key or an action is invalid, or a key has two actions.
    """
    actions: dict[str, KeyAction] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equals, action = part.partition("=")
        if key not in DTMF_DIGITS or not equals:
            raise ValueError(f"{part!r} does not begin with a key and an equals sign, such as 0=hangup")
        if key in actions:
            raise ValueError(f"the key {key} has two actions")
        actions[key] = KeyAction.parse(action)
    return actions


@dataclass(slots=True)
class DtmfCollector:
    """The digits so far. The owner adds keys, and ends the number after a pause."""

    _digits: list[str] = field(default_factory=list)

    def add(self, digit: str) -> str | None:
        """Add a key; return the whole number if this key ended it."""
        if digit != END_OF_NUMBER:
            self._digits.append(digit)
            return self.end() if len(self._digits) >= MAX_DIGITS else None
        return self.end() or END_OF_NUMBER

    def end(self) -> str | None:
        """Return the number, if any, and start a new one."""
        number = "".join(self._digits)
        self._digits.clear()
        return number or None
