"""What a check found."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """A value as a person reads it, and whether it is within the limit."""

    value: str
    passed: bool


@dataclass(frozen=True)
class Outcome:
    """One line of the report; `seconds` is how long the check took."""

    name: str
    limit: str
    value: str
    passed: bool
    seconds: float


@dataclass(frozen=True)
class Check:
    """Something that a running stack must do: its `limit` in words, and how to measure it."""

    name: str
    limit: str
    measure: Callable[[], Measured]


def carry_out(check: Check, expected_errors: tuple[type[Exception], ...]) -> Outcome:
    """Measure. One of `expected_errors` means that the stack misbehaved: the check fails with its text."""
    started = time.monotonic()
    try:
        measured = check.measure()
    except expected_errors as error:
        measured = Measured(str(error), passed=False)
    return Outcome(check.name, check.limit, measured.value, measured.passed, time.monotonic() - started)
