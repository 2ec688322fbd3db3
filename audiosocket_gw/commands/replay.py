"""``audiosocket-gw replay FILE``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from audiosocket_gw.commands.address import parse_address
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.events import CallEvent, CallStarted
from audiosocket_gw.flight.call_trace import CallTrace, load_trace
from audiosocket_gw.flight.capture import event_record
from audiosocket_gw.flight.format import FlightError, HeardFrame
from audiosocket_gw.flight.summary import describe_event, figures_line, how_it_ended, summarize
from audiosocket_gw.flight.timing import timing
from audiosocket_gw.log.text import escape
from audiosocket_gw.settings import GatewaySettings
from audiosocket_gw.testing.replay.replay import Outcome, RemoteOutcome, replay, replay_into

PROGRESS_S = 10.0

HUNG_UP_BY_CALLER = (EndReason.CALLER_HANGUP, EndReason.TRANSFERRED)


def run_summary(path: Path, *, stream: TextIO | None = None) -> int:
    """Print what happened in a recorded call, and return the exit status 0.

    Raises:
        ConfigurationError: ``path`` is not a flight recording, or it is damaged.
    """
    for line in summarize(_load(path)):
        print(line, file=stream)
    return 0


async def run_replay(
    path: Path, settings: GatewaySettings, *, run_tools: bool = False, stream: TextIO | None = None
) -> int:
    """Replay a call into a gateway in this process, and print what differs.

    Return the exit status: 0, it ended for the same reason; 1, it didn't, or its end wasn't recorded.

    Raises:
        ConfigurationError: ``path`` is not a flight recording, or it is damaged; or a setting is invalid.
    """
    trace = _load(path)
    show = _Show(stream or sys.stdout)
    show.lines(f"replaying {path}", how_it_ended(trace), "")
    with show.progress(trace):
        try:
            outcome = await replay(trace, settings, show.event, run_tools=run_tools)
        except FlightError as error:
            raise _bad(path, error) from None
    show.lines("", *_verdict(trace, outcome))
    return 0 if _reproduced(trace, outcome) else 1


async def run_replay_into(path: Path, address: str, *, stream: TextIO | None = None) -> int:
    """Play the caller of a recorded call into the gateway at ``address``, ``HOST:PORT``.

    Return the exit status: 0, the same side ended the call; 1, the other side did, or the gateway
    could not be reached.

    Raises:
        ConfigurationError: ``path`` is not a flight recording, or it is damaged; or the address is invalid.
    """
    trace = _load(path)
    host, port = parse_address(address, "--gateway")
    show = _Show(stream or sys.stdout)
    show.lines(f"replaying the caller of {path} into {address}", how_it_ended(trace), "")
    with show.progress(trace):
        try:
            outcome = await replay_into(trace, (host, port))
        except OSError as error:
            show.lines(f"no connection to {address}: {error.strerror or error}")
            return 1
        except FlightError as error:
            raise _bad(path, error) from None
    show.lines("", *_remote_verdict(trace, outcome))
    return 0 if outcome.gateway_hung_up == _gateway_hung_up(trace) else 1


def _load(path: Path) -> CallTrace:
    try:
        return load_trace(path)
    except FlightError as error:
        raise _bad(path, error) from None


def _bad(path: Path, error: FlightError) -> ConfigurationError:
    return ConfigurationError(f"{path}: {escape(str(error))}")


class _Show:
    """Prints the progress of a replay."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._started_at = asyncio.get_running_loop().time()

    def lines(self, *lines: str) -> None:
        for line in lines:
            print(line, file=self._stream, flush=True)

    def event(self, event: CallEvent) -> None:
        """Print an event, with the time since the call's start."""
        if isinstance(event, CallStarted):
            self._started_at = event.at
        recorded = event_record(0, event)
        self.lines(f"{event.at - self._started_at:9.3f} s  {describe_event(recorded.name, recorded.fields)}")

    @contextmanager
    def progress(self, trace: CallTrace) -> Iterator[None]:
        """Print the progress now and then."""
        task = asyncio.create_task(self._progress(trace.duration_us / 1e6))
        try:
            yield
        finally:
            task.cancel()

    async def _progress(self, duration_s: float) -> None:
        while True:
            await asyncio.sleep(PROGRESS_S)
            passed_s = asyncio.get_running_loop().time() - self._started_at
            self.lines(f"{passed_s:9.3f} s  of {duration_s:.1f} s")


def _reproduced(trace: CallTrace, outcome: Outcome) -> bool:
    return trace.end is not None and outcome.ended is not None and outcome.ended.reason is trace.end.reason


def _verdict(trace: CallTrace, outcome: Outcome) -> Iterator[str]:
    recorded = trace.end.reason if trace.end else "unknown: the recording breaks off before it"
    replayed = outcome.ended.reason if outcome.ended else "none: the call went on, and was broken off"
    if trace.end is None:
        yield "end              not recorded"
    else:
        yield f"end              {'the same' if _reproduced(trace, outcome) else 'NOT the same'}"
    yield f"  recorded       {recorded}"
    yield f"  replayed       {replayed}"
    if trace.end and trace.end.reason is EndReason.TRANSFERRED:
        yield "  A transfer needs Asterisk, and a replay never touches one."
    audio = outcome.audio
    same, differing = audio.same_ms, audio.differing_ms
    yield f"heard by caller  {same:.0f} ms the same, {differing:.0f} ms differ; silence is not compared"
    if differing:
        yield f"  recorded only  {audio.missing_ms:.0f} ms"
        yield f"  replayed only  {audio.added_ms:.0f} ms"
    yield from _timings(trace, outcome.heard)


def _remote_verdict(trace: CallTrace, outcome: RemoteOutcome) -> Iterator[str]:
    yield f"ended by         {_who(outcome.gateway_hung_up)}, after {outcome.after_s:.1f} s"
    yield f"  recorded       {_who(_gateway_hung_up(trace))}"
    yield from _timings(trace, outcome.heard)


def _gateway_hung_up(trace: CallTrace) -> bool:
    return trace.end is not None and trace.end.reason not in HUNG_UP_BY_CALLER


def _who(gateway: bool) -> str:
    return "the gateway" if gateway else "the caller"


def _timings(trace: CallTrace, heard: tuple[HeardFrame, ...]) -> Iterator[str]:
    yield f"frames recorded  {figures_line(timing(trace.heard, trace.heard_format))}"
    yield f"frames replayed  {figures_line(timing(heard, trace.heard_format))}"
