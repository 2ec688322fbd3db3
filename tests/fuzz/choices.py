"""Decisions read from bytes, so that a fuzzer that changes bytes changes decisions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

MAX_DEPTH = 6
SHORT = 5


class Choices:
    """Reads from the front. When the bytes are used up, every number is 0 and every choice the first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def more(self) -> bool:
        return self._at < len(self._data)

    def number(self, below: int) -> int:
        """Return a number from 0 to ``below`` - 1."""
        size = (max(below - 1, 1).bit_length() + 7) // 8
        return int.from_bytes(self.take(size), "little") % below

    def flag(self) -> bool:
        return bool(self.number(2))

    def of(self, options: Sequence[T]) -> T:
        return options[self.number(len(options))]

    def take(self, size: int) -> bytes:
        """Return up to ``size`` bytes as they are."""
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken

    def some(self, most: int) -> bytes:
        """Return a length's worth of bytes."""
        return self.take(self.number(most + 1))

    def text(self, most: int) -> str:
        return self.some(most).decode(errors="surrogateescape")

    def rest(self) -> bytes:
        return self.take(len(self._data))

    def repeat(self, most: int) -> Iterator[int]:
        """Yield at most so many numbers, while there are bytes left."""
        for number in range(most):
            if not self.more:
                return
            yield number

    def cut(self, data: bytes) -> list[bytes]:
        """Cut ``data`` as TCP might."""
        pieces = []
        size = 1 + self.number(40) ** 2
        while data:
            pieces.append(data[:size])
            data = data[size:]
            size = 1 + self.number(40) ** 2 if self.more else size
        return pieces

    def json(self, keys: Sequence[str], texts: Sequence[str], depth: int = 0) -> Any:
        """Return a JSON value, with keys and texts that the reader of it knows, and others."""
        kind = self.number(10 if depth < MAX_DEPTH else 8)
        match kind:
            case 0:
                return self.of(texts)
            case 1:
                return self.text(40)
            case 2:
                return self.of((0, 1, -1, 2, 7, 10_000, 2**31, 2**63, 10**30))
            case 3:
                return self.of((0.5, -0.0, 1e300, float("nan"), float("inf"), -float("inf")))
            case 4:
                return self.flag()
            case 5:
                return None
            case 6:
                return self.number(65_536)
            case 7:
                return ""
            case 8:
                return [self.json(keys, texts, depth + 1) for _ in self.repeat(self.number(SHORT))]
            case _:
                return self.json_object(keys, texts, depth)

    def json_object(self, keys: Sequence[str], texts: Sequence[str], depth: int = 0) -> dict[str, Any]:
        members = self.repeat(1 + self.number(SHORT))
        return {self._key(keys): self.json(keys, texts, depth + 1) for _ in members}

    def _key(self, keys: Sequence[str]) -> str:
        number = self.number(len(keys) + 1)
        return keys[number] if number < len(keys) else self.text(12)
