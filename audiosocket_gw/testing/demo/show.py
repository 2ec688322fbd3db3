"""The call in the terminal: events, line by line, above two moving level meters."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Sequence
from typing import TextIO

from audiosocket_gw import events
from audiosocket_gw.audio import FRAME_MS
from audiosocket_gw.audio.frame_timing import TimedFrame
from audiosocket_gw.call_page.figures import Verdict, figures
from audiosocket_gw.call_page.model import CallModel
from audiosocket_gw.testing.softphone import level_dbfs

BARS = "▁▂▃▄▅▆▇█"
QUIETEST_DBFS = -50.0
LOUDEST_DBFS = -10.0
FRAMES_PER_BAR = 5

_CALLER = "36"
_AGENT = "35"
_CUT = "33"
_SOFT = "2"
_STRONG = "1"
_INDENT = 21
"""The column of the text, after the time and the speaker."""


class Show:
    """Prints to ``stream``; meters and colours only on a terminal, colours not with NO_COLOR."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._coloured = self._live and not os.environ.get("NO_COLOR")
        self._started_at: float | None = None
        self._meters: list[str] = []

    @property
    def live(self) -> bool:
        """Whether `draw` does anything."""
        return self._live

    def headline(self, *lines: str) -> None:
        for line in lines:
            self._print(line)

    def observe(self, event: events.CallEvent) -> None:
        """Print an event of the gateway above the meters."""
        if self._started_at is None:
            self._started_at = event.at
        match event:
            case events.CallerSaid(text=text):
                self._entry(event, self._paint("caller ", _CALLER), text, "")
            case events.AgentSaid(text=text, corrected=False):
                self._entry(event, self._paint("agent  ", _AGENT), text, "")
            case events.AgentSaid(text=text):
                self._entry(event, self._paint("agent  ", _AGENT), f"(cut to) {text}", _SOFT)
            case events.Interrupted():
                self._entry(event, self._paint("cut in ", _CUT), events.describe(event), _CUT)
            case events.ReplyStarted() | events.ReplyFinished():
                pass
            case _:
                self._entry(event, "       ", events.describe(event), _SOFT)

    def draw(self, sent: Sequence[TimedFrame], heard: Sequence[TimedFrame]) -> None:
        """Redraw the last seconds of both sides, at the bottom."""
        if not self._live:
            return
        bars = self._columns() - 20
        self._wipe()
        seconds = len(heard) * FRAME_MS / 1000
        self._meters = [
            f"  {self._paint('caller ' + meter(sent, bars), _CALLER)}",
            f"  {self._paint('agent  ' + meter(heard, bars), _AGENT)}  {seconds:5.1f} s",
        ]
        self._redraw()

    def finish(self) -> None:
        """Remove the meters at the end of the call."""
        self._wipe()
        self._meters = []
        self._stream.flush()

    def summary(self, model: CallModel) -> None:
        """Print the call's figures, as its page has them."""
        self._print("")
        for figure in figures(model):
            value = f"{figure.value} {figure.unit}".strip()
            known = f"{figure.verdict}: {figure.target}" if figure.verdict is not Verdict.NONE else ""
            self._print(f"  {figure.name:<26} {self._paint(f'{value:<10}', _STRONG)} {known or figure.note}")

    def _entry(self, event: events.CallEvent, who: str, what: str, style: str) -> None:
        assert self._started_at is not None
        lines = textwrap.wrap(what, self._columns() - _INDENT - 1) if self._live else [what]
        text = ("\n" + " " * _INDENT).join(self._paint(line, style) for line in lines)
        self._print(f"  {event.at - self._started_at:6.2f} s  {who}  {text}")

    def _columns(self) -> int:
        return min(120, max(40, shutil.get_terminal_size().columns))

    def _print(self, line: str) -> None:
        self._wipe()
        self._stream.write(line + "\n")
        self._redraw()

    def _wipe(self) -> None:
        if self._meters:
            self._stream.write(f"\x1b[{len(self._meters)}F\x1b[J")

    def _redraw(self) -> None:
        self._stream.write("".join(line + "\n" for line in self._meters))
        self._stream.flush()

    def _paint(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self._coloured and style else text


def meter(frames: Sequence[TimedFrame], bars: int) -> str:
    """Return the levels of the last frames as ``bars`` characters, one for each tenth of a second."""
    whole = len(frames) // FRAMES_PER_BAR * FRAMES_PER_BAR
    starts = range(max(0, whole - bars * FRAMES_PER_BAR), whole, FRAMES_PER_BAR)
    line = "".join(_bar(frames[start : start + FRAMES_PER_BAR]) for start in starts)
    return line.rjust(bars, BARS[0])


def _bar(frames: Sequence[TimedFrame]) -> str:
    level = level_dbfs(b"".join(frame.payload for frame in frames))
    height = (level - QUIETEST_DBFS) / (LOUDEST_DBFS - QUIETEST_DBFS)
    return BARS[min(len(BARS) - 1, max(0, int(height * len(BARS))))]
