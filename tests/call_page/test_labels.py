"""No label is placed over another, or over another's bar, whatever there is to place."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.call_page.labels import Item, Place, place, text_width

WIDTH = 300.0

positions = st.floats(0, WIDTH)
items = st.lists(
    st.builds(
        lambda one, other, text, is_urgent: Item(min(one, other), max(one, other), text, is_urgent),
        positions,
        positions,
        st.sampled_from(["", "5 ms", "1234 ms", "▲ silent agent 12.3 s", "查询订单状态", "x" * 60]),
        st.booleans(),
    ),
    max_size=40,
)


def area(item: Item, where: Place) -> tuple[float, float]:
    if not item.text:
        return item.start, item.end
    return min(item.start, where.left), max(item.end, where.left + where.width)


@given(items, st.integers(1, 6))
def test_items_of_a_row_never_overlap_and_labels_stay_within(given_items: list[Item], rows: int) -> None:
    places = place(given_items, WIDTH, rows)
    placed = [(item, where) for item, where in zip(given_items, places, strict=True) if where]
    for item, where in placed:
        assert 0 <= where.row < rows
        assert not item.text or (where.left >= 0 and where.left + where.width <= WIDTH + 1e-6)
    for (one, first), (other, second) in combinations(placed, 2):
        if first.row == second.row:
            (start, end), (begin, stop) = area(one, first), area(other, second)
            assert end <= begin or stop <= start


@given(items)
def test_with_enough_rows_everything_has_a_place(given_items: list[Item]) -> None:
    assert None not in place(given_items, WIDTH, len(given_items))


def test_a_label_is_beside_its_bar_or_within_it() -> None:
    right, left, within, over = place(
        [Item(10, 20, "5 ms"), Item(280, 290, "5 ms"), Item(10, 200, "5 ms"), Item(0, 300, "x" * 60)],
        WIDTH,
        4,
    )
    assert right and left and within and over
    assert right.left == 24
    assert left.left + left.width == 276
    assert within.left == (10 + 200 - within.width) / 2
    assert (over.left, over.width) == (0, WIDTH)


def test_a_fault_gets_its_place_first() -> None:
    bars = [Item(0, 300, ""), Item(0, 300, ""), Item(0, 300, "", is_urgent=True)]
    assert [bool(where) for where in place(bars, WIDTH, 1)] == [False, False, True]


def test_a_wide_character_takes_more_room() -> None:
    assert text_width("您好") > text_width("ab")
