"""Timestamps as the contract writes them: RFC 3339, in UTC, ending in ``Z``."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_RFC_3339: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def is_rfc3339(text: str) -> bool:
    """Whether ``text`` has the form of an RFC 3339 date-time with ``T`` and an offset (section 5.6)."""
    return _RFC_3339.fullmatch(text) is not None


def parse_timestamp(text: str) -> datetime:
    """Read an RFC 3339 timestamp, any offset, as UTC.

    Raises ``ValueError`` when ``text`` is none, or names a day that does not exist.
    """
    if not is_rfc3339(text):
        raise ValueError(f"{text!r} is no RFC 3339 timestamp such as 2026-11-23T08:15:30Z")
    return to_utc(datetime.fromisoformat(text))


def to_utc(moment: datetime) -> datetime:
    """Normalise an aware ``moment`` to UTC.

    Raises ``ValueError`` for a naive one, and for one that leaves the calendar in UTC
    (9999-12-31T23:59:59-10:00).
    """
    if moment.tzinfo is None:
        raise ValueError("a timestamp needs an offset from UTC")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the timestamp is outside the calendar once it is written in UTC") from None


def format_timestamp(moment: datetime) -> str:
    """Write ``moment`` as ``2026-11-23T08:15:30.250000Z``; whole seconds are written without a fraction."""
    return to_utc(moment).isoformat().replace("+00:00", "Z")


def compact_timestamp(moment: datetime) -> str:
    """Write ``moment`` as ``20261123T081530.250000Z``: fixed width, sorts by time, safe in object names."""
    text = to_utc(moment).replace(tzinfo=None).isoformat(timespec="microseconds")
    return f"{text.replace('-', '').replace(':', '')}Z"


def epoch_microseconds(moment: datetime) -> int:
    """Microseconds from 1970-01-01T00:00:00Z to ``moment``, exactly (floats are not exact here)."""
    return (moment - _EPOCH) // _MICROSECOND


def from_epoch_microseconds(count: int) -> datetime:
    """The moment ``count`` microseconds after 1970 began; ``OverflowError`` outside the calendar."""
    return _EPOCH + timedelta(microseconds=count)
