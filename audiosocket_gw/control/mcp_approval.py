"""Which MCP tools may run when their policy asks for approval: the setting ``MCP_APPROVAL``. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class McpApproval:
    """``tools`` may run; None: all of them."""

    tools: frozenset[str] | None = frozenset()

    @classmethod
    def parse(cls, text: str) -> McpApproval:
        """Parse ``deny``, ``allow``, or names separated by commas.

        Raises:
            ValueError: the text is none of these.
        """
        names = frozenset(filter(None, (part.strip() for part in text.split(","))))
        words = {name.lower() for name in names} & {"deny", "allow"}
        if not words:
            return cls(names)
        if len(names) > 1:
            raise ValueError(f"{min(words)} stands alone; take deny, allow, or names of tools")
        return cls(frozenset() if "deny" in words else None)

    def allows(self, tool: str) -> bool:
        """Whether the tool of that name may run."""
        return self.tools is None or tool in self.tools

    def __str__(self) -> str:
        """Return the text of the setting."""
        return "allow" if self.tools is None else ",".join(sorted(self.tools)) or "deny"
