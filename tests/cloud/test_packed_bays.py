"""Bays in few bytes: nothing is lost on the way, and damage is told."""

import zlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evswap_cloud.bays import Bays, bays_of
from evswap_cloud.columns import Reader, column, deflated, integer, text
from evswap_cloud.errors import DamagedBays
from evswap_cloud.order import Place
from evswap_cloud.packed_bays import (
    CHARGES,
    HEALTHS,
    LOCKS,
    OCCUPANCIES,
    RESERVATIONS,
    VERSION,
    pack,
    unpack,
)
from evswap_schema import Charge, Health, Lock, Occupancy, Reservation
from evswap_schema.limits import MAX_BAYS, MAX_SEQUENCE
from tests.cloud.messages import NOW, battery, bay
from tests.shared.strategies import bays, moments, station_ids

places = st.builds(Place, observed_at=moments) | st.builds(
    Place, observed_at=moments, stream_id=station_ids, sequence=st.integers(0, MAX_SEQUENCE)
)


@st.composite
def told(draw: st.DrawFn) -> Bays:
    """Of a reading, or of several: a bay that was not named keeps its own time."""
    numbers = draw(st.lists(st.integers(1, MAX_BAYS), min_size=1, max_size=12, unique=True))
    by_reading = [
        bays_of(Place(observed_at=NOW), draw(moments), [draw(bays(number))]).bays
        for number in sorted(numbers)
    ]
    return Bays(place=draw(places), bays=tuple(one for of_reading in by_reading for one in of_reading))


@given(told())
def test_bays_come_back_exactly_as_they_were_packed(one: Bays) -> None:
    assert unpack(pack(one)) == one


def test_the_largest_station_and_the_longest_serial_numbers_come_back() -> None:
    place = Place(
        observed_at=datetime(2026, 12, 28, 23, 59, 59, 999_999, UTC), stream_id="t" * 64, sequence=1
    )
    batteries = [battery(serial_number="\N{BATTERY}" * 46 + f"{number:04}") for number in range(MAX_BAYS)]
    largest = bays_of(
        place, place.observed_at, [bay(number, battery=one) for number, one in enumerate(batteries, 1)]
    )
    assert unpack(pack(largest)) == largest


def demand_error_or_bays(packed: bytes) -> None:
    try:
        found = unpack(packed)
    except DamagedBays:
        return
    assert 1 <= len(found.bays) <= MAX_BAYS


@given(told(), st.data())
def test_damaged_bytes_are_an_error_or_bays_and_nothing_else(one: Bays, data: st.DataObject) -> None:
    packed = bytearray(pack(one))
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    demand_error_or_bays(bytes(packed[: data.draw(st.integers(0, len(packed)))]))


@given(st.binary(max_size=200))
def test_any_bytes_at_all_are_an_error_or_bays(noise: bytes) -> None:
    demand_error_or_bays(integer(VERSION) + noise)


PACKED = pack(bays_of(Place(observed_at=NOW), NOW, [bay(1), bay(2)]))


@pytest.mark.parametrize(
    ("damaged", "problem"),
    [
        (b"", "0 bytes of packed bays are damaged: it is cut off"),
        (integer(VERSION + 1) + PACKED[1:], "2 is not between 1 and 1"),
        (PACKED[:-1], "it is cut off"),
        (PACKED + b"\x00", "1 bytes are left over"),
        (integer(VERSION) + integer(2**62) + PACKED[9:], "damaged"),
    ],
)
def test_what_is_wrong_is_told(damaged: bytes, problem: str) -> None:
    with pytest.raises(DamagedBays, match=problem):
        unpack(damaged)


def test_a_text_that_swells_is_refused() -> None:
    """50 KB of nothing deflate to some 60 bytes."""
    with pytest.raises(ValueError, match="too long"):
        Reader(deflated("0" * 50_000)).inflated(most=1_000)


def test_every_state_can_be_written() -> None:
    written = (OCCUPANCIES, CHARGES, LOCKS, RESERVATIONS, HEALTHS)
    for members, kind in zip(written, (Occupancy, Charge, Lock, Reservation, Health), strict=True):
        assert set(members) == set(kind)


# --- columns ---


@given(st.lists(st.integers(-(2**62), 2**62), max_size=40))
def test_a_column_comes_back(values: list[int]) -> None:
    reader = Reader(column(values))
    assert reader.column(len(values)) == values
    reader.demand_end()


@given(st.integers(-(2**63), 2**63), st.text(), st.text())
def test_a_number_and_texts_come_back(number: int, one: str, other: str) -> None:
    reader = Reader(integer(number) + text(one) + deflated(other))
    assert (reader.integer(), reader.text(), reader.inflated(most=10_000)) == (number, one, other)
    reader.demand_end()


def test_numbers_that_lie_close_together_take_few_bits() -> None:
    assert len(column([7] * 35)) == 2
    assert len(column([1_000, 1_001] * 16)) == 3 + 32 // 8


def test_a_number_without_an_end_and_one_out_of_its_bounds_are_refused() -> None:
    for refused in (
        lambda: Reader(b"\xff" * 11).integer(),
        lambda: Reader(column([1, 5])).column(2, most=4),
        lambda: Reader(column([1, 5])).column(2, least=2),
        lambda: Reader(text("\N{BATTERY}")[:-1]).text(),
    ):
        with pytest.raises(ValueError, match=r".+"):
            refused()


def test_deflate_that_is_none_is_refused() -> None:
    with pytest.raises((ValueError, zlib.error)):
        Reader(integer(3) + b"\xff\xff\xff").inflated(most=100)
