"""What DynamoDB's capacity costs where a table has its own: it follows the hours of the week, and is paid for
by the hour whether it is used or not.

Auto scaling aims at a share of use (Application Auto Scaling, target tracking): it rises within minutes, and
takes back only after a quarter of an hour of less, some 27 times a day at most (DynamoDB Developer Guide,
"Service quotas": decreases). So an hour is held to have what the busiest moment of it, or of the hour before,
asks for. What is busier within minutes lives on the share that is left, and on what was not used in the last
five minutes.
"""

import math
from typing import Final

from msgspec import Struct

from evswap_edge.simulation.arrivals import activity

_ALARMS: Final = 4
_WEEK: Final = tuple((day, hour) for day in range(7) for hour in range(24))
_MOMENTS: Final = 4


class Capacity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of one table, as Terraform's variable ``provisioned_tables`` has it: what it begins with and keeps at
    least, the most that it scales to (None: it does not scale), and what each of its global indexes has."""

    read_units: float = 1
    write_units: float = 1
    most_read_units: float | None = None
    most_write_units: float | None = None
    index_units: float = 5

    @property
    def alarms(self) -> int:
        """What auto scaling keeps, and CloudWatch bills: two bounds a direction, for writes and for reads."""
        return _ALARMS * sum(most is not None for most in (self.most_read_units, self.most_write_units))


UNBOUNDED: Final = Capacity(most_read_units=math.inf, most_write_units=math.inf)
"""Follows whatever is asked of it."""


class Demand(Struct, frozen=True, kw_only=True):
    """Units a second on the mean: ``even`` by the clock, ``by_swaps`` as customers come."""

    even: float = 0.0
    by_swaps: float = 0.0

    def paid(self, least: float, most: float | None, utilisation: float) -> float:
        """Units that are paid for, on the mean of a week, where auto scaling aims at this share of use.
        Without a ``most`` nothing scales."""
        if most is None:
            return least
        held = [
            max(self._busiest(*_WEEK[place - 1]), self._busiest(*_WEEK[place])) for place in range(len(_WEEK))
        ]
        return sum(min(most, max(least, math.ceil(units / utilisation))) for units in held) / len(held)

    @property
    def peak(self) -> float:
        """In the busiest hour of the week."""
        return max(self._busiest(*moment) for moment in _WEEK)

    def _busiest(self, day: int, hour: int) -> float:
        shares = (activity(hour + quarter / _MOMENTS, day) for quarter in range(_MOMENTS + 1))
        return self.even + self.by_swaps * max(shares)
