"""All targets, by name: the quick ones first."""

from __future__ import annotations

from tests.fuzz import (
    agent,
    ami,
    audiosocket,
    conversation,
    files,
    flight,
    masking,
    rest,
    settings_and_tools,
    signed_uuids,
)

MODULES = (
    audiosocket,
    agent,
    ami,
    masking,
    settings_and_tools,
    signed_uuids,
    flight,
    files,
    rest,
    conversation,
)

TARGETS = {target.name: target for module in MODULES for target in module.TARGETS}
