"""Geohashes, and the cells that cover a circle."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evswap_cloud.places import (
    CELL_CHARACTERS,
    KM_PER_DEGREE,
    MAX_LATITUDE,
    cover,
    decode,
    distance_km,
    encode,
    rounded,
)
from evswap_schema import Location

latitudes = st.floats(-90, 90)
everywhere = st.builds(Location, latitude=latitudes, longitude=st.floats(-180, 180))
served = st.builds(Location, latitude=st.floats(-MAX_LATITUDE, MAX_LATITUDE), longitude=st.floats(-180, 180))


@pytest.mark.parametrize(
    ("latitude", "longitude", "geohash"),
    [(57.64911, 10.40744, "u4pruydqqvj"), (42.6, -5.6, "ezs42"), (-25.382708, -49.265506, "6gkzwgjzn820")],
)
def test_geohashes_are_the_worlds(latitude: float, longitude: float, geohash: str) -> None:
    assert encode(Location(latitude=latitude, longitude=longitude), len(geohash)) == geohash


@given(everywhere)
def test_a_place_is_kept_as_far_as_it_is_rounded(place: Location) -> None:
    kept = decode(encode(rounded(place)))
    assert kept.latitude == pytest.approx(place.latitude, abs=1.1e-6)
    assert kept.longitude == pytest.approx(place.longitude, abs=1.1e-6)


@given(st.integers(-89_999_999, 89_999_999), st.integers(-179_999_999, 179_999_999))
def test_six_decimals_come_back_as_they_were(latitude: int, longitude: int) -> None:
    place = Location(latitude=latitude / 1_000_000, longitude=longitude / 1_000_000)
    assert decode(encode(place)) == place


@given(served, st.floats(0.01, 50), st.floats(0, 0.999), st.floats(0, 2 * math.pi))
def test_the_cells_of_a_circle_hold_all_of_it(
    centre: Location, radius_km: float, share: float, bearing: float
) -> None:
    there = _gone(centre, radius_km * share, bearing)
    cells = cover(centre, radius_km)
    assert encode(there).startswith(cells)
    assert len(set(cells)) == len(cells) <= 60
    assert {len(cell) >= CELL_CHARACTERS for cell in cells} == {True}


@given(everywhere, everywhere)
def test_it_is_as_far_there_as_back_and_nowhere_farther_than_the_other_side(
    one: Location, other: Location
) -> None:
    assert distance_km(one, other) == pytest.approx(distance_km(other, one), abs=1e-6)
    assert 0 <= distance_km(one, other) <= 20_016


def test_a_degree_of_a_meridian_is_known() -> None:
    away = distance_km(Location(latitude=10, longitude=7), Location(latitude=11, longitude=7))
    assert away == pytest.approx(KM_PER_DEGREE, rel=1e-5)


def _gone(start: Location, away_km: float, bearing: float) -> Location:
    """Along a great circle."""
    angle, latitude = math.radians(away_km / KM_PER_DEGREE), math.radians(start.latitude)
    north = math.asin(
        math.sin(latitude) * math.cos(angle) + math.cos(latitude) * math.sin(angle) * math.cos(bearing)
    )
    east = math.atan2(
        math.sin(bearing) * math.sin(angle) * math.cos(latitude),
        math.cos(angle) - math.sin(latitude) * math.sin(north),
    )
    longitude = start.longitude + math.degrees(east)
    return Location(latitude=math.degrees(north), longitude=(longitude + 180) % 360 - 180)
