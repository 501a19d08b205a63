"""What is asked: how large the network is, what it does, and who looks at it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from evswap_local.cost.settings import Settings

SECONDS_A_DAY: Final = 86_400.0
DAYS_A_MONTH: Final = 30.0


class Billing(StrEnum):
    """How DynamoDB's capacity is paid for."""

    ON_DEMAND = "on-demand"
    PROVISIONED = "provisioned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """So many ``stations`` for so many ``days``.

    What stations tell goes by swaps; what people ask, by ``requests_a_minute`` of the API (by machines and
    people together) and ``pages`` of the live map that are open around the clock. ``months_kept`` is how long
    there has been an archive when the days begin. ``settings`` may give single tables capacity of their own;
    where ``billing`` is provisioned all have it that stations write to.
    """

    stations: int = 1_000
    days: float = 30.0
    bays: int = 35
    batch_age_s: float = 60.0
    billing: Billing = Billing.ON_DEMAND
    interval_s: float = 5.0
    swaps_a_day: float = 148.0
    changes_a_swap: float = 4.0
    events_a_swap: float = 2.0
    requests_a_minute: float = 20.0
    pages: int = 2
    months_kept: float = 0.0
    settings: Settings = field(default_factory=Settings)

    @property
    def station_days(self) -> float:
        return self.stations * self.days

    @property
    def seconds(self) -> float:
        return self.days * SECONDS_A_DAY

    @property
    def months(self) -> float:
        """Of 30 days."""
        return self.days / DAYS_A_MONTH

    @property
    def samples(self) -> float:
        return self.station_days * SECONDS_A_DAY / self.interval_s

    @property
    def swaps(self) -> float:
        return self.station_days * self.swaps_a_day
