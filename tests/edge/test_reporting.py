"""What a station tells and in which form: news, parcels, and messages with the time that it really was."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from evswap_edge.clock import Stamp
from evswap_edge.message import Message
from evswap_edge.outbox import NewParcel, Parcel, Sample, StoredEvent, Ticket
from evswap_edge.reporting import Mode, sealing
from evswap_edge.reporting.changes import Changes, DeadBands
from evswap_edge.reporting.sealing import Sealed, Sealer
from evswap_edge.reporting.truth import Truth
from evswap_edge.reporting.wording import Wording
from evswap_edge.testing import ManualTime, charged_bay
from evswap_schema import (
    AlarmEvent,
    AlarmState,
    Charge,
    Clock,
    EncodedBatch,
    Lock,
    OversizedMessage,
    Quality,
    Reading,
    SchemaError,
    Severity,
    StationStatus,
    aws_topic,
    broker_topic,
    decode_batch,
    decode_event,
    decode_reading,
    encode_batches,
    encode_event,
    encode_reading,
)
from evswap_schema.limits import MAX_BATCH_BYTES, MAX_BATCH_SAMPLES
from tests.edge.conftest import MakeReading
from tests.edge.publishing import noisy_bay

BOOT = ManualTime().boot_id
BANDS = DeadBands(temperature=0.5, humidity=2.0)
TICKET = Ticket(1)


def stamp(
    uptime: float = 0.0,
    *,
    boot: str = BOOT,
    offset_s: float = 1_700_000_000.0,
    clock: Clock = Clock.SYNCHRONIZED,
) -> Stamp:
    return Stamp(boot_id=boot, uptime=uptime, offset_s=offset_s, clock=clock)


def sample(reading: Reading, number: int, *, stamped: Stamp | None = None, changed: bool = False) -> Sample:
    stamped = stamped or stamp(5.0 * number)
    whole = replace(
        reading, stream_id="stream", sequence=number, timestamp=stamped.wall_clock, clock=stamped.clock
    )
    return stored(encode_reading(whole), number, stamped=stamped, changed=changed)


def stored(body: bytes, number: int, *, stamped: Stamp | None = None, changed: bool = False) -> Sample:
    return Sample(
        ticket=Ticket(number),
        stream_id="stream",
        sequence=number,
        stamp=stamped or stamp(5.0 * number),
        changed=changed,
        body=body,
    )


def parcel_of(new: NewParcel) -> Parcel:
    return Parcel(ticket=TICKET, **{name: getattr(new, name) for name in new.__struct_fields__})


class Knowing(Truth):
    """Knows the true offset of one boot."""

    def __init__(self, offset_s: float | None = None, *, boot: str = "earlier") -> None:
        super().__init__(ManualTime(), {boot: offset_s}.get)


def sealer(truth: Truth | None = None, *, limit: int = MAX_BATCH_SAMPLES) -> Sealer:
    return Sealer("station-01", truth or Knowing(), limit=limit)


def seal(by: Sealer, samples: Sequence[Sample], *, backlog: bool = False) -> Sealed:
    """What ``by`` makes of ``samples``, read from their bodies."""
    return by.seal([(sample, None) for sample in samples], backlog=backlog)


def wording(
    mode: Mode = Mode.ON_CHANGE,
    *,
    truth: Truth | None = None,
    acknowledge: bool = False,
    topic: Any = aws_topic,
) -> Wording:
    return Wording("station-01", mode=mode, topic=topic, truth=truth or Knowing(), acknowledge=acknowledge)


def readings_in(parcels: Iterable[NewParcel]) -> list[Reading]:
    return [reading for parcel in parcels for reading in decode_batch(parcel.body).readings]


# --- news -------------------------------------------------------------------------------------------------


def test_the_first_sample_is_news_and_the_same_again_is_not(make_reading: MakeReading) -> None:
    changes = Changes(BANDS)
    assert changes.is_news(make_reading(bays=3))
    assert not changes.is_news(make_reading(bays=3))


@pytest.mark.parametrize(
    "change",
    [
        {"battery_available": 7},
        {"battery_charging": 7},
        {"status": StationStatus.DEGRADED},
        {"temperature": 29.1},
        {"temperature": None, "quality": {"temperature": Quality.FAILED}},
        {"humidity": 39.9},
        {"bays": None},
        {"bays": (charged_bay(1), replace(charged_bay(2), lock=Lock.UNLOCKED))},
        {"bays": (charged_bay(1), replace(charged_bay(2), charge=Charge.WAITING))},
    ],
)
def test_what_is_news(make_reading: MakeReading, change: dict[str, Any]) -> None:
    changes = Changes(BANDS)
    before = make_reading(bays=2)
    changes.is_news(before)
    after = replace(before, **change)
    assert changes.is_news(after)
    assert not changes.is_news(after)
    assert changes.is_news(before)


@pytest.mark.parametrize("change", [{"temperature": 28.9}, {"humidity": 43.9}])
def test_what_stays_in_its_band_is_no_news(make_reading: MakeReading, change: dict[str, Any]) -> None:
    changes = Changes(BANDS)
    changes.is_news(make_reading())
    assert not changes.is_news(replace(make_reading(), **change))


def test_a_slow_drift_is_told_whenever_it_has_left_the_band(make_reading: MakeReading) -> None:
    changes = Changes(BANDS)
    told = [
        tenths
        for tenths in range(21)
        if changes.is_news(replace(make_reading(), temperature=20 + tenths / 10))
    ]
    assert told == [0, 6, 12, 18]


def test_an_alarm_is_news_when_it_comes_and_when_it_goes(make_reading: MakeReading) -> None:
    changes = Changes(BANDS)
    alarms = frozenset({"outbox_in_memory"})
    assert [
        changes.is_news(make_reading(), raised)
        for raised in (frozenset[str](), alarms, alarms, frozenset[str]())
    ] == [True, True, False, True]


def test_news_that_could_not_be_stored_is_still_to_be_told(make_reading: MakeReading) -> None:
    changes = Changes(BANDS)
    changes.is_news(make_reading())
    changes.forget()
    assert changes.is_news(make_reading())


# --- what time it really was ------------------------------------------------------------------------------


def test_a_clock_that_was_set_is_believed() -> None:
    right = stamp(boot="earlier")
    assert Knowing(5.0).about(right) is right


def test_an_earlier_boot_is_corrected_once_its_offset_is_known() -> None:
    guess = stamp(100.0, boot="earlier", offset_s=50.0, clock=Clock.ESTIMATED)
    assert Knowing(None).about(guess) is guess
    assert Knowing(1_000_000.0).about(guess) == Stamp("earlier", 100.0, 1_000_000.0, Clock.SYNCHRONIZED)


def test_this_boot_is_corrected_only_while_its_clock_is_believed() -> None:
    time = ManualTime(state=Clock.ESTIMATED)
    truth = Truth(time, {time.boot_id: 1_000_000.0}.get)
    guess = stamp(100.0, offset_s=50.0, clock=Clock.ESTIMATED)
    assert truth.about(guess) is guess
    time.clock_state = Clock.SYNCHRONIZED
    assert truth.about(guess).offset_s == 1_000_000.0


# --- parcels ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bays", [0, 8, 35, 120])
def test_parcels_hold_all_samples_within_one_metering_unit_whatever_is_said_later(
    make_reading: MakeReading, bays: int
) -> None:
    samples = [sample(make_reading(n, bays=bays), n, changed=n == 3) for n in range(12)]
    sealed = seal(sealer(), samples)
    assert sealed.samples == samples
    assert [reading.sequence for reading in readings_in(sealed.parcels)] == list(range(12))
    assert (sealed.parcels[0].first, sealed.parcels[-1].last) == (0, 11)
    assert sum(parcel.samples for parcel in sealed.parcels) == 12
    assert [parcel.changed for parcel in sealed.parcels].count(True) == 1
    for parcel in sealed.parcels:
        assert parcel.stamp == stamp(5.0 * parcel.first)
        assert parcel.last_uptime == 5.0 * parcel.last
        (message,) = wording(acknowledge=True).of_parcel(parcel_of(parcel), backlog=True)
        assert len(message.payload) + len(message.topic) <= MAX_BATCH_BYTES


def test_a_parcel_holds_no_more_samples_than_it_may(make_reading: MakeReading) -> None:
    samples = [sample(make_reading(n), n) for n in range(25)]
    assert [parcel.samples for parcel in seal(sealer(limit=10), samples).parcels] == [10, 10, 5]


def test_a_parcel_never_spans_two_boots_streams_or_states_of_the_clock(make_reading: MakeReading) -> None:
    unset = stamp(40.0, offset_s=0.0, clock=Clock.ESTIMATED)
    stamps = [
        stamp(5.0, boot="earlier"),
        stamp(10.0, boot="earlier"),
        stamp(20.0),
        stamp(30.0, offset_s=1_700_000_900.0),  # set by hand: the time is what it says
        unset,
        replace_stamp(unset, uptime=45.0, offset_s=0.004),
        replace_stamp(unset, uptime=50.0, offset_s=86_400.0),  # moved while nobody knew the time
    ]
    samples = [sample(make_reading(n), n, stamped=stamped) for n, stamped in enumerate(stamps)]
    samples.append(replace(sample(make_reading(7), 7, stamped=stamps[-1]), stream_id="volatile"))
    sealed = seal(sealer(), samples[:-1])
    assert [(parcel.first, parcel.last) for parcel in sealed.parcels] == [(0, 1), (2, 3), (4, 5), (6, 6)]
    assert len(seal(sealer(), samples).parcels) == 5


def replace_stamp(of: Stamp, *, uptime: float, offset_s: float) -> Stamp:
    return Stamp(of.boot_id, uptime, offset_s, of.clock)


def test_samples_whose_time_is_known_by_now_are_sealed_with_it(make_reading: MakeReading) -> None:
    guess = stamp(100.0, boot="earlier", offset_s=50.0, clock=Clock.ESTIMATED)
    (parcel,) = seal(sealer(Knowing(1_700_000_000.0)), [sample(make_reading(), 1, stamped=guess)]).parcels
    assert parcel.stamp == stamp(100.0, boot="earlier")
    (reading,) = readings_in([parcel])
    assert (reading.timestamp, reading.clock) == (parcel.stamp.wall_clock, Clock.SYNCHRONIZED)


def test_samples_that_cannot_be_sent_are_named_and_cost_nobody_else(make_reading: MakeReading) -> None:
    samples = [
        sample(make_reading(0), 0),
        stored(b"\x00 not a reading", 1),
        sample(make_reading(0, station_id="station-99"), 2),
        sample(make_reading(1), 3),
    ]
    sealed = seal(sealer(), samples)
    assert sealed.samples == [samples[0], samples[3]]
    assert [reading.sequence for reading in readings_in(sealed.parcels)] == [0, 3]
    assert [each.sequence for each, _ in sealed.unsendable] == [1, 2]
    assert "station-99" in sealed.unsendable[1][1]


def test_a_reading_that_fits_into_no_batch_costs_nobody_else(
    make_reading: MakeReading, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses_the_second(readings: Iterable[Reading], **options: Any) -> list[EncodedBatch]:
        readings = list(readings)
        if any(reading.sequence == 1 for reading in readings):
            raise OversizedMessage(field="", rule="at most 5000 bytes", value="")
        return encode_batches(readings, **options)

    monkeypatch.setattr(sealing, "encode_batches", refuses_the_second)
    sealed = seal(sealer(), [sample(make_reading(n), n) for n in range(3)])
    assert [each.sequence for each in sealed.samples] == [0, 2]
    assert [each.sequence for each, _ in sealed.unsendable] == [1]


def test_what_is_sealed_while_there_is_no_link_says_so_at_once(make_reading: MakeReading) -> None:
    (parcel,) = seal(sealer(), [sample(make_reading(), 1)], backlog=True).parcels
    assert decode_batch(parcel.body).backlog
    (message,) = wording().of_parcel(parcel_of(parcel), backlog=True)
    assert message.payload is parcel.body


# --- messages ---------------------------------------------------------------------------------------------


@pytest.fixture
def parcel(make_reading: MakeReading) -> Parcel:
    guess = [stamp(5.0 * n, boot="earlier", offset_s=0.0, clock=Clock.ESTIMATED) for n in range(3)]
    samples = [sample(make_reading(n, bays=2), n, stamped=guess[n]) for n in range(3)]
    (new,) = seal(sealer(), samples).parcels
    return parcel_of(new)


def test_a_parcel_is_sent_as_it_is_stored(parcel: Parcel) -> None:
    (message,) = wording().of_parcel(parcel, backlog=False)
    assert message == Message(topic=aws_topic_of("batch"), payload=parcel.body)
    (elsewhere,) = wording(topic=broker_topic).of_parcel(parcel, backlog=False)
    assert elsewhere.topic == "ev/station/station-01/telemetry/batch"


def aws_topic_of(channel: str) -> str:
    from evswap_schema import Channel

    return aws_topic(Channel(channel), "station-01")


def test_a_parcel_gets_its_flags_and_its_time_when_it_is_sent(parcel: Parcel) -> None:
    words = wording(truth=Knowing(1_700_000_000.0), acknowledge=True)
    (message,) = words.of_parcel(parcel, backlog=True)
    batch = decode_batch(message.payload)
    assert batch.backlog
    assert batch.acknowledge
    assert [reading.timestamp for reading in batch.readings] == [stamp(5.0 * n).wall_clock for n in range(3)]
    assert {reading.clock for reading in batch.readings} == {Clock.SYNCHRONIZED}


def test_where_every_sample_is_sent_a_parcel_becomes_flat_messages(parcel: Parcel) -> None:
    words = wording(Mode.EVERY_SAMPLE, truth=Knowing(1_700_000_000.0), acknowledge=True)
    messages = words.of_parcel(parcel, backlog=True)
    assert {message.topic for message in messages} == {"ev/station/station-01/telemetry"}
    sent = [decode_reading(message.payload) for message in messages]
    assert [reading.sequence for reading in sent] == [0, 1, 2]
    assert [reading.timestamp for reading in sent] == [stamp(5.0 * n).wall_clock for n in range(3)]
    assert all(reading.bays is None and reading.acknowledge for reading in sent)


def test_of_a_reading_in_parts_one_flat_message_is_sent(make_reading: MakeReading) -> None:
    # 250 names that no compression makes small
    bays = tuple(noisy_bay(number) for number in range(1, 251))
    sealed = seal(sealer(), [sample(replace(make_reading(), bays=bays), 1)])
    assert len(sealed.parcels) > 1
    words = wording(Mode.EVERY_SAMPLE)
    sent = [words.of_parcel(parcel_of(parcel), backlog=False) for parcel in sealed.parcels]
    assert [len(messages) for messages in sent] == [1] + [0] * (len(sent) - 1)
    assert decode_reading(sent[0][0].payload).part is None


def test_a_sample_is_sent_as_it_is_stored(make_reading: MakeReading) -> None:
    one = sample(make_reading(), 1)
    (message,) = wording(Mode.EVERY_SAMPLE).of_sample(one)
    assert message == Message(topic="ev/station/station-01/telemetry", payload=one.body)


@settings(deadline=None)
@given(acknowledge=st.booleans(), bays=st.integers(0, 2), known=st.booleans())
def test_a_sample_gets_what_is_known_by_now_and_leaves_its_bays_at_home(
    acknowledge: bool, bays: int, known: bool, make_reading: MakeReading
) -> None:
    guess = stamp(5.0, boot="earlier", offset_s=0.0, clock=Clock.ESTIMATED)
    one = sample(make_reading(bays=bays), 1, stamped=guess)
    truth = Knowing(1_700_000_000.0 if known else None)
    (message,) = wording(Mode.EVERY_SAMPLE, truth=truth, acknowledge=acknowledge).of_sample(one)
    sent = decode_reading(message.payload)
    assert (sent.sequence, sent.bays, sent.acknowledge) == (1, None, acknowledge)
    assert sent.timestamp == truth.about(guess).wall_clock
    assert sent.clock is (Clock.SYNCHRONIZED if known else Clock.ESTIMATED)


@pytest.mark.parametrize("body", [b"\x00 not a reading", b"{}"])
def test_what_cannot_be_read_cannot_be_said(body: bytes) -> None:
    with pytest.raises(SchemaError):
        wording(Mode.EVERY_SAMPLE).of_sample(stored(body, 1))
    with pytest.raises(SchemaError):
        wording().of_change(stored(body, 1))
    broken = Parcel(
        ticket=TICKET,
        stream_id="stream",
        first=1,
        last=1,
        samples=1,
        stamp=stamp(),
        last_uptime=0.0,
        changed=False,
        body=body,
    )
    with pytest.raises(SchemaError):
        wording(Mode.EVERY_SAMPLE).of_parcel(broken, backlog=False)


@pytest.mark.parametrize(("bays", "told"), [(0, False), (8, True), (120, False)])
def test_a_change_brings_its_bays_where_one_metering_unit_holds_them(
    make_reading: MakeReading, bays: int, told: bool
) -> None:
    guess = stamp(5.0, boot="earlier", offset_s=0.0, clock=Clock.ESTIMATED)
    words = wording(truth=Knowing(1_700_000_000.0), acknowledge=True)
    message = words.of_change(sample(make_reading(bays=bays), 1, stamped=guess))
    assert message.topic == aws_topic_of("change")
    assert len(message.payload) + len(message.topic) <= MAX_BATCH_BYTES
    sent = decode_reading(message.payload)
    assert (sent.bays is not None) is told
    assert (sent.sequence, sent.stream_id, sent.acknowledge) == (1, "stream", False)
    assert sent.timestamp == stamp(5.0).wall_clock


@pytest.mark.parametrize("acknowledge", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_an_event_gets_what_is_known_by_now(acknowledge: bool, known: bool) -> None:
    guess = stamp(5.0, boot="earlier", offset_s=0.0, clock=Clock.ESTIMATED)
    event = AlarmEvent(
        station_id="station-01",
        stream_id="events",
        sequence=1,
        timestamp=guess.wall_clock,
        clock=guess.clock,
        alarm="outbox_in_memory",
        state=AlarmState.RAISED,
        severity=Severity.CRITICAL,
    )
    one = StoredEvent(ticket=TICKET, stream_id="events", sequence=1, stamp=guess, body=encode_event(event))
    truth = Knowing(1_700_000_000.0 if known else None)
    (message,) = wording(truth=truth, acknowledge=acknowledge).of_event(one)
    right = truth.about(guess)
    assert message.topic == aws_topic_of("event")
    assert decode_event(message.payload) == replace(
        event, timestamp=right.wall_clock, clock=right.clock, acknowledge=acknowledge
    )
    if not known and not acknowledge:
        assert message.payload is one.body


def test_nothing_sealed_is_nothing() -> None:
    assert seal(sealer(), []) == Sealed()


def test_times_are_moved_by_whole_milliseconds(make_reading: MakeReading) -> None:
    guess = stamp(5.0, boot="earlier", offset_s=0.0, clock=Clock.ESTIMATED)
    one = sample(make_reading(), 1, stamped=guess)
    (message,) = wording(Mode.EVERY_SAMPLE, truth=Knowing(86_400.123_456_7)).of_sample(one)
    moved = decode_reading(message.payload).timestamp - guess.wall_clock
    assert moved == timedelta(days=1, milliseconds=123)
