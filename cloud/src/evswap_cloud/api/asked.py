"""What a request asks for, held against what there is."""

import re
from typing import TypeVar

from evswap_cloud.api.problems import bad_parameter, not_found
from evswap_cloud.latest import LatestReader, LatestState, StationState
from evswap_schema import STATION_ID_PATTERN

T = TypeVar("T")


def demand_station_id(station_id: str) -> None:
    """Raises ``ProblemError`` unless a station may be called so."""
    if not re.match(STATION_ID_PATTERN, station_id):
        raise bad_parameter("station_id", f"station_id has to match {STATION_ID_PATTERN}.")


def reported(latest: LatestReader, station_id: str) -> LatestState:
    """The station's state; raises ``ProblemError`` where it has none."""
    demand_station_id(station_id)
    return _found(latest.get(station_id), station_id)


def reported_with_bays(latest: LatestReader, station_id: str) -> StationState:
    """The same with its bays."""
    demand_station_id(station_id)
    return _found(latest.get_with_bays(station_id), station_id)


def _found(state: T | None, station_id: str) -> T:
    if state is None:
        raise not_found(f"No station {station_id} has reported.")
    return state
