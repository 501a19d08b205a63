"""From pytest's reports to outcomes."""

from types import SimpleNamespace
from typing import Any

import pytest

from evswap_hil.bench.measuring import MEASUREMENTS, Measured, OutOfLimits
from evswap_hil.bench.recorder import outcome_of
from evswap_hil.report.record import Measurement, Verdict
from evswap_hil.requirements import requirement

CLIMATE = requirement("REQ-CLIMATE-1")
GOOD = [Measurement(CLIMATE.limit("deviation"), 0.0), Measurement(CLIMATE.limit("delay"), 1.0)]


def reported(when: str = "call", outcome: str = "passed", longrepr: Any = None) -> pytest.TestReport:
    return pytest.TestReport(
        "suite/test.py::test",
        ("suite/test.py", 1, "test"),
        {},
        outcome,  # type: ignore[arg-type]
        longrepr,
        when,  # type: ignore[arg-type]
        duration=1.5,
    )


def judged(*reports: pytest.TestReport, measurements: list[Measurement] | None = None):
    taken = GOOD if measurements is None else measurements
    return outcome_of(CLIMATE, taken, list(reports), log=lambda: "last words")


@pytest.fixture
def item() -> Any:
    return SimpleNamespace(stash=pytest.Stash())


def test_all_good_is_met() -> None:
    outcome = judged(reported("setup"), reported("call"), reported("teardown"))
    assert outcome.verdict is Verdict.MET
    assert (outcome.seconds, outcome.log, outcome.reason) == (4.5, "", "")


@pytest.mark.parametrize("when", ["setup", "call", "teardown"])
def test_a_failure_anywhere_is_not_met(when: str) -> None:
    crash = SimpleNamespace(message="evswap_hil.bench.errors.NotOnline: visitor was not online")
    longrepr = SimpleNamespace(reprcrash=crash)
    outcome = judged(reported("setup"), reported(when, "failed", longrepr))
    assert outcome.verdict is Verdict.NOT_MET
    assert outcome.reason == "visitor was not online"
    assert outcome.log == "last words"


def test_what_was_left_out_is_not_measured() -> None:
    skipped = reported("setup", "skipped", ("test.py", 1, "Skipped: the bench is broken"))
    assert judged(skipped).verdict is Verdict.NOT_MEASURED
    assert judged(skipped).reason == "the bench is broken"


def test_half_measured_is_not_measured() -> None:
    outcome = judged(reported(), measurements=GOOD[:1])
    assert outcome.verdict is Verdict.NOT_MEASURED
    assert outcome.reason == "not measured: delay"


def test_every_value_is_kept_and_the_bad_ones_fail_the_test(item: Any) -> None:
    measured = Measured(item, CLIMATE)
    with pytest.raises(OutOfLimits, match=r"REQ-CLIMATE-1: deviation 9\.5 °C") as failed:
        measured({"deviation": 9.5, "delay": 1.0})
    assert [each.limit.name for each in failed.value.bad] == ["deviation"]
    assert [each.value for each in item.stash[MEASUREMENTS]] == [9.5, 1.0]


def test_what_has_no_limit_is_not_measured(item: Any) -> None:
    with pytest.raises(KeyError, match="colour"):
        Measured(item, CLIMATE)({"colour": 1.0})
