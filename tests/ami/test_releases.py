"""What is said of each group of releases: one that stands for it, its first and its last."""

from __future__ import annotations

import pytest

from audiosocket_gw.ami.releases import Release, limitations

BUSY = "processor core"
KEYS = "DTMF keys don't arrive"
NOISE = "comfort noise"
SPLIT = "network splits"
WIDEBAND = "wideband"
UUID = "UUID()"
FILTERS = "eventfilter"

GROUPS = {
    "A": (("18.1.0", "18.19.0", "19.8.1", "20.0.0", "20.4.0"), {BUSY, KEYS, SPLIT, WIDEBAND, UUID, FILTERS}),
    "A, certified": (("certified/18.9-cert18",), {BUSY, KEYS, SPLIT, WIDEBAND, UUID, FILTERS}),
    "B": (
        ("18.20.0", "20.5.0", "20.6.0~dfsg+~cs6.13.40431414-2build5", "20.9.3", "21.0.0", "22.0.0"),
        {KEYS, SPLIT, WIDEBAND, UUID, FILTERS},
    ),
    "B, certified": (
        ("certified/20.7-cert1", "certified-20.7-cert11"),
        {KEYS, SPLIT, WIDEBAND, UUID, FILTERS},
    ),
    "B with filters": (("18.26.4", "20.11.0", "21.6.0", "22.1.0"), {KEYS, SPLIT, WIDEBAND, UUID}),
    "B with UUID()": (
        ("20.12.0", "20.13.0", "21.7.0", "21.8.0", "22.2.0", "22.3.0"),
        {KEYS, SPLIT, WIDEBAND},
    ),
    "C, D": (
        (
            "20.14.1",
            "21.9.0",
            "22.4.1",
            "20.15.0",
            "20.16.0",
            "21.10.0",
            "21.11.0",
            "22.5.0",
            "22.6.0",
            "23.0.0",
        ),
        {NOISE, SPLIT, WIDEBAND},
    ),
    "E": (
        ("20.17.0", "20.18.2", "22.7.0", "22.8.0", "23.1.0", "23.2.0", "21.12.3", "certified/22.8-cert4"),
        {NOISE, SPLIT},
    ),
    "F": (("20.19.0", "22.9.0", "23.3.0"), {NOISE}),
    "G": (("20.20.1", "22.10.1+dfsg+~cs6.17.60671434-1", "23.4.1"), set()),
    "to come": (("22.11.0-rc1", "23.5.0", "24.0.0", "25.1.0"), set()),
}


@pytest.mark.parametrize(
    ("version", "expected"),
    [(version, words) for versions, words in GROUPS.values() for version in versions],
)
def test_limitations(version: str, expected: set[str]) -> None:
    release = Release.parse(version)
    assert release is not None
    said = limitations(release)
    assert len(said) == len(expected)
    for word in expected:
        assert [text for text in said if word in text], word


@pytest.mark.parametrize("version", ["16.28.0~dfsg-0+deb11u4", "13.38.3", "17.9.4"])
def test_too_old(version: str) -> None:
    release = Release.parse(version)
    assert release is not None
    assert limitations(release) == ("its AudioSocket is not supported",)


@pytest.mark.parametrize(
    "version",
    [
        "GIT-master-0d6cda0",
        "GIT-22-88ab1c2M",
        "SVN-trunk-r1",
        "UNKNOWN__and_probably_unsupported",
        "9" * 5_000 + ".1",
        "",
    ],
)
def test_of_what_is_no_release_nothing_is_said(version: str) -> None:
    assert Release.parse(version) is None
