"""What a station's minutes come to between two moments, at a step of a minute or more.

Gaps are gaps: a step of which no minute is known has no values, and none is made up from its neighbours.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from evswap_cloud.history.quarters import Quarter
from evswap_schema import MinuteAggregate, Span

FIELDS: Final = ("battery_available", "battery_charging", "temperature", "humidity")

_MINUTES_A_DAY: Final = 1_440
_DECIMALS: Final = 2

RESOLUTIONS: Final = tuple(
    timedelta(minutes=minutes) for minutes in range(1, _MINUTES_A_DAY + 1) if _MINUTES_A_DAY % minutes == 0
)
"""The steps there are: whole minutes that divide a day, so that steps begin where days do."""


class FieldCourse(Struct, frozen=True, kw_only=True):
    """A value a step, or None where nothing is known: the field's least, its mean over all samples of the
    step, and its greatest."""

    least: tuple[float | None, ...]
    mean: tuple[float | None, ...]
    greatest: tuple[float | None, ...]


class Course(Struct, frozen=True, kw_only=True):
    """``samples`` is from how many samples each step is, and ``fields`` what they come to. ``known_until`` is
    the end of the last minute that is known, if any is."""

    samples: tuple[int, ...]
    fields: dict[str, FieldCourse]
    known_until: datetime | None


def course_of(
    quarters: Iterable[Quarter],
    *,
    begin: datetime,
    end: datetime,
    resolution: timedelta,
    fields: Sequence[str] = FIELDS,
) -> Course:
    """What ``quarters`` tell of ``fields`` from ``begin`` to ``end``, which are whole steps apart."""
    steps: list[list[MinuteAggregate]] = [[] for _ in range((end - begin) // resolution)]
    known_until = None
    for minute in (minute for quarter in quarters for minute in quarter.minutes):
        if begin <= minute.minute < end:
            steps[(minute.minute - begin) // resolution].append(minute)
            known_until = minute.minute + RESOLUTIONS[0]
    return Course(
        samples=tuple(sum(minute.samples for minute in step) for step in steps),
        fields={name: _field_course(steps, name) for name in fields},
        known_until=known_until,
    )


def _field_course(steps: Sequence[Sequence[MinuteAggregate]], name: str) -> FieldCourse:
    spans = [_span_of(step, name) for step in steps]
    return FieldCourse(
        least=tuple(None if span is None else span.least for span in spans),
        mean=tuple(None if span is None else span.mean for span in spans),
        greatest=tuple(None if span is None else span.greatest for span in spans),
    )


def _span_of(step: Sequence[MinuteAggregate], name: str) -> Span | None:
    """A minute counts by its samples. Of those in which the field's sensor failed nothing is known apart, so
    they count where the minute has a value at all."""
    told = [(minute.samples, span) for minute in step if (span := getattr(minute, name)) is not None]
    if len(told) <= 1:
        return told[0][1] if told else None
    mean = sum(samples * span.mean for samples, span in told) / sum(samples for samples, _ in told)
    return Span(
        least=min(span.least for _, span in told),
        mean=round(mean, _DECIMALS),
        greatest=max(span.greatest for _, span in told),
    )
