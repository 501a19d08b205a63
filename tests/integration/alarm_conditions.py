"""Whether an alarm of ``cloud/stack/alarms.yaml`` would be raised, given what its metrics count."""

import operator
from typing import Any

from tests.integration.plant import load

ALARMS: dict[str, Any] = load("alarms.yaml")
COMPARISONS = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
}
METRIC_MATH = {
    "MAX": max,
    "FILL": lambda value, otherwise: otherwise if value is None else value,
}
"""What our expressions use of CloudWatch's language, which is Python's for the rest."""


def is_raised(alarm: str, **counted: float | None) -> bool:
    """``counted`` is one period's value of each metric, by its key in the file; None is no data."""
    described = ALARMS[alarm]
    assert counted.keys() == described["metrics"].keys(), "every metric, and no other"
    value = (
        eval(described["expression"], {"__builtins__": {}, **METRIC_MATH}, counted)  # noqa: S307 - our own file
        if "expression" in described
        else next(iter(counted.values()))
    )
    if value is None:
        return bool(described["missing_data"] == "breaching")
    return bool(COMPARISONS[described["comparison"]](value, described["threshold"]))
