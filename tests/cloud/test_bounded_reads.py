"""What a request reads of a fleet of a hundred thousand: as much as of a fleet of a thousand, and not all."""

from itertools import pairwise

import pytest

from evswap_cloud.latest import MOST_EXAMINED, Wanted
from evswap_cloud.memory import MemoryLatestStates
from evswap_cloud.nearby import MOST_READ, search
from evswap_cloud.places import distance_km
from evswap_schema import StationStatus
from tests.cloud.large_fleet import CITY, STATIONS, stations


@pytest.fixture(scope="module")
def fleet() -> MemoryLatestStates:
    latest = MemoryLatestStates()
    for one in stations():
        latest.offer(one)
    return latest


@pytest.mark.parametrize("radius_km", [0.5, 5.0, 50.0])
@pytest.mark.parametrize("wanted", [Wanted(), Wanted(status=StationStatus.FAULT)])
def test_a_search_reads_a_bounded_number(
    fleet: MemoryLatestStates, radius_km: float, wanted: Wanted, capsys: pytest.CaptureFixture[str]
) -> None:
    near = search(fleet, CITY, radius_km, limit=20, wanted=wanted)
    with capsys.disabled():
        print(
            f"\nnear, {radius_km:g} km, {wanted.status or 'any status'}: {near.examined} of {STATIONS} items"
            f" read, {len(near.neighbours)} found within {near.searched_km:g} km"
        )
    assert near.examined <= MOST_READ
    assert all(one.distance_km <= other.distance_km for one, other in pairwise(near.neighbours))
    assert all(one.distance_km <= near.searched_km for one in near.neighbours)
    if wanted == Wanted():
        assert len(near.neighbours) == 20


@pytest.mark.parametrize(
    ("wanted", "most"), [(Wanted(), 101), (Wanted(status=StationStatus.FAULT), MOST_EXAMINED)]
)
def test_a_page_reads_a_bounded_number(
    fleet: MemoryLatestStates, wanted: Wanted, most: int, capsys: pytest.CaptureFixture[str]
) -> None:
    page = fleet.page(limit=100, after=None, wanted=wanted)
    with capsys.disabled():
        print(f"\na page, {wanted.status or 'any status'}: {page.examined} of {STATIONS} items read")
    assert page.examined <= most
    assert page.after is not None


def test_the_nearest_are_the_nearest(fleet: MemoryLatestStates) -> None:
    """Against a look at all of them."""
    near = search(fleet, CITY, 3.0, limit=50, wanted=Wanted(min_available=10))
    far = near.searched_km
    every = sorted(
        (distance_km(CITY, one.location), one.station_id)
        for one in fleet.all()
        if one.location is not None and one.battery_available >= 10
    )
    expected = [name for away, name in every if away <= far][:50]
    assert [one.state.station_id for one in near.neighbours] == expected
