"""Fifty good calls notice nothing, whatever is done to the gateway beside them."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.chaos import attacks
from tests.chaos.attack import ATTACKS, Attack
from tests.chaos.gateway import Dead
from tests.chaos.report import FOLDER, record, record_death
from tests.chaos.run import run_attack

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.limit(600),
    pytest.mark.skipif(shutil.which("cc") is None, reason="the good calls are a C program"),
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="gateway and load need a core each"),
]

assert attacks

MAX_RUNS = 2
"""A run that fails while the machine is disturbed is repeated, unless the loop itself took the time."""


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
async def test_good_calls_do_not_notice(attack: Attack) -> None:
    folder = FOLDER / attack.name
    for _ in range(MAX_RUNS):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            outcome = await run_attack(attack, folder)
        except Dead as error:
            record_death(attack, str(error))
            raise
        if not outcome.faults or outcome.is_busy or not outcome.is_disturbed:
            break
    record(attack, outcome)
    assert not outcome.faults
