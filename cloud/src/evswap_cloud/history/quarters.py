"""The minutes of one station in a quarter of an hour, and their 31 bytes each.

Values are kept in hundredths: no sensor of ours resolves more. A quarter may be told in pieces, more than
once, and in any order, as when a station is restarted in the middle of it; whatever comes first, the outcome
is the same (``merged``).
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from struct import Struct as Layout
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from evswap_schema import MinuteAggregate, Span

LENGTH: Final = timedelta(minutes=15)
"""What one item holds: of the lengths that keep it below 1 KB the one that is written least often, and all
that a batch can bring at once."""

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""What an unset clock shows."""

MINUTE: Final = timedelta(minutes=1)

_HUNDREDTHS: Final = 100
_LAYOUT: Final = Layout(">BH HIH HIH hhh HHH")
"""Number within the quarter; samples; least, mean and greatest of each field. Only means of counts have
hundredths among the counts."""
_NO_TEMPERATURE: Final = -(2**15)
_NO_HUMIDITY: Final = 2**16 - 1


class Quarter(Struct, frozen=True, kw_only=True):
    """What is known of the quarter of an hour from ``start`` on: ``minutes`` in their order, each once."""

    station_id: str
    start: datetime
    minutes: tuple[MinuteAggregate, ...]


def quarters_of(station_id: str, minutes: Iterable[MinuteAggregate]) -> list[Quarter]:
    """``minutes`` by the quarter, each as it is kept; of a minute that is told twice, one telling."""
    by_start: dict[datetime, list[MinuteAggregate]] = defaultdict(list)
    for minute in minutes:
        by_start[start_of(minute.minute)].append(_kept(minute))
    return [
        Quarter(station_id=station_id, start=start, minutes=_each_once(of_quarter))
        for start, of_quarter in sorted(by_start.items())
    ]


def start_of(moment: datetime) -> datetime:
    """When the quarter of an hour began that ``moment`` is in."""
    return moment - (moment - EARLIEST) % LENGTH


def merged(one: Quarter, other: Quarter) -> Quarter:
    """What two tellings of one quarter come to. Of a minute that both tell of, the telling from more samples
    stands, as the other one is of a part of it; among equals any, but always the same."""
    return replace(one, minutes=_each_once((*one.minutes, *other.minutes)))


def _each_once(minutes: Iterable[MinuteAggregate]) -> tuple[MinuteAggregate, ...]:
    stands: dict[datetime, MinuteAggregate] = {}
    for minute in minutes:
        known = stands.get(minute.minute)
        stands[minute.minute] = minute if known is None else max(known, minute, key=_fullness)
    return tuple(stands[moment] for moment in sorted(stands))


def _fullness(minute: MinuteAggregate) -> tuple[int, bytes]:
    return minute.samples, _packed(minute)


def _kept(minute: MinuteAggregate) -> MinuteAggregate:
    return _unpacked(start_of(minute.minute), _packed(minute))


def packed(quarter: Quarter) -> bytes:
    """The minutes of ``quarter``, at most 465 bytes."""
    return b"".join(map(_packed, quarter.minutes))


def unpacked(start: datetime, body: bytes) -> tuple[MinuteAggregate, ...]:
    """The reverse of ``packed``."""
    size = _LAYOUT.size
    return tuple(_unpacked(start, body[at : at + size]) for at in range(0, len(body), size))


def _packed(minute: MinuteAggregate) -> bytes:
    number = (minute.minute - start_of(minute.minute)) // MINUTE
    available, charging = minute.battery_available, minute.battery_charging
    return _LAYOUT.pack(
        number,
        minute.samples,
        *_packed_count(available),
        *_packed_count(charging),
        *_packed_measure(minute.temperature, nothing=_NO_TEMPERATURE),
        *_packed_measure(minute.humidity, nothing=_NO_HUMIDITY),
    )


def _packed_count(span: Span) -> tuple[int, int, int]:
    return round(span.least), round(span.mean * _HUNDREDTHS), round(span.greatest)


def _packed_measure(span: Span | None, *, nothing: int) -> tuple[int, ...]:
    if span is None:
        return nothing, nothing, nothing
    return tuple(round(value * _HUNDREDTHS) for value in (span.least, span.mean, span.greatest))


def _unpacked(start: datetime, body: bytes) -> MinuteAggregate:
    number, samples, *values = _LAYOUT.unpack(body)
    available, charging, temperature, humidity = (values[at : at + 3] for at in range(0, 12, 3))
    return MinuteAggregate(
        minute=start + number * MINUTE,
        samples=samples,
        battery_available=_count(*available),
        battery_charging=_count(*charging),
        temperature=_measure(*temperature, nothing=_NO_TEMPERATURE),
        humidity=_measure(*humidity, nothing=_NO_HUMIDITY),
    )


def _count(least: int, mean: int, greatest: int) -> Span:
    return Span(least=float(least), mean=mean / _HUNDREDTHS, greatest=float(greatest))


def _measure(least: int, mean: int, greatest: int, *, nothing: int) -> Span | None:
    if mean == nothing:
        return None
    return Span(least=least / _HUNDREDTHS, mean=mean / _HUNDREDTHS, greatest=greatest / _HUNDREDTHS)
