"""The lines of a bill."""

from collections.abc import Sequence
from dataclasses import dataclass

from evswap_local.cost.prices import PriceList


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """So many units of something that has a price. ``kind`` is what AWS's own bill sums up."""

    kind: str
    what: str
    quantity: float
    price: str

    def usd(self, prices: PriceList) -> float:
        """What it costs."""
        return prices.prices[self.price].of(self.quantity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What ``design`` costs."""

    design: str
    lines: Sequence[Line]

    def total(self, prices: PriceList) -> float:
        """US dollars."""
        return sum(line.usd(prices) for line in self.lines)

    def by_kind(self, prices: PriceList) -> dict[str, float]:
        """US dollars, in the order of the lines."""
        sums: dict[str, float] = {}
        for line in self.lines:
            sums[line.kind] = sums.get(line.kind, 0.0) + line.usd(prices)
        return sums

    def dearest(self, prices: PriceList) -> Line:
        """The line that grows the most when there is more of everything: the next dollar comes from it."""
        return max(self.lines, key=lambda line: line.usd(prices))
