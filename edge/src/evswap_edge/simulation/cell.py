"""The lithium-ion cell: its open-circuit voltage, its resistance, and the laws of its charging.

The cell is Sanyo's UR18650E (2.05 Ah, Li(NiMnCo)O2 on graphite), whose ageing Schmalstieg et al. published
(J. Power Sources 257 (2014) 325). Voltages and ageing are then of one and the same cell.
"""

from itertools import pairwise
from typing import Final

CAPACITY_AH: Final = 2.05
OHM: Final = 0.07
"""Of a new cell over minutes: 144 mΩ Ah, between the 150 mΩ Ah (30 mΩ, 5 Ah) of the INR21700-M50's data sheet
and what Schmalstieg et al. measured in ten seconds."""
CUT_OFF_A: Final = 0.05 * CAPACITY_AH
"""Charging ends when the constant voltage drives no more than C/20, as data sheets of such cells have it."""
FULL_V: Final = 4.169
"""The charger's constant voltage: what a new cell shows at rest when full, and the cut-off current's drop."""

OPEN_CIRCUIT_V: Final = (
    3.331, 3.420, 3.491, 3.544, 3.581, 3.608, 3.627, 3.641, 3.655, 3.673, 3.697,
    3.732, 3.775, 3.821, 3.869, 3.915, 3.965, 4.019, 4.073, 4.118, 4.162,
)  # fmt: skip
"""At rest, at a state of charge of 0, 5, ... 100 %; straight in between. From figure 1 of Schmalstieg et al.,
below 10 % from Ecker et al. (J. Power Sources 248 (2014) 839)."""
SEGMENTS: Final = len(OPEN_CIRCUIT_V) - 1


def open_circuit_v(soc: float) -> float:
    """Volts at rest at a state of charge of 0 to 1."""
    segment = min(int(soc * SEGMENTS), SEGMENTS - 1)
    low, high = OPEN_CIRCUIT_V[segment], OPEN_CIRCUIT_V[segment + 1]
    return low + (high - low) * (soc * SEGMENTS - segment)


def _integral_at_segments() -> tuple[float, ...]:
    found = [0.0]
    for low, high in pairwise(OPEN_CIRCUIT_V):
        found.append(found[-1] + (low + high) / 2 / SEGMENTS)
    return tuple(found)


_INTEGRAL: Final = _integral_at_segments()


def chemical_energy(soc: float) -> float:
    """Joules in a cell per coulomb of its capacity: the integral of the voltage at rest over the charge."""
    segment = min(int(soc * SEGMENTS), SEGMENTS - 1)
    beyond = soc - segment / SEGMENTS
    return _INTEGRAL[segment] + beyond * (OPEN_CIRCUIT_V[segment] + open_circuit_v(soc)) / 2
