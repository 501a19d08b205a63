"""The acceptance check, as somebody runs it who has nothing but a running stack."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.e2e.local_stack import STATIONS, LocalStack

pytestmark = pytest.mark.any_maker

EVSWAP_HIL = Path(sys.executable).with_name("evswap-hil")


def test_a_running_stack_passes_and_the_report_says_so(stack: LocalStack, tmp_path: Path) -> None:
    report = tmp_path / "check.xml"
    described = stack.state_dir / "stack.json"
    answer = subprocess.run(
        [EVSWAP_HIL, "check", "--stack", described, "--stations", str(STATIONS), "--junit", report],
        capture_output=True,
        text=True,
        check=False,
    )
    print(answer.stdout, answer.stderr)
    assert answer.returncode == 0
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    assert suite.get("failures") == "0"
    assert int(suite.get("tests", "0")) == answer.stdout.count("PASS")
