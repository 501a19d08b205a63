"""The acceptance check, as somebody runs it who has nothing but a running stack."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from evswap_hil.deadline import wait_until
from tests.e2e.local_stack import IN_TIME_S, STATIONS, LocalStack

pytestmark = pytest.mark.any_maker

EVSWAP_HIL = Path(sys.executable).with_name("evswap-hil")


def test_a_running_stack_passes_and_the_report_says_so(stack: LocalStack, tmp_path: Path) -> None:
    """What is shown too late counts as not shown, which a machine with much else to do may bring about."""
    report = tmp_path / "check.xml"
    passed = wait_until(lambda: check(stack, report), what="a check that passes", within=IN_TIME_S).found
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    assert suite.get("failures") == "0"
    assert int(suite.get("tests", "0")) == passed.count("PASS")


def check(stack: LocalStack, report: Path) -> str | None:
    """What it prints, if it passes."""
    described = stack.state_dir / "stack.json"
    answer = subprocess.run(
        [EVSWAP_HIL, "check", "--stack", described, "--stations", str(STATIONS), "--junit", report],
        capture_output=True,
        text=True,
        check=False,
    )
    print(answer.stdout, answer.stderr)
    return answer.stdout if answer.returncode == 0 else None
