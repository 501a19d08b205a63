"""The outcome for people (a line each) and for machines (JUnit XML)."""

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from evswap_hil.check.outcome import Outcome

_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""Characters that XML 1.0 cannot carry, not even escaped (section 2.2)."""


def line(outcome: Outcome) -> str:
    """One outcome as a line: verdict, name, measured value, limit."""
    verdict = "PASS" if outcome.passed else "FAIL"
    return f"{verdict}  {outcome.name}: {outcome.value} (limit: {outcome.limit})"


def summary(outcomes: Sequence[Outcome]) -> str:
    """The closing line."""
    passed = sum(outcome.passed for outcome in outcomes)
    return f"{passed} passed, {len(outcomes) - passed} failed"


def write_junit(outcomes: Sequence[Outcome], file: Path) -> None:
    """Write the outcomes as JUnit XML, as CI systems read it. Raises OSError."""
    failures = sum(not outcome.passed for outcome in outcomes)
    suite = ElementTree.Element(
        "testsuite",
        name="evswap-hil check",
        tests=str(len(outcomes)),
        failures=str(failures),
        errors="0",
        skipped="0",
        time=f"{sum(outcome.seconds for outcome in outcomes):.3f}",
    )
    for outcome in outcomes:
        _add_case(suite, outcome)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    file.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)


def _add_case(suite: ElementTree.Element, outcome: Outcome) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname="evswap_hil.check",
        name=_clean(outcome.name),
        time=f"{outcome.seconds:.3f}",
    )
    text = _clean(f"{outcome.value} (limit: {outcome.limit})")
    if outcome.passed:
        ElementTree.SubElement(case, "system-out").text = text
    else:
        ElementTree.SubElement(case, "failure", message=text)


def _clean(text: str) -> str:
    return _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)
