"""An event loop whose clock jumps to the next timer: minutes of paced frames in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: where the loop would sleep, its clock moves on instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.now += timeout
        elif not ready and timeout is None:
            raise RuntimeError("the test waits for something that no timer will ever bring")
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self, *args: Any) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now
