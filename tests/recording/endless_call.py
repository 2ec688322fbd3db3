"""A process that records one call without end, as fast as the disk allows: `test_killed` ends it.

``python -m tests.recording.endless_call DIRECTORY [BYTES]``: no file may be longer than BYTES.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import sys
import threading
from pathlib import Path
from uuid import UUID

from audiosocket_gw import events
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.recording.recorder import Recorder
from audiosocket_gw.recording.retention import Limits
from tests.harness.virtual_time import VirtualTimeLoop
from tests.recording.signals import from_caller, to_caller

CALL = UUID("01234567-89ab-cdef-0123-456789abcdef")


def words(number: int) -> str:
    return f"sentence {number} " + "and so on " * 20


def await_writer(recorder: Recorder) -> None:
    done = threading.Event()
    recorder._writer.submit(done.set)
    done.wait()


async def speak(directory: Path, ticks: int) -> None:
    loop = asyncio.get_running_loop()
    with Recorder(directory, Limits()) as recorder:
        started = events.CallStarted(CALL, loop.time(), "192.0.2.1:40000")
        tap = recorder.open(started)
        tap.on_event(started)
        for tick in range(ticks):
            tap.on_frame_sent(to_caller(tick % 30_000 + 1))
            if tick % 5 == 0:
                tap.on_event(events.CallerSaid(CALL, loop.time(), words(tick // 5)))
            await asyncio.sleep(0.02)
            tap.on_frame_received(from_caller(tick % 30_000 + 1))
            if tick % 50 == 49:
                await_writer(recorder)
        tap.on_event(events.CallEnded(CALL, loop.time(), CallEnd(EndReason.CALLER_HANGUP, ""), 0, 0))
    print("the call has ended")


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout)
    if len(sys.argv) > 2:
        size = int(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(speak(Path(sys.argv[1]), 1_000 if len(sys.argv) > 2 else 10_000_000))
