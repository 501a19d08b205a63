"""The bays of the latest state: what is worth a write, and that no order of arrival shows."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from evswap_cloud.bays import (
    REFRESH,
    SOC_STEP,
    SOH_STEP,
    TEMPERATURE_STEP,
    BatteryState,
    BayState,
    from_item,
    is_news,
    to_item,
)
from evswap_cloud.ingest import Delivery, Report
from evswap_cloud.latest import MAX_ITEM_BYTES
from evswap_schema import (
    Battery,
    Bay,
    Channel,
    Charge,
    Health,
    Lock,
    Occupancy,
    Part,
    Reading,
    Reservation,
    encode_reading,
)
from evswap_schema.limits import MAX_BAYS, MAX_SEQUENCE
from tests.cloud.messages import NOW, battery, bay, delivered, delivered_batches, delivery, envelope, reading
from tests.cloud.stores import Stores
from tests.cloud.test_latest import billed_bytes
from tests.shared.strategies import moments, percents, station_ids

STATION = "station-01"


def sample(sequence: int, *bays: Bay, **changes: Any) -> Reading:
    """The reading ``sequence`` of a stream, a second after the one before."""
    taken = NOW - timedelta(hours=1) + timedelta(seconds=sequence)
    place = {"stream_id": "s", "sequence": sequence, "timestamp": taken, "bays": bays or None}
    return reading(**(place | changes))


def change(one: Reading) -> Delivery:
    return delivery(envelope(encode_reading(one), station_id=one.station_id, channel=Channel.CHANGE))


@pytest.fixture
def stores() -> Stores:
    return Stores()


def shown(stores: Stores, number: int = 1) -> BayState:
    return stores.bays.bays[STATION, number]


# --- the item ---


battery_states = st.builds(
    BatteryState,
    serial_number=st.text(min_size=1, max_size=50),
    soc=percents,
    soh=percents,
    temperature=st.floats(-60, 200),
    cycles=st.integers(0, 100_000),
)
bay_states = st.builds(
    BayState,
    station_id=station_ids,
    bay=st.integers(1, MAX_BAYS),
    battery=st.none() | battery_states,
    timestamp=moments,
    observed_at=moments,
    stream_id=st.none(),
    sequence=st.none(),
)


@given(bay_states, st.none() | st.tuples(station_ids, st.integers(0, MAX_SEQUENCE)))
def test_a_bay_comes_back_exactly_as_it_was_stored(one: BayState, place: tuple[str, int] | None) -> None:
    if place is not None:
        one = replace(one, stream_id=place[0], sequence=place[1])
    assert from_item({**to_item(one), "later": {"S": "x"}}) == one


def test_the_largest_bay_is_one_write_unit() -> None:
    moment = datetime(2026, 12, 28, 23, 59, 59, 999_999, UTC)
    largest = BayState(
        station_id="s" * 64,
        bay=MAX_BAYS,
        occupancy=Occupancy.OCCUPIED,
        charge=Charge.CHARGING,
        lock=Lock.UNLOCKED,
        reservation=Reservation.RESERVED,
        health=Health.QUARANTINED,
        battery=BatteryState(
            serial_number="\N{BATTERY}" * 50, soc=1e-9, soh=99.123456789, temperature=-12.3, cycles=100_000
        ),
        timestamp=moment,
        observed_at=moment,
        stream_id="t" * 64,
        sequence=MAX_SEQUENCE,
    )
    assert billed_bytes(to_item(largest)) <= MAX_ITEM_BYTES


# --- what is worth a write ---


@pytest.mark.parametrize(
    "changes",
    [
        {"occupancy": Occupancy.UNKNOWN},
        {"charge": Charge.CHARGED},
        {"lock": Lock.UNLOCKED},
        {"reservation": Reservation.RESERVED},
        {"health": Health.QUARANTINED},
        {"battery": None},
        {"battery": battery(serial_number="B-2")},
        {"battery": battery(cycles=121)},
        {"battery": battery(soc=50.0 + SOC_STEP)},
        {"battery": battery(soc=50.0 - SOC_STEP)},
        {"battery": battery(soh=97.0 - SOH_STEP)},
        {"battery": battery(temperature=31.0 + TEMPERATURE_STEP)},
    ],
)
def test_another_state_and_a_step_of_what_is_measured_are_written_at_once(
    stores: Stores, changes: dict[str, Any]
) -> None:
    stores.change.process([change(sample(1, bay(), bay(2)))])
    report = stores.change.process([change(sample(2, bay(**changes), bay(2)))])
    assert (report.bays, shown(stores).sequence, shown(stores, 2).sequence) == (1, 2, 1)


@pytest.mark.parametrize(
    "same",
    [
        battery(),
        battery(soc=54.9),
        battery(soh=96.1),
        battery(temperature=27.0),
        battery(voltage=54.0, current=-3.0),
    ],
)
def test_what_is_measured_within_its_step_is_not_written(stores: Stores, same: Battery) -> None:
    stores.change.process([change(sample(1, bay()))])
    report = stores.change.process([change(sample(2, bay(battery=same)))])
    assert (report.moved, report.bays, len(stores.bays.writes)) == (1, 0, 1)
    assert shown(stores).timestamp == sample(1).timestamp, "it says how old it is"


def test_a_slow_drift_is_written_when_it_has_come_far_enough(stores: Stores) -> None:
    for sequence in range(101):
        charging = bay(battery=battery(soc=50.0 + sequence * 0.4))
        stores.bulk.process(delivered_batches([sample(sequence, charging)], f"r{sequence}"))
        assert shown(stores).battery is not None
        assert abs(shown(stores).battery.soc - charging.battery.soc) < SOC_STEP  # type: ignore[union-attr]
    assert len(stores.bays.writes) <= 1 + 40 / SOC_STEP


def test_what_holds_is_written_again_once_a_day(stores: Stores) -> None:
    first = sample(1, bay())
    later = [
        replace(first, sequence=2, timestamp=first.timestamp - timedelta(seconds=1) + REFRESH),
        replace(first, sequence=3, timestamp=first.timestamp + REFRESH),
    ]
    for one, written in zip([first, *later], [1, 0, 1], strict=True):
        [record] = delivered_batches([one], received_at=one.timestamp)
        assert stores.bulk.process([record]).bays == written


def test_a_bay_shown_is_never_news_to_itself() -> None:
    stores = Stores()
    stores.change.process([change(sample(1, bay()))])
    assert is_news(shown(stores), None)
    assert not is_news(shown(stores), shown(stores))


# --- on which way ---


def test_a_cabinet_of_35_bays_that_charges_for_a_minute_costs_one_read_and_no_write(stores: Stores) -> None:
    def minute(first: int) -> list[Delivery]:
        run = [
            sample(
                number,
                *(
                    bay(slot, battery=battery(soc=50.0 + number / 60, voltage=number))
                    for slot in range(1, 36)
                ),
            )
            for number in range(first, first + 12)
        ]
        return delivered_batches(run, f"minute {first}")

    assert stores.bulk.process(minute(1)).bays == 35
    assert stores.bulk.process(minute(13)).bays == 0
    assert stores.bays.reads == [STATION] * 2


def test_a_seed_message_tells_of_no_bays_and_costs_no_read(stores: Stores) -> None:
    assert stores.live.process([delivered(reading())]).bays == 0
    assert (stores.bays.reads, stores.bays.bays) == ([], {})


def test_a_single_message_may_tell_of_bays(stores: Stores) -> None:
    stores.live.process([delivered(reading(bays=(bay(),)))])
    assert (shown(stores).stream_id, shown(stores).timestamp) == (None, reading().timestamp)


def test_of_a_batch_the_newest_reading_tells(stores: Stores) -> None:
    run = [sample(number, bay(lock=Lock.UNLOCKED if number < 12 else Lock.LOCKED)) for number in range(1, 13)]
    assert stores.bulk.process(delivered_batches(run)).bays == 1
    assert (shown(stores).lock, shown(stores).sequence) == (Lock.LOCKED, 12)


def test_backlog_tells_of_the_past(stores: Stores) -> None:
    report = stores.bulk.process(delivered_batches([sample(1, bay())], backlog=True))
    assert (report.bays, stores.bays.bays) == (0, {})


def test_a_bay_that_is_not_named_stays(stores: Stores) -> None:
    stores.change.process([change(sample(1, bay(1), bay(2)))])
    stores.change.process([change(sample(2, bay(2, lock=Lock.UNLOCKED)))])
    assert (shown(stores, 1).lock, shown(stores, 2).lock) == (Lock.LOCKED, Lock.UNLOCKED)


def test_parts_fill_their_shares_together_or_one_after_the_other(stores: Stores) -> None:
    parts = [
        sample(1, bay(1), part=Part(index=0, count=2)),
        sample(1, bay(2), part=Part(index=1, count=2)),
    ]
    later = [
        replace(part, sequence=2, bays=(bay(index, lock=Lock.UNLOCKED),))
        for index, part in enumerate(parts, 1)
    ]
    together = [record for part in parts for record in delivered_batches([part], f"p{part.bays}")]
    assert stores.bulk.process(together).bays == 2
    for part in later:
        assert stores.bulk.process(delivered_batches([part])).bays == 1
    assert [one.lock for one in stores.bays.of_station(STATION)] == [Lock.UNLOCKED] * 2


def test_beside_a_part_of_a_newer_reading_an_older_one_tells_of_nothing(stores: Stores) -> None:
    stores.bulk.process(delivered_batches([sample(1, bay(1), bay(2))]))
    stores.bulk.process(delivered_batches([sample(3, bay(2), part=Part(index=1, count=2))]))
    older = sample(2, bay(2, lock=Lock.UNLOCKED), part=Part(index=1, count=2))
    newer = sample(3, bay(1), part=Part(index=0, count=2))
    stores.bulk.process([*delivered_batches([older], "older"), *delivered_batches([newer], "newer")])
    assert shown(stores, 2).lock is Lock.LOCKED


def test_a_change_without_bays_does_not_keep_those_of_the_batch_before_it_out(stores: Stores) -> None:
    """As many bays as do not fit into a change come in batches only, and a change may overtake them."""
    stores.bulk.process(delivered_batches([sample(1, bay())]))
    stores.change.process([change(sample(20))])
    report = stores.bulk.process(delivered_batches([sample(12, bay(lock=Lock.UNLOCKED))]))
    assert (report.moved, report.bays, shown(stores).lock) == (0, 1, Lock.UNLOCKED)


def test_in_one_invocation_too(stores: Stores) -> None:
    flat = [delivered(sample(2), "flat"), delivered(sample(1, bay()), "with bays")]
    report = stores.live.process(flat)
    assert (report.moved, report.bays, stores.latest.states[STATION].sequence) == (1, 1, 2)


def test_a_late_reading_does_not_bring_back_what_the_newer_one_found_unchanged(stores: Stores) -> None:
    for sequence, lock in ((1, Lock.LOCKED), (3, Lock.LOCKED), (2, Lock.UNLOCKED)):
        stores.change.process([change(sample(sequence, bay(lock=lock)))])
    assert shown(stores).lock is Lock.LOCKED


def test_a_retry_writes_the_bays_that_failed_and_only_those(stores: Stores) -> None:
    records = delivered_batches([sample(1, *(bay(number) for number in range(1, 5)))])
    stores.bays.refused = {3}
    failed = stores.bulk.process(records)
    assert [one.record_id for one in failed.failures] == [record.record_id for record in records]
    assert set(stores.bays.bays) == {(STATION, 1), (STATION, 2)}
    stores.bays.refused = set()
    assert stores.bulk.process(records).failures == ()
    assert [one.bay for one in stores.bays.writes] == [1, 2, 3, 3, 4]


def test_what_failed_is_left_to_a_newer_reading_that_came_meanwhile(stores: Stores) -> None:
    stores.bays.refused = {1}
    late = change(sample(1, bay(lock=Lock.UNLOCKED)))
    assert stores.change.process([late]).failures
    stores.bays.refused = set()
    stores.change.process([change(sample(2, bay()))])
    assert stores.change.process([late]).failures == ()
    assert shown(stores).lock is Lock.LOCKED


# --- any order ---


@st.composite
def histories(draw: st.DrawFn) -> list[list[Reading]]:
    """What a station sent, a stream after the other: the messages of each of its readings, some without bays,
    some with all, some with a part.
    """
    sent: list[list[Reading]] = []
    for number in range(draw(st.integers(1, 14))):
        told = replace(sample(number), stream_id=f"stream-{number // 7}", sequence=number % 7 + 1)
        bays = tuple(
            bay(slot, lock=draw(st.sampled_from(Lock)), battery=battery(soc=draw(st.integers(40, 60))))
            for slot in (1, 2)
        )
        forms = (
            [told],
            [replace(told, bays=bays)],
            [
                replace(told, bays=(one,), part=Part(index=index, count=len(bays)))
                for index, one in enumerate(bays)
            ],
        )
        sent.append(draw(st.sampled_from(forms)))
    return sent


def told_last(sent: Sequence[Sequence[Reading]]) -> list[Bay]:
    """The bays of the newest reading that has any."""
    told = [[one for message in messages for one in message.bays or ()] for messages in sent]
    return next((bays for bays in reversed(told) if bays), [])


@given(sent=histories(), data=st.data())
def test_any_order_and_number_of_deliveries_ends_in_what_was_told_last(
    sent: list[list[Reading]], data: st.DataObject
) -> None:
    messages = [message for messages in sent for message in messages]
    repeats = data.draw(st.lists(st.sampled_from(messages), max_size=8))
    shuffled = data.draw(st.permutations([*messages, *repeats]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(shuffled)), max_size=4)))
    stores = Stores()
    for start, end in pairwise([0, *cuts, len(shuffled)]):
        assert process(stores, shuffled[start:end], as_changes=data.draw(st.booleans())).failures == ()

    found, told = stores.bays.of_station(STATION), told_last(sent)
    assert [(one.bay, one.lock) for one in found] == [(one.bay, one.lock) for one in told]
    for one, other in zip(found, told, strict=True):
        assert one.battery is not None
        assert other.battery is not None
        assert abs(one.battery.soc - other.battery.soc) < SOC_STEP


def process(stores: Stores, sent: Sequence[Reading], *, as_changes: bool) -> Report:
    """In one invocation: as changes, or each as a batch of its own."""
    if as_changes:
        return stores.change.process([change(one) for one in sent])
    return stores.bulk.process(
        [record for number, one in enumerate(sent) for record in delivered_batches([one], f"r{number}")]
    )
