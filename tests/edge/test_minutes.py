"""The station's minutes: nothing is counted twice or forgotten, and each rides with a batch."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from evswap_edge.clock import Stamp
from evswap_edge.outbox import NewParcel, Sample, Ticket
from evswap_edge.reporting.minutes import GROUP, Minutes, minutes_beside
from evswap_edge.reporting.sealing import Sealer
from evswap_edge.reporting.truth import Truth
from evswap_edge.testing import ManualTime
from evswap_schema import (
    Bay,
    Channel,
    Clock,
    MinuteAggregate,
    Reading,
    Span,
    StationStatus,
    aws_topic,
    decode_batch,
    encode_batches,
    encode_reading,
    rewrite_batch,
)
from evswap_schema.limits import MAX_BATCH_BYTES, MAX_MINUTE_SAMPLES
from tests.edge.publishing import noisy_bay

STATION = "station-01"
BEGIN = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
NEXT_GROUP = timedelta(minutes=GROUP)


def reading(number: int, moment: datetime, **changes: Any) -> Reading:
    usual: dict[str, Any] = {
        "station_id": STATION,
        "battery_available": 5,
        "battery_charging": 3,
        "temperature": 21.5,
        "humidity": 40.0,
        "status": StationStatus.OPERATIONAL,
        "timestamp": moment,
        "stream_id": "s",
        "sequence": number,
        "clock": Clock.SYNCHRONIZED,
    }
    return Reading(**(usual | changes))


def every(seconds: float, samples: int, *, begin: datetime = BEGIN, first: int = 0) -> list[Reading]:
    return [
        reading(first + index, begin + timedelta(seconds=seconds * index), battery_available=index % 7)
        for index in range(samples)
    ]


@pytest.fixture
def minutes(tmp_path: Path) -> Callable[[], Minutes]:
    """Makes them again, as a restart does. Between two questions enough time passes for all to be saved."""
    moments = count(0, 3_600)
    path = minutes_beside(tmp_path / "outbox.sqlite")
    return lambda: Minutes(path, station_id=STATION, monotonic=lambda: next(moments))


def test_finished_minutes_ride_with_the_first_batch_after_their_quarter(
    minutes: Callable[[], Minutes],
) -> None:
    counting = minutes()
    assert counting.riding_with(every(5, 180)) == ()
    ride = counting.riding_with([reading(180, BEGIN + NEXT_GROUP)])
    assert [minute.minute for minute in ride] == [BEGIN + timedelta(minutes=n) for n in range(15)]
    assert ride[0] == MinuteAggregate(
        minute=BEGIN,
        samples=12,
        battery_available=Span(least=0.0, mean=2.58, greatest=6.0),
        battery_charging=Span(least=3.0, mean=3.0, greatest=3.0),
        temperature=Span(least=21.5, mean=21.5, greatest=21.5),
        humidity=Span(least=40.0, mean=40.0, greatest=40.0),
    )
    assert counting.riding_with([reading(181, BEGIN + NEXT_GROUP)]) == ()


def test_what_a_sensor_did_not_say_does_not_count_for_its_field(minutes: Callable[[], Minutes]) -> None:
    counting = minutes()
    said = [(20.0, None), (None, None), (22.0, None)]
    counting.riding_with(
        [
            reading(number, BEGIN + timedelta(seconds=number), temperature=temperature, humidity=humidity)
            for number, (temperature, humidity) in enumerate(said)
        ]
    )
    [minute] = counting.riding_with([reading(9, BEGIN + NEXT_GROUP)])
    assert minute.samples == 3
    assert minute.temperature == Span(least=20.0, mean=21.0, greatest=22.0)
    assert minute.humidity is None


def guessed(readings: Iterable[Reading]) -> list[Reading]:
    return [replace(one, clock=Clock.ESTIMATED) for one in readings]


def test_where_the_time_is_a_guess_minutes_ride_with_samples_that_say_so(
    minutes: Callable[[], Minutes],
) -> None:
    counting = minutes()
    assert counting.riding_with(guessed(every(5, 12))) == ()
    [minute] = counting.riding_with(guessed([reading(12, BEGIN + NEXT_GROUP)]))
    assert (minute.minute, minute.samples) == (BEGIN, 12)


@pytest.mark.parametrize("restart", [False, True])
def test_a_guess_is_forgotten_when_the_time_is_known_and_with_the_run_that_made_it(
    minutes: Callable[[], Minutes], restart: bool
) -> None:
    counting = minutes()
    counting.riding_with(guessed(every(5, 12)))
    counting = minutes() if restart else counting
    later = reading(12, BEGIN + NEXT_GROUP)
    assert counting.riding_with(guessed([later]) if restart else [later]) == ()


def test_what_was_known_stays_when_the_time_source_is_lost(minutes: Callable[[], Minutes]) -> None:
    counting = minutes()
    counting.riding_with(every(5, 12))
    assert len(counting.riding_with(guessed([reading(12, BEGIN + NEXT_GROUP)]))) == 1


def test_a_minute_speaks_of_no_more_samples_than_it_may(minutes: Callable[[], Minutes]) -> None:
    counting = minutes()
    counting.riding_with([reading(number, BEGIN) for number in range(700)])
    [minute] = counting.riding_with([reading(700, BEGIN + NEXT_GROUP)])
    assert minute.samples == MAX_MINUTE_SAMPLES


def test_a_clock_that_is_set_back_loses_no_sample(minutes: Callable[[], Minutes]) -> None:
    counting = minutes()
    told = [
        *counting.riding_with(every(5, 12, begin=BEGIN + NEXT_GROUP)),
        *counting.riding_with(every(5, 12, first=12)),
        *counting.riding_with(every(5, 12, begin=BEGIN + NEXT_GROUP, first=24)),
        *counting.riding_with([reading(99, BEGIN + 5 * NEXT_GROUP)]),
    ]
    moments = [BEGIN + NEXT_GROUP, BEGIN, BEGIN + NEXT_GROUP]
    assert [(minute.minute, minute.samples) for minute in told] == [(moment, 12) for moment in moments]


# --- again, and after a restart ---------------------------------------------------------------------------


@pytest.mark.parametrize("restart", [False, True])
def test_what_is_sealed_again_is_counted_once_and_lets_its_minutes_ride_again(
    minutes: Callable[[], Minutes], restart: bool
) -> None:
    counting = minutes()
    counting.riding_with(every(5, 180))
    closing = every(5, 12, begin=BEGIN + NEXT_GROUP, first=180)
    ride = counting.riding_with(closing)
    assert len(ride) == GROUP
    counting = minutes() if restart else counting
    assert counting.riding_with(closing) == ride
    assert counting.riding_with([reading(200, BEGIN + NEXT_GROUP + timedelta(minutes=1))]) == ()
    [minute, _] = counting.riding_with([reading(201, BEGIN + 2 * NEXT_GROUP)])
    assert (minute.minute, minute.samples) == (BEGIN + NEXT_GROUP, 12)


def test_of_what_is_sealed_with_others_than_before_the_rest_is_counted(
    minutes: Callable[[], Minutes],
) -> None:
    counting = minutes()
    run = every(5, 180)
    counting.riding_with(run[:100])
    counting.riding_with(run[50:])
    ride = counting.riding_with([reading(180, BEGIN + NEXT_GROUP)])
    assert [minute.samples for minute in ride] == [12] * GROUP


def test_what_was_not_saved_is_missing_and_never_doubled(tmp_path: Path) -> None:
    """As after a power cut within half a minute of the last time, of a station that seals much faster."""
    path = tmp_path / "minutes"

    def begun(at: float) -> Minutes:
        return Minutes(path, station_id=STATION, monotonic=lambda: at)

    counting = begun(0.0)
    counting.riding_with(every(1, 10))
    counting.riding_with(every(1, 10, begin=BEGIN + timedelta(seconds=10), first=10))
    again = begun(1_000.0)
    again.riding_with(every(1, 10, begin=BEGIN + timedelta(seconds=20), first=20))
    [minute] = again.riding_with([reading(30, BEGIN + NEXT_GROUP)])
    assert minute.samples == 20


@pytest.mark.parametrize("content", [b"", b"\xc1", b"{}", os.urandom(40)])
def test_a_damaged_file_costs_the_quarter_and_says_so(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "minutes"
    path.write_bytes(content)
    counting = Minutes(path, station_id=STATION, monotonic=lambda: 0.0)
    assert "cannot be told" in caplog.text
    counting.riding_with(every(5, 12))
    assert len(counting.riding_with([reading(12, BEGIN + NEXT_GROUP)])) == 1


def test_the_minutes_of_another_station_are_not_told(tmp_path: Path) -> None:
    path = tmp_path / "minutes"
    Minutes(path, station_id="other", monotonic=lambda: 0.0).riding_with(every(5, 12))
    counting = Minutes(path, station_id=STATION, monotonic=lambda: 0.0)
    assert counting.riding_with([reading(12, BEGIN + NEXT_GROUP)]) == ()


def test_a_disk_that_takes_nothing_keeps_no_minute_from_riding(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    moments = count(0, 3_600)
    counting = Minutes(tmp_path / "gone" / "minutes", station_id=STATION, monotonic=lambda: next(moments))
    counting.riding_with(every(5, 12))
    assert len(counting.riding_with([reading(12, BEGIN + NEXT_GROUP)])) == 1
    assert caplog.text.count("minutes in") == 1


# --- any story --------------------------------------------------------------------------------------------

values = st.floats(-60, 100).map(lambda value: round(value, 2))
measures = st.one_of(st.none(), values)
gaps_s = st.one_of(st.floats(0, 40), st.floats(0, 40_000))
samples = st.tuples(gaps_s, st.integers(0, 1_000), st.integers(0, 1_000), measures)
runs = st.tuples(st.lists(samples, min_size=1, max_size=30), st.booleans(), st.booleans())


@dataclass
class Story:
    """What was measured, and what was told of it. Before a restart, all has been saved."""

    path: Path
    moment: float = 0.0
    measured: list[Reading] = field(default_factory=list)
    told: dict[datetime, MinuteAggregate] = field(default_factory=dict)

    def play(self, story: Sequence[tuple[list[tuple[float, int, int, float | None]], bool, bool]]) -> None:
        numbers, now = count(), BEGIN
        counting = self._begun()
        for drawn, again, restarted in story:
            run = []
            for gap_s, available, charging, temperature in drawn:
                now += timedelta(milliseconds=int(gap_s * 1_000))
                measured = {"battery_available": available, "battery_charging": charging}
                run.append(reading(next(numbers), now, temperature=temperature, humidity=None, **measured))
            self.measured += run
            self.moment += 3_600 * restarted
            self._hear(counting.riding_with(run))
            counting = self._begun() if restarted else counting
            if again:
                self._hear(counting.riding_with(run))
        later = now + NEXT_GROUP
        for number in numbers:
            self._hear(ride := counting.riding_with([reading(number, later)]))
            if not ride:
                return

    def _begun(self) -> Minutes:
        return Minutes(self.path, station_id=STATION, monotonic=lambda: self.moment)

    def _hear(self, ride: tuple[MinuteAggregate, ...]) -> None:
        assert len(ride) <= GROUP
        assert len({minute.minute.timestamp() // (60 * GROUP) for minute in ride}) <= 1
        for minute in ride:
            assert self.told.setdefault(minute.minute, minute) == minute


def by_minute(readings: Iterable[Reading]) -> dict[datetime, list[Reading]]:
    found: dict[datetime, list[Reading]] = {}
    for one in readings:
        found.setdefault(one.timestamp.replace(second=0, microsecond=0), []).append(one)
    return found


def assert_spans(span: Span | None, values: Sequence[float]) -> None:
    if not values:
        assert span is None
        return
    assert span is not None
    assert (span.least, span.greatest) == (min(values), max(values))
    assert span.mean == pytest.approx(sum(values) / len(values), abs=0.0051)
    assert span.least <= span.mean <= span.greatest


@given(story=st.lists(runs, min_size=1, max_size=12))
@settings(deadline=None, max_examples=60)
def test_minutes_are_what_their_samples_come_to(
    tmp_path_factory: pytest.TempPathFactory,
    story: list[tuple[list[tuple[float, int, int, float | None]], bool, bool]],
) -> None:
    played = Story(tmp_path_factory.mktemp("story") / "minutes")
    played.play(story)
    expected = by_minute(played.measured)
    assert played.told.keys() == expected.keys()
    for moment, readings in expected.items():
        minute = played.told[moment]
        assert minute.samples == len(readings)
        assert_spans(minute.battery_available, [one.battery_available for one in readings])
        assert_spans(minute.battery_charging, [one.battery_charging for one in readings])
        assert_spans(minute.temperature, [one.temperature for one in readings if one.temperature is not None])
        assert minute.humidity is None


# --- in batches -------------------------------------------------------------------------------------------


def test_minutes_are_left_out_of_a_batch_whose_time_is_corrected(minutes: Callable[[], Minutes]) -> None:
    counting = minutes()
    counting.riding_with(guessed(every(5, 12)))
    closing = guessed([reading(12, BEGIN + NEXT_GROUP)])
    ride = counting.riding_with(closing)
    [batch] = encode_batches(closing, topic=aws_topic(Channel.BATCH, STATION), minutes=ride)
    corrected = decode_batch(rewrite_batch(batch.payload, shift_us=1_000_000, clock=Clock.SYNCHRONIZED))
    assert (len(ride), corrected.minutes) == (1, ())
    assert decode_batch(rewrite_batch(batch.payload, clock=Clock.SYNCHRONIZED)).minutes == ride


def stored(readings: Iterable[Reading]) -> Iterator[tuple[Sample, None]]:
    boot = ManualTime().boot_id
    for one in readings:
        stamp = Stamp(boot, 0.0, one.timestamp.timestamp(), Clock.SYNCHRONIZED)
        number = one.sequence or 0
        yield Sample(Ticket(number), "s", number, stamp, False, encode_reading(one)), None


@pytest.mark.parametrize(("bays", "backlog"), [(0, True), (8, False), (35, True), (120, False)])
def test_batches_carry_the_minutes_and_stay_within_one_metering_unit(
    minutes: Callable[[], Minutes], bays: int, backlog: bool
) -> None:
    truth = Truth(ManualTime(), lambda _: None)
    sealer = Sealer(STATION, truth, minutes=minutes())
    told: list[MinuteAggregate] = []
    for start in range(0, 182, 12):
        shown = bays if start == 180 else 0
        run = [
            replace(one, temperature=20 + (one.sequence or 0) % 91 / 7, bays=tuple(_bays(shown, one)))
            for one in every(5, 12, begin=BEGIN + timedelta(seconds=5 * start), first=start)
        ]
        sealed = sealer.seal(list(stored(run)), backlog=backlog)
        assert not sealed.unsendable
        told += _minutes_in(sealed.parcels)
    assert [minute.minute for minute in told] == [BEGIN + timedelta(minutes=n) for n in range(GROUP)]
    assert {minute.samples for minute in told} == {12}


def _bays(bays: int, one: Reading) -> Iterator[Bay]:
    """Each time others, that no compression makes small."""
    for number in range(1, bays + 1):
        yield replace(noisy_bay(number + 1_000 * (one.sequence or 0)), bay=number)


def _minutes_in(parcels: Iterable[NewParcel]) -> Iterator[MinuteAggregate]:
    for parcel in parcels:
        whole = rewrite_batch(parcel.body, backlog=True, acknowledge=True)
        assert len(whole) + len(aws_topic(Channel.BATCH, STATION)) <= MAX_BATCH_BYTES
        yield from decode_batch(whole).minutes
