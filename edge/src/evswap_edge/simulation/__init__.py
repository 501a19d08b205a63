"""A station made of arithmetic: cells, heat, weather, customers and faults, in simulated time.

Pure and deterministic: no clock, no file, no other part of the station. One seed tells one story, bit for
bit. Where each parameter comes from is in docs/simulation.md.

    SimulationError
    ├── FiguresOutside      a story has figures that no real station has
    └── PlotsUnavailable    nothing is installed that could draw
"""

from collections.abc import Sequence


class SimulationError(Exception):
    """The root of what can go wrong with a simulation."""


class FiguresOutside(SimulationError):
    """``names`` are the figures that lie outside of what is expected of them."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        super().__init__(f"outside of what is expected: {', '.join(names)}")


class PlotsUnavailable(SimulationError):
    """The library that draws is not installed."""

    def __init__(self, missing: str) -> None:
        self.missing = missing
        super().__init__(f"plots need the library {missing!r}; install it with: pip install {missing}")
