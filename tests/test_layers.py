"""Imports go strictly downwards, and what is pure stays pure: the tree of ``docs/architecture.md``."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path

import pytest

import audiosocket_gw
from tests.harness.import_graph import ImportGraph, room_of

ROOMS = [
    "",
    *(
        "causes",
        "end_reasons",
        "events",
        "errors",
        "redaction",
        "log",
        "protocol",
        "audio",
        "runtime",
        "tools",
        "ami",
    ),
    *(
        "ledger",
        "metrics",
        "tap",
        "elevenlabs",
        "recording",
        "control",
        "flight",
        "call_page",
        "call",
        "server",
        "http_api",
        "settings",
        "resources",
        "gateway",
    ),
    *("testing", "testing.softphone", "testing.simulator", "testing.replay", "testing.demo", "commands"),
    "__main__",
]
"""The folders and flat modules of the package, in their order: each imports only from those before it.

The first is the package itself, which holds its version.
"""

PURE = [
    "causes",
    "end_reasons",
    "events",
    "errors",
    "redaction",
    "log.limit",
    "log.template",
    "log.text",
    "protocol",
    "audio",
    "elevenlabs.audio_base64",
    "elevenlabs.client_messages",
    "elevenlabs.flood",
    "elevenlabs.json_values",
    "elevenlabs.messages",
    "elevenlabs.close_codes",
    "elevenlabs.session",
    "elevenlabs.setup_steps",
    "ami.certificate",
    "ami.dialplan",
    "ami.framing",
    "ami.registry",
    "ami.releases",
    "ami.encoding",
    "call.agent_speech",
    "call.audio_to_agent",
    "call.barge_in",
    "call.conversation",
    "call.agent_audio",
    "call.setup_queue",
    "call.agent_queue",
    "call.caller_audio",
    "call.outputs",
    "call.playout",
    "call.lifecycle",
    "call.limits",
    "call.options",
    "call.turns",
    "call.replies",
    "call.stale_audio",
    "control.dtmf_number",
    "control.key_actions",
    "control.mcp_approval",
    "control.transfer_policy",
    "ledger.advice",
    "ledger.figures",
    "ledger.record",
    "ledger.reducer",
    "ledger.trouble",
    "ledger.wrong_now",
    "metrics.labels",
    "recording.track",
    "runtime.call_cost",
    "runtime.capacity",
    "runtime.lateness",
    "runtime.load_figures",
    "server.admission",
    "server.refusals",
    "flight.recorded_cause",
    "call_page.build",
    "call_page.direction",
    "call_page.figures",
    "call_page.findings",
    "call_page.labels",
    "call_page.marks",
    "call_page.markup",
    "call_page.measure",
    "call_page.model",
    "call_page.sections",
    "call_page.strips",
    "call_page.svg",
    "call_page.transcript",
]
"""Modules and folders that do no I/O, nor does anything that runs when they are imported."""

PURE_LIBRARIES = [
    *("__future__", "abc", "array", "base64", "binascii", "bisect", "collections", "contextlib", "copy"),
    *(
        "dataclasses",
        "enum",
        "functools",
        "heapq",
        "hmac",
        "hashlib",
        "html",
        "ipaddress",
        "itertools",
        "json",
    ),
    *("math", "numpy", "operator", "re", "shlex", "statistics", "string", "struct", "types", "typing"),
    *("unicodedata", "urllib.parse", "uuid"),
]
"""What they may import: libraries without files, sockets, clocks, threads or logging."""

PACKAGE = Path(audiosocket_gw.__file__).parent
GRAPH = ImportGraph.of(PACKAGE)


def is_pure(name: str) -> bool:
    return room_of(name, PURE) is not None


def test_every_module_has_a_place_in_the_order() -> None:
    placed = {name: room_of(name, ROOMS) for name in GRAPH.modules}
    assert [name for name, room in placed.items() if room is None] == []
    assert set(placed.values()) == set(ROOMS), "a room without a module"


def test_every_folder_is_a_room() -> None:
    folders = {name for name in GRAPH.modules if any(other.startswith(f"{name}.") for other in GRAPH.modules)}
    assert folders <= set(ROOMS)


def test_imports_go_strictly_downwards() -> None:
    assert GRAPH.upwards(ROOMS) == set()


def test_no_import_goes_round_in_circles() -> None:
    # Within a folder the modules import each other directly, never through its __init__.
    assert not GRAPH.circle()


def test_what_is_said_to_be_pure_exists() -> None:
    assert [room for room in PURE if all(room_of(name, [room]) is None for name in GRAPH.modules)] == []


@pytest.mark.parametrize("name", sorted(filter(is_pure, GRAPH.modules)))
def test_what_is_pure_runs_nothing_that_does_input_or_output(name: str) -> None:
    assert GRAPH.impurities(name, PURE_LIBRARIES) == set()


@pytest.mark.parametrize(
    ("library", "users"),
    [
        ("panoramisk", {"ami"}),
        ("pydantic_settings", {"settings"}),
        ("prometheus_client", {"metrics"}),
        ("websockets", {"elevenlabs", "testing"}),
        ("starlette", {"http_api", "testing"}),
        ("uvicorn", {"http_api", "testing"}),
    ],
)
def test_each_library_has_its_place(library: str, users: set[str]) -> None:
    found = {
        name.partition(".")[0]
        for name in GRAPH.modules
        if any(imported.partition(".")[0] == library for imported in GRAPH.foreign(name))
    }
    assert found <= users


# The drawing

PAGE = (PACKAGE.parent / "docs" / "architecture.md").read_text()
TREE = re.search(r"```text\naudiosocket_gw/\n(.*?)```", PAGE, re.DOTALL)
GRAPH_DRAWN = re.search(r"```mermaid\nflowchart TD\n(.*?)```", PAGE, re.DOTALL)


def drawn_tree() -> dict[str, str]:
    """Return what the tree in ``docs/architecture.md`` says about each room, from the top down."""
    assert TREE is not None
    found: dict[str, str] = {}
    folders: list[str] = []
    for line in TREE[1].splitlines():
        name, _, text = line.strip().partition(" ")
        folders[(len(line) - len(line.lstrip())) // 2 - 1 :] = [name.removesuffix("/").removesuffix(".py")]
        found[".".join(folders)] = text.strip()
    return found


def drawn_arrows() -> set[tuple[str, str]]:
    assert GRAPH_DRAWN is not None
    chains = [line.strip().split(" --> ") for line in GRAPH_DRAWN[1].splitlines()]
    return {arrow for chain in chains for arrow in pairwise(chain)}


def test_the_drawing_has_every_room_in_its_order() -> None:
    drawn = [room for room in drawn_tree() if room != "testing"]  # drawn above the folders that are in it
    assert drawn == [room for room in reversed(ROOMS) if room not in ("", "testing")]


@pytest.mark.parametrize(("name", "text"), drawn_tree().items(), ids=drawn_tree().keys())
def test_the_drawing_says_of_a_folder_what_the_folder_says_of_itself(name: str, text: str) -> None:
    path = PACKAGE / name.replace(".", "/") / "__init__.py"
    if path.exists():
        assert text == (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


def test_the_graph_shows_every_import_between_rooms_and_no_other() -> None:
    """An arrow stands for an import; an import without an arrow of its own follows from a chain of them."""
    arrows = drawn_arrows()
    real = {
        (upper, lower)
        for name in GRAPH.modules
        for imported in GRAPH.own(name)
        if (upper := name.partition(".")[0]) != (lower := imported.partition(".")[0])
        and "" not in (upper, lower)
        and upper != "__main__"
    }
    assert arrows - real == set(), "drawn, but not there"
    below: dict[str, set[str]] = {}
    for room in ROOMS:
        drawn = {lower for upper, lower in arrows if upper == room}
        below[room] = drawn.union(*(below[lower] for lower in drawn))
    assert {(upper, lower) for upper, lower in real if lower not in below[upper]} == set(), "not drawn"


def test_a_change_goes_where_there_is_a_file() -> None:
    table = PAGE.partition("Where a change goes")[2].partition("## ")[0]
    places = re.findall(r"`((?:\w+/)*\w*(?:\.py|/))`", table)
    assert len(places) > 10
    assert [place for place in places if not (PACKAGE / place).exists()] == []


# The test of the test: each fault is found in a small package that has it.

HOUSE = {
    "__init__": "",
    "words": "import re",
    "low/__init__": "",
    "low/pure": "from house.words import Word",
    "low/files": "import os",
    "high/__init__": "",
    "high/user": "from house.low import pure, files",
}
HOUSE_ROOMS = ["", "words", "low", "high"]


def build(folder: Path, changed: dict[str, str] | None = None) -> ImportGraph:
    """Write the package, with other text in the ``changed`` modules, and read it."""
    for name, text in (HOUSE | (changed or {})).items():
        path = folder / "house" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return ImportGraph.of(folder / "house")


def test_a_sound_package_passes(tmp_path: Path) -> None:
    graph = build(tmp_path)
    assert graph.upwards(HOUSE_ROOMS) == set()
    assert graph.circle() == []
    assert graph.impurities("low.pure", ["re"]) == set()
    assert graph.loaded_with("high.user") == graph.modules.keys()


@pytest.mark.parametrize(
    "upwards",
    [
        "import house.high.user",
        "from house.high.user import User",
        "from house.high import user",
        "def later() -> None:\n    from house.high import user",
        "if TYPE_CHECKING:\n    from house.high.user import User",
        "if typing.TYPE_CHECKING:\n    from house.high.user import User",
    ],
)
def test_an_import_upwards_is_found(upwards: str, tmp_path: Path) -> None:
    assert build(tmp_path, {"low/pure": upwards}).upwards(HOUSE_ROOMS) == {("low.pure", "high.user")}


def test_a_module_without_a_place_is_found(tmp_path: Path) -> None:
    graph = build(tmp_path, {"attic": "", "lower": ""})
    assert {name for name in graph.modules if room_of(name, HOUSE_ROOMS) is None} == {"attic", "lower"}


@pytest.mark.parametrize("guard", ["", "if TYPE_CHECKING:\n    "])
def test_a_circle_within_a_folder_is_found(guard: str, tmp_path: Path) -> None:
    graph = build(
        tmp_path, {"low/files": "import house.low.pure", "low/pure": f"{guard}import house.low.files"}
    )
    assert set(graph.circle()) == {"low.pure", "low.files"}


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"low/pure": "import socket"}, ("low.pure", "socket")),
        ({"low/pure": "import urllib.request"}, ("low.pure", "urllib.request")),
        ({"low/pure": "from asyncio import sleep"}, ("low.pure", "asyncio.sleep")),
        ({"low/pure": "def read() -> str:\n    return open('/etc/hosts').read()"}, ("low.pure", "open")),
        ({"words": "import logging"}, ("words", "logging")),
        ({"words": "from house.low.files import File"}, ("low.files", "os")),
        ({"low/__init__": "from house.low.files import File"}, ("low.files", "os")),
        ({"__init__": "import threading"}, ("", "threading")),
    ],
)
def test_what_is_impure_is_found_however_far_away(
    changed: dict[str, str], found: tuple[str, str], tmp_path: Path
) -> None:
    assert build(tmp_path, changed).impurities("low.pure", ["re", "urllib.parse"]) == {found}


def test_what_only_a_type_checker_imports_is_not_run(tmp_path: Path) -> None:
    graph = build(tmp_path, {"low/pure": "if TYPE_CHECKING:\n    import socket\nelse:\n    import re"})
    assert graph.impurities("low.pure", ["re"]) == set()


def test_a_relative_import_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="write the relative import out"):
        build(tmp_path, {"low/pure": "from . import files"})
