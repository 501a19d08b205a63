"""The station's minutes: what its samples come to, counted when they are sealed.

The finished minutes of a quarter of an hour ride together, in the first batch that is sealed after its end:
the cloud then writes one item a quarter and never touches it again (docs/history.md). Where the time is a
guess, so are the minutes: they ride with samples that say so, by which the cloud can judge them, and are
forgotten as soon as the time is known.

What is counted but has not ridden stands in a small file beside the outbox, with the number of the last
sample that it counts. So after a restart, or where samples are sealed a second time since the outbox could
not take their parcel, none is counted twice, and what had ridden with that parcel rides again.
"""

import logging
import math
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, field

from evswap_edge.episode import Episode
from evswap_edge.files import write_private
from evswap_schema import Clock, MinuteAggregate, Reading, Span
from evswap_schema.limits import MAX_BATCH_MINUTES, MAX_MINUTE_SAMPLES
from evswap_schema.timestamps import epoch_microseconds, from_epoch_microseconds

GROUP: Final = MAX_BATCH_MINUTES
"""Minutes that ride together: as many as a batch may hold, counted from the full hour."""

_DECIMALS: Final = 2
"""The finest that any sensor of ours resolves, and all that the history keeps."""
_MINUTE_US: Final = timedelta(minutes=1) // timedelta(microseconds=1)
_SAVE_EVERY_S: Final = 30.0
"""Less than the age at which samples are sealed by default: there, what is counted is saved at once."""
_MOST_WAITING: Final = 96
"""Groups: a day of them. More than one waits only where a clock was moved or a batch spans several."""
_RIDES_KEPT: Final = 2
_STREAMS_KEPT: Final = 8
"""A disk in trouble gives its samples a stream of their own each time; what is older does not come again."""

_log: Final = logging.getLogger(__name__)


def minutes_beside(outbox: Path) -> Path:
    """Where the minutes are kept that have not ridden yet."""
    return outbox.with_name(f"{outbox.name}.minutes")


class _Column(Struct):
    """The values of one field within a minute."""

    values: int = 0
    least: float = math.inf
    greatest: float = -math.inf
    total: float = 0.0

    def add(self, values: Sequence[float | None]) -> None:
        """By the columnful: this is done for every sample of a station that may take thousands a second."""
        first = values[0]
        if values.count(first) == len(values):
            if first is not None:
                self._add(len(values), first, first, first * len(values))
            return
        known = [value for value in values if value is not None]
        self._add(len(known), min(known), max(known), sum(known))

    def _add(self, values: int, least: float, greatest: float, total: float) -> None:
        self.values += values
        self.least = min(self.least, least)
        self.greatest = max(self.greatest, greatest)
        self.total += total

    @property
    def span(self) -> Span:
        """Adding up may lead just past the greatest value; a mean never does."""
        mean = min(max(self.total / self.values, self.least), self.greatest)
        return Span(
            least=round(float(self.least), _DECIMALS),
            mean=round(mean, _DECIMALS),
            greatest=round(float(self.greatest), _DECIMALS),
        )


class _Minute(Struct):
    """A minute as far as it is counted."""

    samples: int = 0
    battery_available: _Column = field(default_factory=_Column)
    battery_charging: _Column = field(default_factory=_Column)
    temperature: _Column = field(default_factory=_Column)
    humidity: _Column = field(default_factory=_Column)

    def add(self, readings: Sequence[Reading]) -> None:
        self.samples += len(readings)
        self.battery_available.add([reading.battery_available for reading in readings])
        self.battery_charging.add([reading.battery_charging for reading in readings])
        self.temperature.add([reading.temperature for reading in readings])
        self.humidity.add([reading.humidity for reading in readings])

    def finished(self, number: int) -> MinuteAggregate:
        return MinuteAggregate(
            minute=from_epoch_microseconds(number * _MINUTE_US),
            samples=min(self.samples, MAX_MINUTE_SAMPLES),
            battery_available=self.battery_available.span,
            battery_charging=self.battery_charging.span,
            temperature=self.temperature.span if self.temperature.values else None,
            humidity=self.humidity.span if self.humidity.values else None,
        )


_Group = tuple[MinuteAggregate, ...]


class _Ride(Struct, frozen=True):
    """A group, and the last sample of those that it rode with."""

    stream_id: str
    sequence: int
    minutes: _Group


class _Book(Struct):
    """All that is to be remembered. ``counted`` is the last sample of each stream; ``open`` the minutes of
    the group under way, by their number since 1970, of which some are ``guessed``; ``waiting`` the groups
    that have not ridden."""

    station_id: str
    counted: dict[str, int] = {}
    open: dict[int, _Minute] = {}
    guessed: bool = False
    waiting: list[_Group] = []
    rode: list[_Ride] = []


class Minutes:
    """The minutes of one station. Used by one thread at a time."""

    def __init__(self, path: Path, *, station_id: str, monotonic: Callable[[], float]) -> None:
        """What an earlier run left at ``path`` is counted on, unless it is a guess: a machine that was off
        makes another one."""
        self._path = path
        self._monotonic = monotonic
        book = _read(path, station_id)
        self._station_id = station_id
        self._counted = book.counted
        self._open = {} if book.guessed else book.open
        self._guessed = False
        self._waiting = deque(book.waiting, _MOST_WAITING)
        self._rode = deque(book.rode, _RIDES_KEPT)
        self._saved_at = -math.inf
        self._saving = Episode(_log, f"minutes in {path}", monotonic=monotonic)

    def riding_with(self, readings: Sequence[Reading]) -> _Group:
        """Count ``readings``, which are sealed together: of one stream, in its order, and of one state of
        the clock. Returns the minutes that ride with them: those of one group, or none."""
        first, last = _number(readings[0]), _number(readings[-1])
        stream_id = readings[0].stream_id or ""
        counted = self._counted.get(stream_id, -1)
        if first <= counted:
            self._let_ride_again(stream_id, first, last)
        if counted < last:
            self._judge(readings[0].clock)
            self._count(readings if counted < first else [one for one in readings if _number(one) > counted])
            self._note(stream_id, last)
        ride = self._waiting.popleft() if self._waiting else ()
        if ride:
            self._rode.append(_Ride(stream_id, last, ride))
        self._save_in_turn()
        return ride

    def _let_ride_again(self, stream_id: str, first: int, last: int) -> None:
        again = [
            ride for ride in self._rode if ride.stream_id == stream_id and first <= ride.sequence <= last
        ]
        for ride in reversed(again):
            self._rode.remove(ride)
            self._waiting.appendleft(ride.minutes)

    def _judge(self, clock: Clock | None) -> None:
        """Now that the time is known, what was guessed would stand for other minutes."""
        if clock is Clock.ESTIMATED:
            self._guessed = True
        elif self._guessed:
            self._open, self._guessed = {}, False

    def _count(self, readings: Sequence[Reading]) -> None:
        """Time runs forward among what is sealed together, so the ends tell of what is between them."""
        minute = _minute_of(readings[-1].timestamp)
        if minute == _minute_of(readings[0].timestamp):
            self._add(minute, readings)
            return
        for minute, share in groupby(readings, key=lambda reading: _minute_of(reading.timestamp)):
            self._add(minute, list(share))

    def _add(self, minute: int, readings: Sequence[Reading]) -> None:
        """Whatever is of another group ends the one under way, also where a clock was set back."""
        if self._open and next(iter(self._open)) // GROUP != minute // GROUP:
            self._waiting.append(tuple(self._open[number].finished(number) for number in sorted(self._open)))
            self._open = {}
        self._open.setdefault(minute, _Minute()).add(readings)

    def _note(self, stream_id: str, last: int) -> None:
        """The stream that was counted last stands last."""
        self._counted.pop(stream_id, None)
        self._counted[stream_id] = last
        if len(self._counted) > _STREAMS_KEPT:
            del self._counted[next(iter(self._counted))]

    def _save_in_turn(self) -> None:
        """What was counted since the last time is what a power cut costs."""
        if self._monotonic() >= self._saved_at + _SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        """Write down all that is counted, as whoever stops does."""
        self._saved_at = self._monotonic()
        book = _Book(
            station_id=self._station_id,
            counted=self._counted,
            open=self._open,
            guessed=self._guessed,
            waiting=list(self._waiting),
            rode=list(self._rode),
        )
        try:
            write_private(self._path, msgspec.msgpack.encode(book), replace=True)
        except OSError as error:
            self._saving.begin(error)
        else:
            self._saving.end()


def _number(reading: Reading) -> int:
    """What is stored has a number."""
    return -1 if reading.sequence is None else reading.sequence


def _minute_of(moment: datetime) -> int:
    return epoch_microseconds(moment) // _MINUTE_US


def _read(path: Path, station_id: str) -> _Book:
    """What stands at ``path``; an empty book where that is of another station or cannot be read."""
    nothing = _Book(station_id)
    try:
        book = msgspec.msgpack.decode(path.read_bytes(), type=_Book)
    except FileNotFoundError:
        return nothing
    except (OSError, msgspec.DecodeError) as error:
        _log.warning("the minutes that were counted cannot be told: %s: %s", path, error)
        return nothing
    return book if book.station_id == station_id else nothing
