"""How a cell wears: by time, temperature and voltage, and by what goes through it.

The law and its constants are those of Schmalstieg et al., "A holistic aging model for Li(NiMnCo)O2 based
18650 lithium-ion batteries", J. Power Sources 257 (2014) 325: of the capacity

    1 - alpha t^0.75 - beta sqrt(Q)       alpha = (7.543 V - 23.75) 1e6 exp(-6976 K / T)
                                          beta  = 7.348e-3 (V - 3.667)^2 + 7.6e-4 + 4.081e-3 DOD

is left after t days at V volts and T kelvin, and Q ampere hours through a cell in cycles of depth DOD around
V volts; the resistance grows likewise, but in proportion to Q. Under conditions that change, equal wear is
equal state: what adds up is alpha^(1/0.75) t and beta^2 Q.
"""

import math
from typing import Final

_DAYS_POWER: Final = 0.75
_KELVIN: Final = 273.15


class Wear:
    """What a cell has been through."""

    __slots__ = ("_cycled", "_cycled_ohm", "_rested", "_rested_ohm")

    def __init__(self) -> None:
        self._rested = 0.0
        self._rested_ohm = 0.0
        self._cycled = 0.0
        self._cycled_ohm = 0.0

    def rest(self, days: float, *, volts: float, celsius: float) -> None:
        """Time passes, whatever else happens."""
        kelvin = celsius + _KELVIN
        alpha = (7.543 * volts - 23.75) * 1e6 * math.exp(-6976.0 / kelvin)
        alpha_ohm = (5.270 * volts - 16.32) * 1e5 * math.exp(-5986.0 / kelvin)
        self._rested += days * alpha ** (1 / _DAYS_POWER)
        self._rested_ohm += days * alpha_ohm ** (1 / _DAYS_POWER)

    def cycle(self, ampere_hours: float, *, volts: float, depth: float) -> None:
        """So much charge went through a cell, down and up together, ``depth`` (0 to 1) of its capacity at a
        time around ``volts``."""
        beta = 7.348e-3 * (volts - 3.667) ** 2 + 7.6e-4 + 4.081e-3 * depth
        beta_ohm = 2.153e-4 * (volts - 3.725) ** 2 - 1.521e-5 + 2.798e-4 * depth
        self._cycled += ampere_hours * beta**2
        self._cycled_ohm += ampere_hours * max(0.0, beta_ohm)

    @property
    def capacity_lost(self) -> float:
        """The share of the new cell's capacity, 0 to 1."""
        return min(0.95, math.pow(self._rested, _DAYS_POWER) + math.sqrt(self._cycled))

    @property
    def resistance_gained(self) -> float:
        """The share of the new cell's resistance that came on top."""
        return math.pow(self._rested_ohm, _DAYS_POWER) + self._cycled_ohm
