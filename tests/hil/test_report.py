from xml.etree import ElementTree

import pytest

from evswap_hil.check.outcome import Check, Measured, Outcome, carry_out
from evswap_hil.check.report import line, summary, write_junit

GOOD = Outcome("shown in the API", "within 5 s", "after 0.80 s", passed=True, seconds=0.9)
BAD = Outcome("no certificate", "refused", "accepted & <served>\x00", passed=False, seconds=0.1)


class Misbehaviour(Exception):
    pass


def test_each_line_has_the_value_beside_its_limit():
    assert line(GOOD) == "PASS  shown in the API: after 0.80 s (limit: within 5 s)"
    assert line(BAD).startswith("FAIL  no certificate: accepted")


def test_the_summary_counts():
    assert summary([GOOD, BAD, GOOD]) == "2 passed, 1 failed"


def test_the_report_is_what_ci_systems_read(tmp_path):
    file = tmp_path / "reports" / "check.xml"
    write_junit([GOOD, BAD], file)
    suite = ElementTree.parse(file).getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    good, bad = suite.findall("testcase")
    assert good.find("failure") is None
    failure = bad.find("failure")
    assert failure is not None
    assert failure.get("message") == "accepted & <served>\N{REPLACEMENT CHARACTER} (limit: refused)"


def test_what_the_stack_does_wrong_fails_the_check():
    def measure():
        raise Misbehaviour("no answer")

    outcome = carry_out(Check("a check", "at once", measure), (Misbehaviour,))
    assert (outcome.passed, outcome.value) == (False, "no answer")


def test_a_fault_of_the_bench_is_no_outcome():
    def measure():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        carry_out(Check("a check", "at once", measure), (Misbehaviour,))


def test_a_measured_value_is_kept():
    outcome = carry_out(Check("a check", "below 5", lambda: Measured("4", passed=True)), ())
    assert (outcome.name, outcome.limit, outcome.value, outcome.passed) == ("a check", "below 5", "4", True)
