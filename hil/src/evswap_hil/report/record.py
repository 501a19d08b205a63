"""What was measured, beside what is required."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from evswap_hil.requirements import Limit, Requirement

NEVER = math.inf
"""The seconds until something that did not happen."""


class Verdict(StrEnum):
    """What is to be thought of a requirement."""

    MET = "met"
    NOT_MET = "not met"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Measurement:
    """A value, and the limit that it is held against."""

    limit: Limit
    value: float

    @property
    def is_good(self) -> bool:
        return self.limit.holds(self.value)

    @property
    def text(self) -> str:
        """The value as a person reads it."""
        return "never" if math.isinf(self.value) else f"{_rounded(self.value)} {self.limit.unit}".rstrip()

    @property
    def used(self) -> float:
        """How much of what the limit allows was used: 0 nothing, 1 all of it, more than 1 too much."""
        return self.limit.used(self.value)

    def __str__(self) -> str:
        return f"{self.limit.name} {self.text} (limit: {self.limit})"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one requirement; `seconds` is how long it took to find out.

    `reason` is why it is not met in a line or two, `trace` where in the test; `log` what the station last
    said then.
    """

    requirement: Requirement
    verdict: Verdict
    measurements: tuple[Measurement, ...] = ()
    seconds: float = 0.0
    reason: str = ""
    trace: str = ""
    log: str = ""

    @property
    def is_met(self) -> bool:
        return self.verdict is Verdict.MET

    def __str__(self) -> str:
        words = "; ".join(map(str, self.measurements)) or self.reason.partition("\n")[0]
        told = {Verdict.MET: "PASS", Verdict.NOT_MET: "FAIL", Verdict.NOT_MEASURED: "NONE"}[self.verdict]
        return f"{told}  {self.requirement.id}  {self.requirement.title}: {words}"


@dataclass(frozen=True, kw_only=True)
class Report:
    """A whole run."""

    bench: str
    suites: tuple[str, ...]
    stack: dict[str, str]
    versions: dict[str, str]
    started: datetime
    seconds: float
    outcomes: tuple[Outcome, ...] = field(default=())

    @property
    def is_good(self) -> bool:
        return bool(self.outcomes) and all(outcome.is_met for outcome in self.outcomes)

    @property
    def not_met(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if not outcome.is_met)

    def summary(self) -> str:
        """The verdict in one line."""
        met, all_of_them = len(self.outcomes) - len(self.not_met), len(self.outcomes)
        missed = ", ".join(outcome.requirement.id for outcome in self.not_met)
        return f"{met} of {all_of_them} requirements met" + (f"; not met: {missed}" if missed else "")


def complete(required: Sequence[Requirement], outcomes: Sequence[Outcome]) -> tuple[Outcome, ...]:
    """An outcome for each requirement, in its order: what nobody has measured is not met."""
    found = {outcome.requirement.id: outcome for outcome in outcomes}
    return tuple(
        found.get(each.id) or Outcome(requirement=each, verdict=Verdict.NOT_MEASURED, reason="no test ran")
        for each in required
    )


def _rounded(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
