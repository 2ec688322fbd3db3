"""Runs ``async def`` tests, and keeps the environment of the machine out of them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from tests import hypothesis_profiles
from tests.harness.waiting import PATIENCE

TEST_LIMIT_S = 60.0
"""No test waits longer than this for what doesn't come; ``@pytest.mark.limit(seconds)`` allows more."""


def pytest_configure(config: pytest.Config) -> None:
    hypothesis_profiles.load()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test on a new loop of the product's; it fails when the loop had to report an error."""
    # Imported here because coverage begins after this file.
    from audiosocket_gw.runtime.event_loop import GatewayEventLoop
    from tests.harness.virtual_time import VirtualTimeLoop

    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    virtual = pyfuncitem.get_closest_marker("virtual_time") is not None
    limit = pyfuncitem.get_closest_marker("limit")
    reported: list[dict[str, Any]] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        if virtual:
            await test(**arguments)
        else:
            async with asyncio.timeout(PATIENCE * (limit.args[0] if limit else TEST_LIMIT_S)):
                await test(**arguments)

    with asyncio.Runner(loop_factory=VirtualTimeLoop if virtual else GatewayEventLoop) as runner:
        runner.run(run())
    assert not reported, f"the event loop reported: {reported}"
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape lone surrogates in what was captured: pytest-xdist's workers can't send them."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture(autouse=True)
def clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """No test sees the settings of the machine it runs on, nor a ``.env`` file."""
    from audiosocket_gw.settings import Settings

    for field in Settings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))
    yield
