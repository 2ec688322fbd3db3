"""``audiosocket-gw demo``: one call, from the greeting to the agent's goodbye."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from audiosocket_gw import __version__, events
from audiosocket_gw.call_page.page import render
from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.gateway import Gateway
from audiosocket_gw.settings import GatewaySettings, Settings
from audiosocket_gw.testing.demo.callers_end import model_at_callers_end, stereo
from audiosocket_gw.testing.demo.show import Show
from audiosocket_gw.testing.simulator import Simulator, load_scenario
from audiosocket_gw.testing.softphone import CallRecord, Ending, Softphone, read_wav, write_wav

PROMPTS = Path(__file__).parent

QUIET_MS = 360
"""Silence after which the caller takes the turn; the pauses in the agent's prompts are shorter."""

AGENT_QUIET_MS = 400
"""Silence after which the agent takes the turn: less than usual, to keep the call under 20 s."""

PATIENCE_S = 1.2
"""How long the caller listens to the long answer before interrupting."""

LIMIT_S = 40.0
"""Twice what the call takes."""

DRAW_S = 0.08


async def run_demo(output: Path, *, stream: TextIO | None = None, limit_s: float = LIMIT_S) -> int:
    """Hold the call, write ``call.wav`` and ``call.html`` to ``output``, and return the exit status.

    0: the agent ended the call, as expected; 1: something else did, and the page shows it. ``stream``: where
    the call is shown; the default is standard output. ``limit_s``: the caller hangs up then.

    Raises:
        ConfigurationError: ``output`` can't be written.
    """
    _make_folder(output)
    show = Show(stream or sys.stdout)
    started_at = time.time()
    record, happened = await _hold_call(show, limit_s)
    model = model_at_callers_end(record, happened, started_at=started_at, gateway=__version__)
    show.summary(model)
    audio, page = output / "call.wav", output / "call.html"
    write_wav(audio, stereo(record), channels=2)
    _write_page(page, render(model, title="A call through audiosocket-gw", wav=audio.read_bytes()))
    show.headline("", f"  {audio}   caller left, agent right", f"  {page}  open it in a browser")
    return _status(record, show)


def _make_folder(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"--output {output}: can't make this folder: {error.strerror}") from None


async def _hold_call(show: Show, limit_s: float) -> tuple[CallRecord, list[events.CallEvent]]:
    """Return the call at the caller's end, and what the gateway said of it."""
    happened: list[events.CallEvent] = []

    def observe(event: events.CallEvent) -> None:
        happened.append(event)
        show.observe(event)

    scenario = replace(load_scenario("receptionist"), silence_ms=AGENT_QUIET_MS)
    async with Simulator(scenario) as simulator:
        # The environment must not change the demo.
        settings = Settings(
            elevenlabs_agent_id="demo", elevenlabs_base_url=simulator.base_url, host="127.0.0.1", port=0
        )
        async with Gateway(GatewaySettings.of(settings), observers=[observe]) as gateway:
            host, port = gateway.address
            show.headline(
                f"audiosocket-gw {__version__}: a call over real sockets",
                f"  caller - AudioSocket - gateway {host}:{port} - WebSocket - agent {simulator.base_url}",
                "",
            )
            record = await _call(host, port, show, limit_s)
    return record, happened


async def _call(host: str, port: int, show: Show, limit_s: float) -> CallRecord:
    async with Softphone(host, port) as caller:
        drawing = asyncio.create_task(_draw(caller, show))
        try:
            async with asyncio.timeout(limit_s):
                await _converse(caller)
        except TimeoutError:
            caller.hang_up()
        finally:
            drawing.cancel()
            show.finish()
    return caller.record


async def _draw(caller: Softphone, show: Show) -> None:
    while show.live:
        show.draw(caller.sent, caller.heard)
        await asyncio.sleep(DRAW_S)


async def _converse(caller: Softphone) -> None:
    """Ask and listen; ask again and interrupt; say goodbye and let the agent hang up."""
    await _listen(caller)
    await _say(caller, "opening-hours")
    await _listen(caller)
    await _say(caller, "transfer")
    await caller.until_audio()
    await asyncio.sleep(PATIENCE_S)
    await _say(caller, "interruption")
    await _listen(caller)
    await _say(caller, "goodbye")
    await caller.until_ended()


async def _listen(caller: Softphone) -> None:
    await caller.until_audio()
    await caller.until_quiet(QUIET_MS)


async def _say(caller: Softphone, prompt: str) -> None:
    await caller.say(read_wav(PROMPTS / f"{prompt}.wav"))


def _write_page(path: Path, page: bytes) -> None:
    try:
        path.write_bytes(page)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None


def _status(record: CallRecord, show: Show) -> int:
    if record.ending is Ending.HANGUP_FRAME:
        return 0
    show.headline("", f"  The call went wrong: {record.ending} {record.error}")
    return 1
