"""The one engine, and the one stack, that all tests here share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.asterisk.phone import Phone
from tests.containers.engine import Engine, Unavailable, cache_directory
from tests.containers.stack import Stack


def _is_required() -> bool:
    return os.environ.get("CI") == "true" or os.environ.get("AUDIOSOCKET_GW_REQUIRE_CONTAINERS") == "1"


def _give_up(reason: str) -> None:
    if _is_required():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Docker; where none can be had the test is skipped, or fails if ``CI=true``."""
    if not Phone.is_installed():
        _give_up("no SIP phone here: apt-get install baresip")
    cache = cache_directory()
    running = Engine(cache, cache / "docker")
    try:
        running.__enter__()
    except Unavailable as error:
        _give_up(str(error))
    try:
        running.import_base_images()
        yield running
    finally:
        running.__exit__()


@pytest.fixture(scope="session")
def built(engine: Engine) -> Iterator[Stack]:
    """The stack with its images built; nothing runs yet."""
    stack = Stack(engine)
    stack.lay_out()
    stack.compose("build")
    yield stack
    stack.compose("down", "--volumes", "--remove-orphans")


@pytest.fixture
def stack(built: Stack) -> Stack:
    """The stack as it ships, up and healthy."""
    built.up()
    return built
