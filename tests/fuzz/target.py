"""What a fuzz target is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"

MAX_KEPT_BYTES = 8_000
"""Of each target: the repository keeps what is small and reaches far."""


@dataclass(frozen=True, slots=True)
class Target:
    """``check`` raises if the bytes break something. ``seeds`` returns bytes to begin with.

    ``words`` are put into the bytes as they are. ``max_bytes``: longer ones only take longer.
    """

    name: str
    check: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    words: tuple[bytes, ...] = ()
    max_bytes: int = 4_096

    def corpus(self) -> list[bytes]:
        """Return what fuzzing has found that is worth keeping."""
        return [path.read_bytes() for path in sorted((CORPUS / self.name).glob("*"))]
