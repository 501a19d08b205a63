"""AWS's prices, as ``prices.yaml`` has them."""

from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec
from msgspec import Struct

_FILE: Final = "prices.yaml"


class Known(StrEnum):
    """Where a figure comes from: AWS's page or one that quotes it, or the memory of who wrote it down."""

    PUBLISHED = "published"
    MEMORY = "memory"


class Price(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``usd`` US dollars for ``per`` units. ``source`` is where to look it up."""

    usd: float
    per: int
    source: str
    known: Known

    def of(self, quantity: float) -> float:
        """What ``quantity`` units cost, in US dollars."""
        return quantity * self.usd / self.per


class PriceList(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The prices of one region on one day, by their unit."""

    region: str
    as_of: str
    prices: dict[str, Price]

    @property
    def from_memory(self) -> int:
        """How many of them nobody looked up."""
        return sum(price.known is Known.MEMORY for price in self.prices.values())


@cache
def price_list() -> PriceList:
    """The prices that bills are made with."""
    return msgspec.yaml.decode(files(__package__).joinpath(_FILE).read_bytes(), type=PriceList)
