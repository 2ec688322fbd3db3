"""The allow-list of transfers, checked before Asterisk is contacted.

The agent is a language model that strangers talk to. Its request is compared literally and as a whole with
the operator's settings; no part of it is ever interpreted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from audiosocket_gw.ami.dialplan import CONTEXT, EXTENSION
from audiosocket_gw.errors import ToolError

DESTINATION = re.compile(rf"({EXTENSION})@({CONTEXT})")

INTERNAL_EXTENSION = re.compile(r"(?!(?:1[578]|0?000|[09]{0,2}(?:11[0-9]|911|999))$)[0-9]{1,5}")
"""The PBX's own extensions of one to five digits, without the short emergency numbers, also not after the
``0`` or ``9`` of an outside line. Those that are usual extensions elsewhere (100, 144) are not excluded."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A place in the dialplan. ``name`` is its name for the agent."""

    extension: str
    context: str
    priority: int = 1
    name: str = ""

    @classmethod
    def parse(cls, text: str, name: str = "") -> Destination:
        """Parse ``extension@context``.

        Raises:
            ValueError: the text has another form.
        """
        match = DESTINATION.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not of the form extension@context, such as 600@queues")
        return cls(match[1], match[2], name=name)

    @classmethod
    def parse_list(cls, text: str) -> dict[str, Destination]:
        """Parse ``name=extension@context``, separated by commas; return the destinations by name, in lower
        case.

        Raises:
            ValueError: a part has another form, or a name occurs twice.
        """
        destinations: dict[str, Destination] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, equals, place = (piece.strip() for piece in part.partition("="))
            if not name or not equals:
                raise ValueError(f"{part!r} is not of the form name=extension@context")
            if name.lower() in destinations:
                raise ValueError(f"the name {name!r} stands for two destinations")
            destinations[name.lower()] = cls.parse(place, name)
        return destinations

    def __str__(self) -> str:
        return f"{self.extension}@{self.context}"


@dataclass(frozen=True, slots=True)
class TransferPolicy:
    """The allowed transfers.

    ``named``: destinations by name, in lower case. ``extensions``: pattern that an extension must match as a
    whole to be allowed in one of ``contexts``, the first of which is the default; None allows only named
    destinations.
    """

    named: Mapping[str, Destination]
    extensions: re.Pattern[str] | None
    contexts: Sequence[str]

    @classmethod
    def of(
        cls, named: Mapping[str, Destination], extensions: re.Pattern[str] | None, contexts: Sequence[str]
    ) -> TransferPolicy:
        """Return the operator's policy; without names and a pattern it is `INTERNAL_EXTENSION`."""
        if extensions is None and not named:
            extensions = INTERNAL_EXTENSION
        return cls(named, extensions, contexts)

    def resolve(self, extension: str, context: str | None = None, priority: str | None = None) -> Destination:
        """Return the destination that the agent asks for, always at priority 1.

        A later priority could skip an opening-hours check or an Authenticate().

        Raises:
            ToolError: the destination isn't allowed; the message lists what is, and repeats nothing unsafe.
        """
        destination = self._find(extension.strip(), (context or "").strip())
        if (priority or "").strip() not in ("", "1"):
            raise ToolError("transfer_priority can only be 1. Leave it out.")
        return destination

    def allows(self, extension: str) -> bool:
        """Return whether a transfer to an extension or a name is allowed."""
        try:
            self.resolve(extension)
        except ToolError:
            return False
        return True

    def _find(self, extension: str, context: str) -> Destination:
        for name, destination in self.named.items():
            if (extension.lower() == name or extension == destination.extension) and context in (
                "",
                destination.context,
            ):
                return destination
        if self.extensions is None or not self.extensions.fullmatch(extension):
            raise ToolError(f"A transfer to that extension is not allowed. {self._allowed}")
        if context and context not in self.contexts:
            raise ToolError("A transfer to that context is not allowed. Leave transfer_context out.")
        try:
            return Destination.parse(f"{extension}@{context or self.contexts[0]}")
        except ValueError:
            raise ToolError(f"A transfer to that extension is not allowed. {self._allowed}") from None

    @property
    def _allowed(self) -> str:
        if self.named:
            return f"Possible destinations: {', '.join(self.named)}. Offer one of them."
        return "Ask the caller for another extension, or help without a transfer."
