"""The catalogue of requirements, and what is made of measurements."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evswap_hil.report.machine import write_json
from evswap_hil.report.record import NEVER, Measurement, Outcome, Report, Verdict, complete
from evswap_hil.requirements import REQUIREMENTS, Limit, Suite, of_suites, requirement

AT_MOST = Limit("delay", "s", at_most=6.0)
AT_LEAST = Limit("samples", "samples", at_least=18.0)
BETWEEN = Limit("interval", "s", at_least=0.95, at_most=1.05)
NONE_AT_ALL = Limit("lost", "samples", at_least=0.0, at_most=0.0)

BOOT = requirement("REQ-BOOT-1")
STATE = requirement("REQ-STATE-1")


def outcome(verdict: Verdict = Verdict.MET, value: float = 2.0) -> Outcome:
    return Outcome(
        requirement=BOOT,
        verdict=verdict,
        measurements=(Measurement(BOOT.limits[0], value),),
        seconds=3.21,
        reason="" if verdict is Verdict.MET else "too late",
    )


def report(*outcomes: Outcome) -> Report:
    return Report(
        bench="virtual",
        suites=("functional",),
        stack={"api": "http://127.0.0.1"},
        versions={"evswap-hil": "0.1.0"},
        started=datetime(2026, 11, 23, 4, tzinfo=UTC),
        seconds=12.3,
        outcomes=outcomes,
    )


def test_names_and_what_they_measure_are_told_apart() -> None:
    assert len({each.id for each in REQUIREMENTS}) == len(REQUIREMENTS)
    for each in REQUIREMENTS:
        names = [limit.name for limit in each.limits]
        assert names
        assert len(set(names)) == len(names)
    with pytest.raises(KeyError, match="REQ-BOOT-1"):
        BOOT.limit("colour")


def test_a_suite_has_its_own() -> None:
    both = [*of_suites(frozenset({Suite.FUNCTIONAL})), *of_suites(frozenset({Suite.FAULTS}))]
    assert both == list(REQUIREMENTS) == list(of_suites(frozenset(Suite)))


@pytest.mark.parametrize(
    ("limit", "good", "bad", "text"),
    [
        (AT_MOST, [0, 6], [6.01, NEVER, math.nan], "at most 6 s"),
        (AT_LEAST, [18, 100], [17, math.nan], "at least 18 samples"),
        (BETWEEN, [0.95, 1, 1.05], [0.94, 1.06, NEVER], "0.95 to 1.05 s"),
        (NONE_AT_ALL, [0], [1, -1], "exactly 0 samples"),
    ],
)
def test_limits(limit: Limit, good: list[float], bad: list[float], text: str) -> None:
    assert [value for value in good if not limit.holds(value)] == []
    assert [value for value in bad if limit.holds(value)] == []
    assert str(limit) == text


@given(limit=st.sampled_from([AT_MOST, AT_LEAST, BETWEEN]), value=st.floats(0.001, 1000))
def test_a_bar_is_beyond_its_mark_where_the_limit_is(limit: Limit, value: float) -> None:
    assert limit.holds(value) == (limit.used(value) <= 1 + 1e-9)
    assert limit.has_margin
    assert not NONE_AT_ALL.has_margin


def test_a_value_is_told_as_a_person_reads_it() -> None:
    assert str(Measurement(AT_MOST, 1.23456)) == "delay 1.23 s (limit: at most 6 s)"
    assert Measurement(AT_MOST, 1234.5).text == "1234 s"
    assert Measurement(AT_MOST, NEVER).text == "never"


def test_an_outcome_is_told_in_one_line() -> None:
    assert str(outcome()) == (
        "PASS  REQ-BOOT-1  A booted station comes online: time to online 2 s (limit: at most 15 s)"
    )
    assert str(outcome(Verdict.NOT_MET, NEVER)).startswith("FAIL  REQ-BOOT-1")
    not_measured = Outcome(requirement=STATE, verdict=Verdict.NOT_MEASURED, reason="no test ran\nat all")
    assert str(not_measured).endswith(": no test ran")


def test_what_nobody_has_measured_is_not_met() -> None:
    whole = report(*complete([BOOT, STATE], [outcome()]))
    assert [each.verdict for each in whole.outcomes] == [Verdict.MET, Verdict.NOT_MEASURED]
    assert not whole.is_good
    assert whole.summary() == "1 of 2 requirements met; not met: REQ-STATE-1"
    assert report(outcome()).is_good
    assert not report().is_good


def test_the_report_as_json(tmp_path: Path) -> None:
    write_json(report(outcome(Verdict.NOT_MET, NEVER)), tmp_path / "report.json")
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["passed"] is False
    (only,) = written["requirements"]
    assert (only["id"], only["verdict"], only["reason"]) == ("REQ-BOOT-1", "not met", "too late")
    assert only["measurements"] == [
        {
            "name": "time to online",
            "value": None,
            "unit": "s",
            "at_least": None,
            "at_most": 15.0,
            "passed": False,
        }
    ]
