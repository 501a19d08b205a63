"""The kinds of stations, and what comes out of the wall for each bay."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from evswap_edge.simulation.pack import LARGE, SMALL, Tier


class StationType(StrEnum):
    """A cabinet of 8, 35 or 120 bays."""

    KIOSK = "kiosk"
    STREET = "street"
    HUB = "hub"


BAYS: Final[Mapping[StationType, int]] = {
    StationType.KIOSK: 8,
    StationType.STREET: 35,
    StationType.HUB: 120,
}
"""The largest network has about 35 bays a station and more than 100 in its large ones."""

_ONE_TIER_UP_TO: Final = 12
_LARGE_SHARE: Final = 0.2


def tiers_for(bays: int) -> Mapping[Tier, float]:
    """Which packs a station of so many bays has, and the share of each: a small one has one tier, as too few
    bays of each would be left otherwise."""
    if bays <= _ONE_TIER_UP_TO:
        return {SMALL: 1.0}
    return {SMALL: 1.0 - _LARGE_SHARE, LARGE: _LARGE_SHARE}


@dataclass(frozen=True, slots=True)
class Electrics:
    """What a cabinet's chargers can do. The whole is limited to less than the sum of its bays, as a
    connection to the grid is paid for by its size."""

    charger_w: float = 1_200.0
    """What one charger gives at its terminals."""
    cabinet_w_per_bay: float = 650.0
    """What all chargers together may take from the grid."""
    efficiency: float = 0.94
    """Of a rectifier of this size, about constant above a third of its load."""
    standby_w: float = 2.0
    """Of each bay: its charger, lock and lamp."""
    controller_w: float = 60.0


@dataclass(frozen=True, slots=True)
class Housing:
    """What keeps a cabinet's heat, and what lets it out. Each per bay but the temperatures."""

    joules_per_kelvin: float = 4_000.0
    """Of air, chargers and the steel around a bay: 8 kg of it at 480 J/(kg K), and the air."""
    wall_conductance: float = 1.2
    """W/K: about 0.25 m2 of outer wall at 5 W/(m2 K), painted steel in still air."""
    fan_conductance: float = 10.0
    """W/K that the fan adds: 30 m3/h of air."""
    fan_w: float = 3.0
    fan_on_at: float = 35.0
    fan_off_at: float = 31.0
