"""Reads from a Google-style docstring what the agent needs: a function's purpose and its parameters'
meaning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from inspect import cleandoc

_SECTION = re.compile(
    r"^(Args|Arguments|Parameters|Returns?|Raises|Yields?|Examples?|Notes?):[ \t]*$", re.MULTILINE
)
_ARGUMENT = re.compile(r"^(\w+)(?: \(.*?\))?:(.*(?:\n(?:[ \t].*|$))*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Docstring:
    """The text before the first section, and the entries of ``Args``; other sections are ignored."""

    description: str
    parameters: dict[str, str]


def parse_docstring(text: str) -> Docstring:
    """Parse a docstring. Line breaks within a paragraph become spaces."""
    description, *sections = _SECTION.split(cleandoc(text))
    bodies = dict(zip(sections[::2], sections[1::2], strict=True))
    arguments = "".join(bodies.get(title, "") for title in ("Args", "Arguments", "Parameters"))
    return Docstring(
        "\n\n".join(_one_line(paragraph) for paragraph in re.split(r"\n\s*\n", description.strip())),
        {name: _one_line(meaning) for name, meaning in _ARGUMENT.findall(cleandoc(arguments))},
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
