"""What single keys do without the agent: the setting ``DTMF_ACTIONS``. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from audiosocket_gw.protocol.audiosocket import DTMF_DIGITS


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
