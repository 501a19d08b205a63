"""The bays of the latest state: what is kept of them, what it costs, and that no order of arrival shows."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from evswap_cloud.bays import KEPT, BayState, bays_of, heard
from evswap_cloud.ingest import Delivery, Report
from evswap_cloud.order import Place
from evswap_schema import Bay, Channel, Lock, Part, Reading, encode_reading
from tests.cloud.messages import NOW, battery, bay, delivered, delivered_batches, delivery, envelope, reading
from tests.cloud.stores import Stores

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


def all_shown(stores: Stores) -> tuple[BayState, ...]:
    found = stores.latest.get_with_bays(STATION)
    return () if found is None else found.bays


def shown(stores: Stores, number: int = 1) -> BayState:
    [one] = (one for one in all_shown(stores) if one.bay == number)
    return one


# --- what is kept ---


def test_what_is_measured_is_kept_to_a_tenth(stores: Stores) -> None:
    measured = battery(soc=62.4499, soh=96.96, temperature=-3.449)
    stores.change.process([change(sample(1, bay(battery=measured)))])
    found = shown(stores).battery
    assert found is not None
    assert (found.soc, found.soh, found.temperature, found.cycles) == (62.4, 97.0, -3.4, measured.cycles)


def test_each_sample_is_shown_as_new_as_it_is(stores: Stores) -> None:
    for sequence in (1, 2):
        charging = bay(battery=battery(soc=50.0 + sequence / 10))
        stores.bulk.process(delivered_batches([sample(sequence, charging)], f"r{sequence}"))
        found = shown(stores)
        assert found.battery is not None
        assert (found.timestamp, found.battery.soc) == (sample(sequence).timestamp, 50.0 + sequence / 10)


def test_a_bay_that_is_not_named_for_long_goes() -> None:
    first = bays_of(Place(observed_at=NOW), NOW, [bay(1), bay(2)])
    for later, numbers in ((KEPT - timedelta(seconds=1), "1-2"), (KEPT, "2")):
        told = bays_of(Place(observed_at=NOW + later), NOW + later, [bay(2)])
        kept = heard(first, told)
        assert kept is not None
        assert (kept.numbers, kept.place) == (numbers, told.place)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([1], "1"), ([1, 2, 3], "1-3"), ([2, 3, 5, 7, 8, 250], "2-3,5,7-8,250"), ([250, 1], "1,250")],
)
def test_the_numbers_of_bays_are_told_in_runs(numbers: list[int], text: str) -> None:
    assert bays_of(Place(observed_at=NOW), NOW, map(bay, numbers)).numbers == text


# --- on which way ---


def test_a_seed_message_tells_of_no_bays(stores: Stores) -> None:
    assert stores.live.process([delivered(reading())]).bays == 0
    assert stores.latest.bays == {}


def test_a_single_message_may_tell_of_bays(stores: Stores) -> None:
    stores.live.process([delivered(reading(bays=(bay(),)))])
    assert shown(stores).timestamp == reading().timestamp
    assert stores.latest.bays[STATION].place.stream_id is None


def test_of_a_batch_the_newest_reading_tells(stores: Stores) -> None:
    run = [sample(number, bay(lock=Lock.UNLOCKED if number < 12 else Lock.LOCKED)) for number in range(1, 13)]
    assert stores.bulk.process(delivered_batches(run)).bays == 1
    assert (shown(stores).lock, shown(stores).timestamp) == (Lock.LOCKED, run[-1].timestamp)


def test_backlog_tells_of_the_past(stores: Stores) -> None:
    report = stores.bulk.process(delivered_batches([sample(1, bay())], backlog=True))
    assert (report.bays, stores.latest.bays) == (0, {})


def test_a_bay_that_is_not_named_stays(stores: Stores) -> None:
    stores.change.process([change(sample(1, bay(1), bay(2)))])
    stores.change.process([change(sample(2, bay(2, lock=Lock.UNLOCKED)))])
    assert [(one.lock, one.timestamp) for one in all_shown(stores)] == [
        (Lock.LOCKED, sample(1).timestamp),
        (Lock.UNLOCKED, sample(2).timestamp),
    ]


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
    assert [one.lock for one in all_shown(stores)] == [Lock.UNLOCKED] * 2


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


def test_what_failed_is_left_to_a_newer_reading_that_came_meanwhile(stores: Stores) -> None:
    stores.latest.refused = {STATION}
    late = change(sample(1, bay(lock=Lock.UNLOCKED)))
    assert stores.change.process([late]).failures
    assert all_shown(stores) == ()
    stores.latest.refused = set()
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

    found, told = all_shown(stores), told_last(sent)
    assert [(one.bay, one.lock) for one in found] == [(one.bay, one.lock) for one in told]
    assert [one.battery and one.battery.soc for one in found] == [
        one.battery and one.battery.soc for one in told
    ]


def process(stores: Stores, sent: Sequence[Reading], *, as_changes: bool) -> Report:
    """In one invocation: as changes, or each as a batch of its own."""
    if as_changes:
        return stores.change.process([change(one) for one in sent])
    return stores.bulk.process(
        [record for number, one in enumerate(sent) for record in delivered_batches([one], f"r{number}")]
    )
