"""The report as JSON."""

from pathlib import Path
from typing import Any

import msgspec

from evswap_hil.report.record import Measurement, Outcome, Report
from evswap_schema import format_timestamp


def write_json(report: Report, file: Path) -> None:
    """Write the report; a value that is null stands for something that never happened. Raises OSError."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(as_data(report))) + b"\n")


def as_data(report: Report) -> dict[str, Any]:
    """The report in terms of JSON."""
    return {
        "passed": report.is_good,
        "summary": report.summary(),
        "bench": report.bench,
        "suites": list(report.suites),
        "started": format_timestamp(report.started),
        "seconds": round(report.seconds, 1),
        "stack": report.stack,
        "versions": report.versions,
        "requirements": [_outcome(outcome) for outcome in report.outcomes],
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.requirement.id,
        "suite": outcome.requirement.suite,
        "title": outcome.requirement.title,
        "verdict": outcome.verdict,
        "seconds": round(outcome.seconds, 1),
        "measurements": [_measurement(measurement) for measurement in outcome.measurements],
        "reason": outcome.reason,
        "trace": outcome.trace,
        "log": outcome.log,
    }


def _measurement(measurement: Measurement) -> dict[str, Any]:
    limit = measurement.limit
    return {
        "name": limit.name,
        "value": measurement.value,
        "unit": limit.unit,
        "at_least": limit.at_least,
        "at_most": limit.at_most,
        "passed": measurement.is_good,
    }
