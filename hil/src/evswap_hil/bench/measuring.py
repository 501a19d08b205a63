"""From a test to an outcome: a test names its requirement by a marker, and says what it measured."""

from collections.abc import Mapping

import pytest

from evswap_hil.report.record import Measurement
from evswap_hil.requirements import Requirement, requirement

MARKER = "requirement"
MEASUREMENTS = pytest.StashKey[list[Measurement]]()


class OutOfLimits(AssertionError):
    """Something that was measured is not good."""

    def __init__(self, name: str, bad: list[Measurement]) -> None:
        super().__init__(f"{name}: {'; '.join(map(str, bad))}")
        self.requirement = name
        self.bad = bad


class Measured:
    """Takes what a test has measured, and fails it where that is not good."""

    def __init__(self, item: pytest.Item, required: Requirement) -> None:
        self.required = required
        self._taken = item.stash.setdefault(MEASUREMENTS, [])

    def __call__(self, values: Mapping[str, float]) -> None:
        """`values` by the names of the requirement's limits. Raises KeyError or OutOfLimits."""
        taken = [Measurement(self.required.limit(name), value) for name, value in values.items()]
        self._taken.extend(taken)
        if bad := [measurement for measurement in taken if not measurement.is_good]:
            raise OutOfLimits(self.required.id, bad)


def requirement_of(item: pytest.Item) -> Requirement | None:
    """The requirement that a test is marked with; None where there is none. Raises KeyError."""
    marker = item.get_closest_marker(MARKER)
    return requirement(marker.args[0]) if marker else None
