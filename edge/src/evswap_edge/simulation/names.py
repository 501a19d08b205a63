"""How a story names its riders and its packs: after the station, so that no two stations have one in common.

Whoever runs simulated stations is the network that knows these customers and owns these batteries.
"""

import math
from typing import Final

from evswap_edge.simulation.arrivals import SWAPS_PER_BAY_AND_DAY
from evswap_edge.simulation.customers import ROAD_DAYS

_OF_STATION: Final = 24
"""Characters of a station's name, counted from its end: what is made of it stays within the contract's
limits."""

SERIAL_NUMBERS: Final = rf"[A-Za-z0-9_-]{{1,{_OF_STATION}}}-[0-9]+-[0-9]{{6}}"
"""What the whole serial number of a pack of the network looks like, as a regular expression. Foreign packs
have others."""


def serial_number(station: str, seed: str, number: int) -> str:
    """Of the pack with this number; another ``seed`` has other packs."""
    return f"{station[-_OF_STATION:]}-{seed}-{number:06d}"


def token(station: str, index: int) -> str:
    """What the rider shows at the reader."""
    return f"{station[-_OF_STATION:]}-rider-{index:05d}"


def tokens(
    station: str, *, bays: int, swaps_per_bay_and_day: float = SWAPS_PER_BAY_AND_DAY
) -> tuple[str, ...]:
    """Of all riders who ever come to a station with so many bays: as many as its swaps keep on the road."""
    riders = math.ceil(swaps_per_bay_and_day * bays * ROAD_DAYS)
    return tuple(token(station, index) for index in range(riders))
