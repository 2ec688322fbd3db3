"""The gateway as a process whose standard error takes nothing: calls go on, and it ends when told to."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from audiosocket_gw.testing.softphone import Softphone

Process = asyncio.subprocess.Process

PROGRAM = ("-m", "audiosocket_gw")

SHORT_OF_MEMORY = """
import sys
from audiosocket_gw.commands.cli import main
from audiosocket_gw.log import writer
writer.MAX_WAITING = 10_000
sys.exit(main())
"""


HOST = f"127.{64 + os.getpid() // 65_536 % 64}.{os.getpid() // 256 % 256}.{os.getpid() % 256}"
"""An address of this test process alone: no other takes a port there between `free_port` and the gateway."""


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def gateway(
    stderr: int | None,
    *prefix: str,
    program: Sequence[str] = PROGRAM,
    stdout: int = asyncio.subprocess.DEVNULL,
    **environment: str,
) -> AsyncIterator[tuple[Process, int]]:
    """Run ``audiosocket-gw serve`` with the embedded agent; yield it and the port, as soon as it listens."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *prefix,
        *(sys.executable, *program, "serve", "--agent", "simulator", "--port", str(port)),
        stdout=stdout,
        stderr=stderr,
        env={
            "PATH": os.environ["PATH"],
            "DRAIN_TIMEOUT": "0.5",
            "REFUSE_OVERLOAD": "false",  # whatever else the machine does
            "HOST": HOST,
            **environment,
        },
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(60):
            while process.returncode is None:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection(HOST, port)
                    writer.close()
                    break
                await asyncio.sleep(0.05)
        assert process.returncode is None, "the gateway did not start"
        yield process, port
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def garbage(port: int, connections: int) -> None:
    """Connect again and again, and be no Asterisk: a line in the log each time."""
    for _ in range(connections):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"who are you, and what do you want?")
        with suppress(ConnectionError):
            await reader.read()
        writer.close()


async def hears(caller: Softphone, frames: int = 50) -> None:
    """Wait until the caller has heard so many more: one every 20 ms, if the gateway is alive."""
    wanted = len(caller.heard) + frames
    async with asyncio.timeout(30):
        while len(caller.heard) < wanted:
            assert not caller.over, f"the call has ended: {caller.record!r:.2000}"
            await asyncio.sleep(0.02)


async def ends(process: Process) -> int:
    """Tell it to end; return its status."""
    process.send_signal(signal.SIGTERM)
    return await asyncio.wait_for(process.wait(), 30)


@contextmanager
def unread_pipe() -> Iterator[tuple[int, int]]:
    """A small pipe that is full as soon as the gateway has started."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    try:
        yield reading, writing
    finally:
        os.close(reading)
        os.close(writing)


def fill(pipe: int) -> None:
    os.set_blocking(pipe, False)
    with suppress(BlockingIOError):
        while True:
            os.write(pipe, b".")
    os.set_blocking(pipe, True)


async def test_a_log_that_no_one_reads_disturbs_no_call() -> None:
    with unread_pipe() as (_, writing):
        async with gateway(writing) as (process, port), Softphone(HOST, port) as caller:
            await hears(caller)
            fill(writing)
            await garbage(port, 700)
            await hears(caller)
            assert await ends(process) == 1, "the call was cut: DRAIN_TIMEOUT"


async def test_an_unread_log_keeps_no_idle_gateway_from_ending() -> None:
    with unread_pipe() as (_, writing):
        async with gateway(writing) as (process, port):
            fill(writing)
            await garbage(port, 10)
            assert await ends(process) == 0


async def test_how_many_lines_were_dropped_is_told_when_somebody_reads_again() -> None:
    with unread_pipe() as (reading, writing):
        async with (
            gateway(writing, program=("-c", SHORT_OF_MEMORY), LOG_LEVEL="debug") as (process, port),
            Softphone(HOST, port) as caller,
        ):
            fill(writing)
            await probes(port, 1_000)
            await hears(caller)
            text = await asyncio.to_thread(read_until, reading, b"log lines were dropped")
            assert b"the reader of standard error is too slow" in text
            await hears(caller)
            drain = asyncio.create_task(asyncio.to_thread(read_until, reading, b"stopped; "))
            assert await ends(process) == 1
            await drain


async def probes(port: int, connections: int) -> None:
    """Connect, and say nothing: at the level debug, which has no limit, a line each time."""
    for _ in range(connections):
        _, writer = await asyncio.open_connection(HOST, port)
        writer.close()
        await writer.wait_closed()


def read_until(descriptor: int, words: bytes) -> bytes:
    data = b""
    while words not in data or not data.endswith(b"\n"):
        data += os.read(descriptor, 65_536)
    return data


async def works(process: Process, port: int) -> None:
    async with Softphone(HOST, port) as caller:
        await garbage(port, 5)
        await hears(caller)
    await garbage(port, 5)
    assert await ends(process) == 0


async def test_standard_error_that_is_closed_leaks_the_log_into_no_socket() -> None:
    shell = ("sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh")
    async with gateway(None, *shell, LOG_LEVEL="debug") as (process, port):
        for descriptor in range(3):
            assert os.readlink(f"/proc/{process.pid}/fd/{descriptor}") == os.devnull  # noqa: PTH115
        await works(process, port)


async def test_standard_error_whose_disk_is_full() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    async with gateway(full) as (process, port):
        os.close(full)
        await works(process, port)


async def test_standard_error_whose_reader_is_gone() -> None:
    reading, writing = os.pipe()
    async with gateway(writing) as (process, port):
        os.close(writing)
        os.close(reading)
        await works(process, port)


async def test_standard_error_whose_terminal_is_gone() -> None:
    terminal, end = pty.openpty()
    async with gateway(end) as (process, port):
        os.close(end)
        os.close(terminal)
        await works(process, port)


async def test_a_terminal_that_is_held_by_ctrl_s() -> None:
    terminal, end = pty.openpty()
    async with gateway(end) as (process, port), Softphone(HOST, port) as caller:
        os.write(terminal, b"\x13")
        await garbage(port, 100)
        await hears(caller)
        assert await ends(process) == 1
    os.close(end)
    os.close(terminal)


async def test_what_is_said_after_the_log_was_given_up_keeps_no_one_waiting() -> None:
    script = """
import logging, os
from audiosocket_gw.log.setup import log_to_stderr
with log_to_stderr():
    for _ in range(60):
        logging.warning("x" * 400)
os.write(2, b"y" * 100_000)
"""
    with unread_pipe() as (_, writing):
        fill(writing)
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stderr=writing)
        assert await asyncio.wait_for(process.wait(), 30) == 0


PRINTING_TOOL = """
import sys, traceback
print("x" * 100_000)
print("loaded", "for 01711234567\\x1b", sep=": ")
try:
    1 / 0
except ZeroDivisionError:
    traceback.print_exc()
sys.stdout.buffer.write(b"bytes \\xff\\n")
sys.stdout.flush()
assert (sys.stdout.fileno(), sys.stderr.fileno(), sys.stdout.isatty()) == (1, 2, False)
"""


async def test_what_a_tool_prints_waits_for_no_one_and_is_logged(tmp_path: Path) -> None:
    (tmp_path / "tool.py").write_text(PRINTING_TOOL)
    with unread_pipe() as (_, stdout), unread_pipe() as (reading, stderr):
        fill(stdout)
        drain = asyncio.create_task(asyncio.to_thread(read_until, reading, b"stopped; "))
        async with gateway(stderr, stdout=stdout, TOOLS_DIR=str(tmp_path)) as (process, _):
            assert await ends(process) == 0
        shown = (await drain).decode()
    assert "INFO printed: " + "x" * 500 + "... (100,000 characters)\n" in shown
    assert "INFO printed: loaded: for ###########\\x1b\n" in shown
    assert "INFO printed: bytes \\xff\n" in shown
    assert "INFO printed: ZeroDivisionError: division by zero\n" in shown


async def test_an_error_that_ends_the_gateway_is_logged() -> None:
    script = """
import sys
from audiosocket_gw.commands import cli, serve
async def fail(*_):
    raise RuntimeError("defect\\x1b of 01711234567")
serve.serve = fail
sys.exit(cli.main())
"""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, "serve", "--agent", "simulator"), stderr=asyncio.subprocess.PIPE
    )
    _, text = await process.communicate()
    first, *_, last = text.decode().splitlines()
    assert first.endswith("ERROR the gateway failed")
    assert last == "RuntimeError: defect\\x1b of ###########"
    assert process.returncode == 1


async def test_what_python_itself_would_print_is_logged() -> None:
    script = """
import logging, threading, warnings
from audiosocket_gw.log.setup import log_to_stderr
class Bad:
    def __del__(self):
        raise ValueError("unraisable\\x1b")
def fail():
    raise ValueError("in a thread 01711234567")
with log_to_stderr():
    Bad()
    thread = threading.Thread(target=fail, name="worker")
    thread.start()
    thread.join()
    warnings.warn("a warning\\x1b", RuntimeWarning)
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stderr=asyncio.subprocess.PIPE
    )
    _, text = await process.communicate()
    shown = text.decode()
    assert "ValueError: unraisable\\x1b\n" in shown
    assert "ERROR the thread worker failed\n" in shown
    assert "ValueError: in a thread ###########\n" in shown
    assert "WARNING py.warnings: " in shown
    assert "a warning\\x1b" in shown
    assert shown.replace("\n", "").isprintable()
