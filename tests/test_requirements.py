"""The locked versions are those that the project asks for, everywhere it runs, and no others."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
RUNTIME = PYPROJECT["project"]["dependencies"]
ASKED = {
    "build": PYPROJECT["build-system"]["requires"],
    "runtime": RUNTIME,
    "development": RUNTIME + PYPROJECT["project"]["optional-dependencies"]["dev"],
    "fuzz": PYPROJECT["project"]["optional-dependencies"]["fuzz"],
}
ON_DEMAND = {"fuzz"}
"""Not installed before it is needed."""
PYTHONS = [
    classifier.rpartition(" ")[2]
    for classifier in PYPROJECT["project"]["classifiers"]
    if re.search(r"Python :: 3\.\d+$", classifier)
]


@dataclass(frozen=True)
class Locked:
    """A line of a lock file: one version of a package, for some environments, and its files' hashes."""

    requirement: Requirement
    hashes: tuple[str, ...]

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        (pin,) = self.requirement.specifier
        assert pin.operator == "=="
        return pin.version


def lines_of(name: str) -> Iterator[str]:
    text = (PROJECT / "requirements" / f"{name}.txt").read_text().replace("\\\n", "")
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line


def locked(name: str) -> list[Locked]:
    split = [re.split(r"\s+--hash=", line) for line in lines_of(name)]
    return [Locked(Requirement(line), tuple(hashes)) for line, *hashes in split]


def environment(python: str, machine: str) -> dict[str, str]:
    here = {key: str(value) for key, value in default_environment().items()}
    return here | {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": machine,
        "extra": "",
    }


def applies(requirement: Requirement, where: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(where)


def versions(name: str, where: dict[str, str]) -> dict[str, str]:
    """Return what a lock file installs in an environment: one version of each package."""
    found: dict[str, str] = {}
    for line in locked(name):
        if applies(line.requirement, where):
            assert line.name not in found, f"{line.name} is there twice"
            found[line.name] = line.version
    return found


def installed_needs(asked: Iterable[str], where: dict[str, str]) -> set[str]:
    """Return the packages that these requirements lead to, as those installed here tell of their own."""
    found: set[str] = set()
    waiting = [Requirement(line) for line in asked]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        found.add(name)
        for line in requires(name) or []:
            further = Requirement(line)
            extras = requirement.extras | {""}
            if any(applies(further, where | {"extra": extra}) for extra in extras) and (
                canonicalize_name(further.name) not in found or further.extras
            ):
                waiting.append(further)
    return found


@pytest.mark.parametrize("name", ASKED)
def test_a_lock_has_versions_and_hashes_and_names_no_server(name: str) -> None:
    for line in locked(name):
        assert line.version
        assert line.hashes
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in line.hashes)
        assert line.requirement.url is None
    assert "://" not in (PROJECT / "requirements" / f"{name}.txt").read_text()


def test_the_pythons_are_those_that_are_said_to_be_supported() -> None:
    assert PYTHONS[0] == PYPROJECT["project"]["requires-python"].removeprefix(">=")
    assert "3.14" in PYTHONS


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", ASKED)
def test_a_lock_has_what_the_project_asks_for(name: str, python: str, machine: str) -> None:
    where = environment(python, machine)
    found = versions(name, where)
    for requirement in map(Requirement, ASKED[name]):
        if applies(requirement, where):
            has = found.get(canonicalize_name(requirement.name))
            assert has is not None, f"{requirement} is not locked: make lock"
            assert requirement.specifier.contains(has), f"{requirement} is asked for, not {has}: make lock"


@pytest.mark.parametrize("python", PYTHONS)
def test_what_is_tested_is_what_is_shipped(python: str) -> None:
    where = environment(python, "x86_64")
    assert versions("runtime", where).items() <= versions("development", where).items()


@pytest.mark.parametrize("name", [name for name in ASKED if name not in ON_DEMAND])
def test_a_lock_has_all_that_is_needed_and_no_more(name: str) -> None:
    here = {key: str(value) for key, value in default_environment().items()}
    wanted = versions(name, here)
    try:
        others = {package: version(package) for package in wanted} != wanted
    except PackageNotFoundError:
        others = True
    if others:
        assert os.environ.get("CI") != "true", "this environment was not installed from the lock"
        pytest.skip("this environment was not installed from the lock")
    assert installed_needs(ASKED[name], here) == set(wanted)
