"""The page that a run leaves."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from evswap_hil.report.page import render, width
from evswap_hil.report.record import NEVER, Measurement, Outcome, Report, Verdict, complete
from evswap_hil.requirements import REQUIREMENTS, Suite, of_suites, requirement

CLIMATE = requirement("REQ-CLIMATE-1")
EVIL = "<script>alert('the station says')</script>"
VOID = {"meta", "br", "link", "img", "hr", "input"}


def met(required):
    values = {
        limit.name: limit.at_most if limit.at_most is not None else limit.at_least
        for limit in required.limits
    }
    measurements = tuple(Measurement(required.limit(name), value or 0.0) for name, value in values.items())
    return Outcome(requirement=required, verdict=Verdict.MET, measurements=measurements, seconds=1.5)


def report(*outcomes: Outcome) -> Report:
    return Report(
        bench="virtual",
        suites=("faults", "functional"),
        stack={"api": "http://127.0.0.1:4566/x", "file": ".evswap/stack.json"},
        versions={"evswap-edge": "0.1.0", "labgrid": "26.0.1"},
        started=datetime(2026, 11, 23, 4, 0, tzinfo=UTC),
        seconds=97.2,
        outcomes=outcomes,
    )


FAILED = Outcome(
    requirement=CLIMATE,
    verdict=Verdict.NOT_MET,
    measurements=(
        Measurement(CLIMATE.limit("deviation"), 9.5),
        Measurement(CLIMATE.limit("delay"), NEVER),
    ),
    reason="deviation 9.5 °C",
    trace="test_2_climate.py:22",
    log=EVIL,
)


class Page(HTMLParser):
    """Whether every tag is closed, and which there are."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_good_run_shows_every_value_beside_its_limit() -> None:
    page = Page(render(report(*map(met, REQUIREMENTS))))
    assert page.open == []
    assert "Passed" in page.text
    assert f"{len(REQUIREMENTS)} of {len(REQUIREMENTS)} requirements met" in page.text
    for each in REQUIREMENTS:
        assert each.id in page.text
        assert all(str(limit) in page.text for limit in each.limits)
    assert "What is not met" not in page.text


def test_a_bad_run_says_so_on_top_and_why() -> None:
    html = render(report(*complete(of_suites(frozenset({Suite.FUNCTIONAL})), [FAILED])))
    page = Page(html)
    assert page.open == []
    assert (
        page.text.index("Failed") < page.text.index("What is not met") < page.text.index("Suite functional")
    )
    assert "9.5 °C, limit at most 0.1 °C" in re.sub(r"\s+", " ", page.text)
    assert "never" in page.text
    assert "no test ran" in page.text
    for link in (attributes["href"] for tag, attributes in page.tags if tag == "a"):
        assert link is not None
        assert any(attributes.get("id") == link.removeprefix("#") for _tag, attributes in page.tags)


def test_what_a_station_said_is_no_markup() -> None:
    page = Page(render(report(FAILED)))
    assert "script" not in {tag for tag, _ in page.tags}
    assert EVIL in page.text


def test_it_needs_nothing_beside_it() -> None:
    page = Page(render(report(FAILED, *map(met, REQUIREMENTS))))
    loaded = [
        (tag, name)
        for tag, attributes in page.tags
        for name in ("src", "srcset", "data")
        if name in attributes
    ]
    assert loaded == []
    assert "link" not in {tag for tag, _ in page.tags}
    assert "@import" not in page.text
    assert "url(" not in page.text


def test_it_can_be_read_aloud() -> None:
    page = Page(render(report(FAILED)))
    assert ("html", {"lang": "en"}) in page.tags
    headers = [attributes for tag, attributes in page.tags if tag == "th"]
    assert all(attributes.get("scope") for attributes in headers)
    bars = [attributes for tag, attributes in page.tags if (attributes.get("class") or "").startswith("bar")]
    assert bars
    assert all(attributes.get("role") == "img" and attributes.get("aria-label") for attributes in bars)


@pytest.mark.parametrize(
    ("value", "length"), [(0.0, 0.0), (0.05, 37.5), (0.1, 75.0), (0.2, 100.0), (NEVER, 100.0)]
)
def test_a_bar_is_as_long_as_what_was_used(value: float, length: float) -> None:
    assert width(Measurement(CLIMATE.limit("deviation"), value)) == length
