"""The course of a station's fields as the API shows it: a list a field, a value a step."""

from collections.abc import Sequence
from typing import Any

import msgspec

from evswap_cloud.api.periods import Period
from evswap_cloud.history import Course
from evswap_cloud.latest import LatestState
from evswap_schema import format_timestamp


def course_json(
    station_id: str, period: Period, course: Course, fields: Sequence[str], state: LatestState | None
) -> str:
    """``course`` of ``period``, with the latest state beside it where that is newer than what is known of the
    minutes and within the period: it is a single sample and no mean, so it stands apart."""
    shown: dict[str, Any] = {
        "station_id": station_id,
        "from": format_timestamp(period.begin),
        "to": format_timestamp(period.end),
        "resolution": int(period.resolution.total_seconds()),
        "count": len(course.samples),
        "samples": course.samples,
        **course.fields,
    }
    if state is not None and _follows(state, course, period):
        latest = {name: getattr(state, name) for name in fields}
        shown["latest"] = {"timestamp": format_timestamp(state.observed_at), **latest}
    return msgspec.json.encode(shown).decode()


def _follows(state: LatestState, course: Course, period: Period) -> bool:
    return (course.known_until or period.begin) <= state.observed_at < period.end
