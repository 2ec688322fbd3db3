"""DTMF keys collected into the number that the agent is told. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

END_OF_NUMBER = "#"

MAX_DIGITS = 40
"""A number also ends after this many digits: longer ones don't occur, and the memory is limited."""


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
