"""The report as one page that needs nothing beside it."""

from itertools import groupby
from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from evswap_hil.report.record import Measurement, Report
from evswap_schema import format_timestamp

TEMPLATE: Final = "report.html.j2"
FULL: Final = 75.0
"""Percent of a bar's width that stand for all that the limit allows: what is too much can be seen."""


def write_page(report: Report, file: Path) -> None:
    """Write the page. Raises OSError."""
    file.write_text(render(report), encoding="utf-8")


def render(report: Report) -> str:
    """The page as HTML; whatever a station said is text there, never markup."""
    pages = Environment(
        loader=PackageLoader("evswap_hil.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    suites = groupby(report.outcomes, key=lambda outcome: outcome.requirement.suite)
    page: str = pages.get_template(TEMPLATE).render(
        report=report,
        started=format_timestamp(report.started.replace(microsecond=0)),
        suites=[(suite.value, list(outcomes)) for suite, outcomes in suites],
        full=FULL,
        width=width,
    )
    return page


def width(measurement: Measurement) -> float:
    """How long the bar of a measurement is, in percent of what there is room for."""
    return round(min(100.0, measurement.used * FULL), 1)
