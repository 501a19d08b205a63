"""Which time is asked for, at which step, and which fields: each held against what there is."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct

from evswap_cloud.api.problems import bad_parameter
from evswap_cloud.history import EARLIEST, FIELDS, RESOLUTIONS
from evswap_schema import parse_timestamp

LONGEST: Final = timedelta(days=31)
MAX_POINTS: Final = 1_500
"""A day at one minute, and some."""

_END_OF_TIME: Final = datetime(9998, 12, 31, tzinfo=UTC)
"""Steps of a day still end within the calendar."""
_USUAL: Final = timedelta(days=1)


class Period(Struct, frozen=True, kw_only=True):
    """From ``begin`` to before ``end``, in whole steps of ``resolution``, which begin where days do."""

    begin: datetime
    end: datetime
    resolution: timedelta


def parse_period(query: Mapping[str, str], *, now: datetime) -> Period:
    """The period in ``from``, ``to`` and ``resolution``, widened to whole steps: by default the last day, and
    the finest step that gives no more than ``MAX_POINTS``. Raises ``ProblemError``."""
    end = _moment("to", query.get("to"), now)
    begin = _moment("from", query.get("from"), end - _USUAL)
    if not begin < end:
        raise bad_parameter("from", "from has to be before to.")
    if end - begin > LONGEST:
        raise bad_parameter("from", f"from and to may be {LONGEST.days} days apart at most.")
    resolution = _resolution(query.get("resolution"))
    if resolution is None:
        return next(filter(_is_small, (_widened(begin, end, each) for each in RESOLUTIONS)))
    period = _widened(begin, end, resolution)
    if not _is_small(period):
        raise bad_parameter(
            "resolution", f"That would be more than {MAX_POINTS} points: ask for a greater resolution."
        )
    return period


def parse_fields(text: str | None) -> tuple[str, ...]:
    """The fields that are asked for, by default all; raises ``ProblemError``."""
    if text is None:
        return FIELDS
    names = text.split(",")
    if not set(names) <= set(FIELDS) or len(set(names)) != len(names):
        raise bad_parameter("fields", f"fields has to be some of {','.join(FIELDS)}, with commas between.")
    return tuple(names)


def _moment(name: str, text: str | None, default: datetime) -> datetime:
    if text is None:
        return default
    try:
        moment = parse_timestamp(text)
    except ValueError:
        raise bad_parameter(
            name, f"{name} has to be an RFC 3339 time such as 2026-11-23T08:15:30Z."
        ) from None
    if not EARLIEST <= moment <= _END_OF_TIME:
        raise bad_parameter(name, f"{name} has to be from 1970 to 9998.")
    return moment


def _resolution(text: str | None) -> timedelta | None:
    if text is None:
        return None
    for resolution in RESOLUTIONS:
        if text == str(int(resolution.total_seconds())):
            return resolution
    raise bad_parameter(
        "resolution", "resolution has to be in seconds, from 60 to 86400: whole minutes that divide a day."
    )


def _widened(begin: datetime, end: datetime, resolution: timedelta) -> Period:
    return Period(
        begin=begin - (begin - EARLIEST) % resolution,
        end=end + (EARLIEST - end) % resolution,
        resolution=resolution,
    )


def _is_small(period: Period) -> bool:
    return (period.end - period.begin) // period.resolution <= MAX_POINTS
