"""SIGHUP: reads the settings and the tools again, for new calls, and opens log files again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.gateway import Gateway
from audiosocket_gw.log.setup import set_level
from audiosocket_gw.log.text import Sentence
from audiosocket_gw.settings import GatewaySettings, Settings, read_settings
from audiosocket_gw.settings.changes import Changes, reloaded

logger = logging.getLogger("audiosocket_gw.gateway")


class Reload:
    """Reloads a gateway whose settings are ``settings``; ``overrides`` are those of the command line."""

    def __init__(self, gateway: Gateway, settings: Settings, overrides: Mapping[str, Any]) -> None:
        self._gateway = gateway
        self._settings = settings
        self._overrides = overrides

    async def run(self) -> None:
        """Reload everything, or if anything is invalid, nothing but the log files."""
        self._gateway.archive.reopen()
        before = set(self._gateway.tool_names)
        try:
            settings = await self._reload()
        except ConfigurationError as error:
            faults = Sentence("; ".join(line.rstrip(".") for line in str(error).splitlines()))
            _say_invalid(faults)
            return
        changes = Changes.between(self._settings, settings)
        self._settings = reloaded(self._settings, settings)
        after = self._gateway.tool_names
        new, gone = [name for name in after if name not in before], sorted(before - set(after))
        logger.info(
            "SIGHUP: reloaded, for new calls: %s", Sentence("; ".join(_say(changes, after, new, gone)))
        )

    async def _reload(self) -> Settings:
        settings, faults = await asyncio.to_thread(read_settings, **self._overrides)
        if faults:
            raise ConfigurationError("\n".join(faults))
        set_level(settings.log_level.upper())  # the workers of tools take it over
        try:
            await self._gateway.reload(GatewaySettings.of(settings))
        except ConfigurationError:
            set_level(self._settings.log_level.upper())
            raise
        return settings


def _say_invalid(faults: Sentence) -> None:
    logger.error("SIGHUP: nothing was changed: %s. Correct it, and send SIGHUP again", faults)


def _say(changes: Changes, tools: tuple[str, ...], new: list[str], gone: list[str]) -> Iterator[str]:
    yield f"changed: {', '.join(changes.reloaded)}" if changes.reloaded else "no setting changed"
    moved = [f"new: {', '.join(new)}"] * bool(new) + [f"gone: {', '.join(gone)}"] * bool(gone)
    yield f"{len(tools)} tools read" + (f" ({'; '.join(moved)})" if moved else "")
    if changes.restart:
        yield f"only a restart applies {', '.join(changes.restart)}"
