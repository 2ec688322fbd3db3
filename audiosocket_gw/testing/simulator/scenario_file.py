"""Scenarios from TOML files: those that are shipped, and a user's own."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.testing.simulator.scenario import Scenario

FOLDER = Path(__file__).parent / "scenarios"


def scenario_names() -> list[str]:
    """Return the names of the shipped scenarios."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_scenario(name_or_path: str) -> Scenario:
    """Read a shipped scenario by its name, or any other from a ``.toml`` file.

    Raises:
        ConfigurationError: there is no such scenario, or the file is invalid; the message names the file,
        each invalid key, its value and what it accepts.
    """
    path = Path(name_or_path) if name_or_path.endswith(".toml") else FOLDER / f"{name_or_path}.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(scenario_names())
        raise ConfigurationError(
            f"there is no scenario {name_or_path!r}; give the path of a .toml file or one of {known}"
        ) from None
    # ValueError: also not UTF-8, not TOML, or a number of more than 4,300 digits.
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"scenario file {path} can't be read as TOML: {error}") from error
    try:
        return _SCENARIO.validate_python({"name": path.stem} | data, context={"folder": path.parent})
    except ValidationError as error:
        raise ConfigurationError(
            "\n".join([f"scenario file {path}:", *map(_explain, error.errors())])
        ) from error


_SCENARIO = TypeAdapter(Scenario)


def _explain(error: ErrorDetails) -> str:
    key = ".".join(str(part) for part in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "unexpected_keyword_argument":
        return f"  {key}: there is no such key; see docs/simulator.md"
    if error["type"] == "missing":
        return f"  {key}: is missing"
    if not key:
        return f"  {message}"
    return f"  {key} = {error['input']!r}: {message}"
