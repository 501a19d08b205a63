"""A figure is a cost beside its floor: the least that any implementation would pay, measured in the same run.

Absolute times differ from machine to machine and from minute to minute; the ratio says what our code adds.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

FULL = "full" in (os.environ.get("EVSWAP_BENCH"), os.environ.get("EVSWAP_CHAOS"))
"""Whether this is `make bench` or `make chaos`; `make test` takes a short sample, to see that the benchmarks
still run."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What one item costs, in microseconds of this process's CPU time, beside what `floor_name` costs."""

    name: str
    per_item_us: float
    floor_name: str
    floor_us: float

    @property
    def ratio(self) -> float:
        return self.per_item_us / self.floor_us


def cost_us(work: Callable[[], object], *, items: int = 1) -> float:
    """CPU microseconds of `work` for each of the `items` it handles: the least of several rounds.

    The least, since everything that disturbs a measurement adds to it.
    """
    rounds, least_s = (7, 0.2) if FULL else (2, 0.01)
    calls = _calls_lasting(work, least_s)
    return min(_cpu_s(work, calls) for _ in range(rounds)) / calls / items * 1e6


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table, as docs/performance.md shows them."""
    rows = [
        f"| {one.name} | {one.per_item_us:.1f} | {one.floor_name} | {one.floor_us:.1f} | {one.ratio:.1f} |"
        for one in figures
    ]
    return "\n".join(["| cost of one | µs | floor | µs | ratio |", "|---|---:|---|---:|---:|", *rows])


def _calls_lasting(work: Callable[[], object], least_s: float) -> int:
    calls = 1
    while _cpu_s(work, calls) < least_s:
        calls *= 2
    return calls


def _cpu_s(work: Callable[[], object], calls: int) -> float:
    start = time.process_time()
    for _ in range(calls):
        work()
    return time.process_time() - start
