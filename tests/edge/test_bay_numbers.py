"""Bays as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evswap_edge.drivers.bays import BayRanges, bay_numbers, written
from evswap_schema.limits import MAX_BAYS


@pytest.mark.parametrize(
    ("ranges", "numbers"),
    [
        (3, (3,)),
        ("3", (3,)),
        ("1-4", (1, 2, 3, 4)),
        (" 2 - 3 ", (2, 3)),
        ((9, 10), (9, 10)),
        (("1-2", 7, "5-6"), (1, 2, 7, 5, 6)),
    ],
)
def test_they_come_in_the_order_in_which_they_stand_there(
    ranges: BayRanges, numbers: tuple[int, ...]
) -> None:
    assert bay_numbers(ranges) == numbers


@pytest.mark.parametrize(
    ("ranges", "said"),
    [
        ("4-1", "bays: '4-1' is no range of bays"),
        ("0-3", "bays: '0-3' is no range of bays"),
        ("1..4", "bays: '1..4' is no range of bays"),
        ("", "bays: '' is no range of bays"),
        ("-2", "bays: '-2' is no range of bays"),
        ("1-2-3", "bays: '1-2-3' is no range of bays"),
        (f"1-{MAX_BAYS + 1}", "is no range of bays from 1 to"),
        (("1-4", 3), "bays: bay 3 stands there a second time"),
        ((), "bays: none is named"),
    ],
)
def test_what_makes_no_sense_is_refused(ranges: BayRanges, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        bay_numbers(ranges)


@given(st.sets(st.integers(1, MAX_BAYS), min_size=1))
def test_what_is_written_is_read_as_it_was(numbers: set[int]) -> None:
    text = written(tuple(numbers))
    assert bay_numbers(tuple(text.split(", "))) == tuple(sorted(numbers))
