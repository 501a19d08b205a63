"""A fleet of a hundred thousand, half of it more crowded than anywhere."""

import random
from collections.abc import Iterator

from msgspec.structs import replace

from evswap_cloud.latest import LatestState
from evswap_cloud.places import rounded
from evswap_schema import Location, StationStatus
from tests.cloud.test_connection import known

STATIONS = 100_000
CITY = Location(latitude=25.04, longitude=121.56)
"""Half of the stations are within 20 km of it."""


def stations(count: int = STATIONS) -> Iterator[LatestState]:
    """As their latest states; the first of so many."""
    dice, one = random.Random(7), known()
    for number in range(count):
        across = 0.18 if number % 2 else 5.0
        there = Location(
            latitude=CITY.latitude + dice.uniform(-across, across),
            longitude=CITY.longitude + dice.uniform(-across, across),
        )
        yield replace(
            one,
            station_id=f"station-{number:06}",
            battery_available=number % 20,
            status=StationStatus.FAULT if number % 5_000 == 0 else StationStatus.OPERATIONAL,
            location=rounded(there),
        )
