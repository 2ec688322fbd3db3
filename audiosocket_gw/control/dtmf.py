"""The caller's keys: gathered into numbers for the agent, or mapped to an action without it."""

from __future__ import annotations

from dataclasses import dataclass, field

from audiosocket_gw.protocol.audiosocket import DTMF_DIGITS

END_OF_NUMBER = "#"

MAX_DIGITS = 40
"""A number is at an end after so many, too: nobody types more, and nothing grows without bound."""


@dataclass(frozen=True, slots=True)
class KeyAction:
    """What a key does: ``hangup``, or ``transfer`` to a destination that the transfer policy allows."""

    kind: str
    target: str = ""

    @classmethod
    def parse(cls, text: str) -> KeyAction:
        """Read ``hangup`` or ``transfer:TARGET``.

        Raises:
            ValueError: it is neither.
        """
        kind, _, target = text.strip().partition(":")
        if (kind, bool(target)) not in {("hangup", False), ("transfer", True)}:
            raise ValueError(f"{text!r} is neither hangup nor transfer:DESTINATION")
        return cls(kind, target)


def parse_key_actions(text: str) -> dict[str, KeyAction]:
    """Read ``0=transfer:operator,*=hangup``.

    Raises:
        ValueError: a key or an action is none, or a key has two.
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
    """The digits so far. Whoever holds it adds keys, and ends it when no key came for a while."""

    _digits: list[str] = field(default_factory=list)

    def add(self, digit: str) -> str | None:
        """Take a key; return the whole number when this key ended it."""
        if digit != END_OF_NUMBER:
            self._digits.append(digit)
            return self.end() if len(self._digits) >= MAX_DIGITS else None
        return self.end() or END_OF_NUMBER

    def end(self) -> str | None:
        """Return the number, if any, and begin a new one."""
        number = "".join(self._digits)
        self._digits.clear()
        return number or None
