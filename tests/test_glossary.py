"""The project uses one word for one thing: the glossary of CONTRIBUTING.md, checked in pages and code."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]

PAGES = [
    *sorted(PROJECT.glob("*.md")),
    *sorted(PROJECT.glob("docs/*.md")),
    *sorted(PROJECT.glob("tools/*.md")),
    *sorted(PROJECT.glob("asterisk/*")),
    *(PROJECT / name for name in ("docker-compose.yml", ".env.example", "Dockerfile", "Makefile")),
]
MODULES = sorted(
    path
    for folder in ("audiosocket_gw", "benchmarks", "examples", "tools")
    for path in (PROJECT / folder).rglob("*.py")
)

ALLOWED = {
    "background_sound": "ElevenLabs' own setting",
    "comfort noise": "RFC 3389",
    "COMFORT_NOISE": "RFC 3389",
    "ca_bundle": "REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE, variables of other programs",
    "symbolic link": "of a file system",
    "link-local": "an address, RFC 3927",
    "core-sounds": "a package of Debian",
    "shake_hands": "the TLS handshake",
}
"""What may be written all the same, and why."""


def glossary() -> tuple[set[str], set[str]]:
    """Return the words that aren't used at all, and those that aren't used in names."""
    text = (PROJECT / "CONTRIBUTING.md").read_text().partition("## Glossary")[2]
    cells = [line.split("|")[2] for line in text.splitlines() if line.startswith("| ")]
    words = {word for cell in cells[2:] for word in re.findall(r"`([^`]+)`", cell)}
    return {word for word in words if "()" not in word}, {word.removesuffix("()") for word in words}


ANYWHERE, IN_NAMES = glossary()


def parts(name: str) -> str:
    """Return the words of a name, in lower case: ``PbxPool`` and ``pbx_pool`` are ``pbx pool``."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_", " ", name)
    return " ".join(spaced.lower().split())


def found(text: str, words: set[str]) -> set[str]:
    for allowed in ALLOWED:
        text = re.sub(re.escape(allowed), "", text, flags=re.IGNORECASE)
    # A line break, with the mark of a comment, is a space.
    text = re.sub(r"\s*\n\s*(?:[#;]+ ?)?", " ", text)
    return {word for word in words if re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE)}


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the names that a module defines, with their lines."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield the comments of a module, those of adjacent lines as one."""
    block: list[str] = []
    last = -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if token.start[0] != last + 1 and block:
            yield last, "\n".join(block)
            block = []
        block.append(token.string)
        last = token.start[0]
    if block:
        yield last, "\n".join(block)


def problems(source: str) -> list[str]:
    """Return where a module uses a word that it shouldn't: in names, strings and comments."""
    tree = ast.parse(source)
    texts = [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    words = {parts(word) for word in IN_NAMES}
    return [
        f"line {line}: {word}"
        for line, name in names(tree)
        if name not in ALLOWED
        for word in _in_name(name, words)
    ] + [
        f"line {line}: {word}" for line, text in [*texts, *comments(source)] for word in found(text, ANYWHERE)
    ]


def _in_name(name: str, words: set[str]) -> set[str]:
    for allowed in ALLOWED:
        name = re.sub(re.escape(allowed), "", name, flags=re.IGNORECASE)
    return {word for word in words if f" {word} " in f" {parts(name)} "}


def relative(path: Path) -> str:
    return str(path.relative_to(PROJECT))


@pytest.mark.parametrize("path", PAGES, ids=relative)
def test_pages_use_the_words_of_the_glossary(path: Path) -> None:
    text = path.read_text()
    if path.name == "CONTRIBUTING.md":
        text = text.partition("## Glossary")[0]
    assert found(text, ANYWHERE) == set()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_modules_use_the_words_of_the_glossary(path: Path) -> None:
    assert problems(path.read_text()) == []


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("def play(sound): ...", "sound"),
        ("class AgentLink: ...", "link"),
        ("self.moment = 1", "moment"),
        ('def f():\n    """Let the caller\n    take leave."""', "take leave"),
        ("x = 1  # a keypad", "keypad"),
        ("# nothing that would let\n# go of it", "let go"),
        ('log("%s: nobody answered", name)', "nobody"),
        ('f"{name} is a Sentinel"', "sentinel"),
        ("PbxDirectory = 1", "pbx directory"),
    ],
)
def test_a_word_of_the_second_column_is_found(source: str, word: str) -> None:
    assert [problem.partition(": ")[2] for problem in problems(source)] == [word]


@pytest.mark.parametrize(
    "source",
    [
        "background_sound = 1  # comfort noise, by a symbolic link",
        '"""Wait a moment: the caller hears the news."""',
        "resounding = earlier = linked = 1",
    ],
)
def test_other_words_are_not(source: str) -> None:
    assert problems(source) == []
