"""What a station counts about itself while it works. An addition each; whoever wants to know reads."""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

LATENCY_BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the latencies told apart: from a broker in the house to a confirmation by the cloud."""


class Latencies:
    """How long answers took, as a histogram over ``LATENCY_BOUNDS_S`` and beyond."""

    def __init__(self) -> None:
        self._counts = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self.total_s = 0.0

    def observe(self, seconds: float) -> None:
        """One answer took ``seconds``."""
        self._counts[bisect_left(LATENCY_BOUNDS_S, seconds)] += 1
        self.total_s += seconds

    def at_most(self) -> list[int]:
        """How many took at most each bound; the last counts all."""
        return list(accumulate(self._counts))


@dataclass(slots=True)
class Vitals:
    """One station's counters since its process began. Lanes are the publisher's, sensors the sampler's."""

    samples: int = 0
    skipped: int = 0
    """Ticks that were left out because the one before took too long."""
    sampled_at: float | None = None
    """Monotonic time of the last sample."""
    sensor_failures: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    """Messages that the far side has, by lane."""
    refused: Counter[str] = field(default_factory=Counter)
    """Messages that can never be delivered, by lane."""
    retried: Counter[str] = field(default_factory=Counter)
    """Messages that had to be sent again, by lane."""
    in_flight: int = 0
    linked: bool = False
    credentials_problem: str | None = None
    """What is wrong with certificate and key."""
    links: int = 0
    """How often a link was made."""
    latencies: Latencies = field(default_factory=Latencies)
    """From handing a message to the transport to its acceptance."""
