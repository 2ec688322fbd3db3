"""Reads the settings from the environment and ``.env``, and explains how to correct each invalid one."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.runtime.permissions import may_be_planted
from audiosocket_gw.settings.gateway_settings import GatewaySettings
from audiosocket_gw.settings.variables import Settings

ENV_FILE = ".env"


class _Environment(BaseSettings, Settings):
    """The settings; fields without an argument are read from the environment."""

    model_config = SettingsConfigDict(env_file=ENV_FILE, env_ignore_empty=True, extra="ignore")


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from the environment; ``overrides`` (by field name) take precedence.

    Raises:
        ConfigurationError: one or more settings are invalid or contradict each other; the message has a line
        for each.
    """
    settings, faults = read_settings(**overrides)
    faults += GatewaySettings.of(settings).conflicts()
    if faults:
        raise ConfigurationError("\n".join(faults))
    return settings


def read_settings(**overrides: Any) -> tuple[Settings, list[str]]:
    """Read the settings, with the default in place of each invalid one; also return a line for each of those.

    The caller can then look for other faults, and report all at the same time.

    Raises:
        ConfigurationError: ``.env`` can't be read, or another user may have put it there.
    """
    _check_owner(Path(ENV_FILE))
    try:
        return _Environment(**overrides), []
    except ValidationError as error:
        faults = error.errors()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f".env can't be read: {error}. Save it as UTF-8 text.") from None
    defaults = {name: Settings.model_fields[name].get_default() for name in map(_name, faults)}
    return _Environment(**overrides | defaults), list(map(_explain, faults))


def _check_owner(file: Path) -> None:
    """``TOOLS_DIR`` names code that is run, so ``.env`` of another user could run theirs."""
    with suppress(OSError):  # there is none, or it can't be read, which is told
        if may_be_planted(file):
            raise ConfigurationError(
                f"{file.absolute()} belongs to another user (uid {file.stat().st_uid}), in a directory that "
                "everyone can write to: start in another directory, or remove it"
            )


def _name(fault: ErrorDetails) -> str:
    return str(fault["loc"][0])


def _explain(fault: ErrorDetails) -> str:
    name = _name(fault)
    field = Settings.model_fields[name]
    secret = field.annotation is not None and "SecretStr" in str(field.annotation)
    value = "(secret)" if secret else re.sub(r"//[^/@]*@", "//(secret)@", repr(fault["input"]))
    return f"{name.upper()}={value}: {fault['msg'].removeprefix('Value error, ')}. {field.description}"
