"""The state that is left over does not depend on how the queue treated the messages on their way."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from evswap_cloud.envelope import decode_envelope
from evswap_cloud.ingest import Delivery
from evswap_cloud.ingest.admit import state_of
from evswap_cloud.latest import LatestState
from evswap_cloud.order import supersedes
from evswap_schema import Reading
from tests.cloud.messages import NOW, delivered, reading
from tests.cloud.stores import Stores

STATIONS = ("station-01", "station-02")
offsets = st.integers(-3_600, 300)


@st.composite
def histories(draw: st.DrawFn) -> list[Reading]:
    """What some stations sent: seed messages, and streams whose clocks never run backwards."""
    sent: list[Reading] = []
    for station in STATIONS:
        for second in draw(st.lists(offsets, max_size=5, unique=True)):
            sent.append(reading(station_id=station, timestamp=NOW + timedelta(seconds=second)))
        for stream in draw(st.lists(st.sampled_from(["a", "b", "c"]), max_size=2, unique=True)):
            sent += [
                reading(
                    station_id=station,
                    stream_id=stream,
                    sequence=number,
                    timestamp=NOW + timedelta(seconds=second),
                    battery_available=number,
                )
                for number, second in enumerate(sorted(draw(st.lists(offsets, max_size=5))))
            ]
    return sent


def process_in_batches(deliveries: Sequence[Delivery], cuts: Sequence[int]) -> Stores:
    stores = Stores()
    bounds = [0, *sorted(min(cut, len(deliveries)) for cut in cuts), len(deliveries)]
    for start, end in pairwise(bounds):
        assert stores.live.process(deliveries[start:end]).failures == ()
    return stores


@given(sent=histories(), data=st.data())
def test_any_order_and_number_of_deliveries_ends_in_the_same_state_and_archive(
    sent: list[Reading], data: st.DataObject
) -> None:
    messages = [delivered(one, f"r{index}") for index, one in enumerate(sent)]
    repeats = data.draw(st.lists(st.sampled_from(messages), max_size=8)) if messages else []
    shuffled = data.draw(st.permutations([*messages, *repeats]))
    cuts = data.draw(st.lists(st.integers(0, len(shuffled)), max_size=4))

    in_order = process_in_batches(messages, [])
    disturbed = process_in_batches(shuffled, cuts)
    assert disturbed.latest.states == in_order.latest.states
    assert disturbed.archive.objects == in_order.archive.objects
    assert not disturbed.quarantine.messages


@given(sequences=st.lists(st.integers(0, 50), min_size=1), data=st.data())
def test_a_stream_alone_ends_with_its_highest_sequence_whatever_its_clock_did(
    sequences: list[int], data: st.DataObject
) -> None:
    def at(sequence: int) -> Reading:
        return reading(stream_id="s", sequence=sequence, timestamp=NOW + timedelta(seconds=clock[sequence]))

    clock = {sequence: data.draw(offsets) for sequence in sequences}
    messages = [delivered(at(sequence), f"r{index}") for index, sequence in enumerate(sequences)]
    cuts = data.draw(st.lists(st.integers(0, len(messages)), max_size=4))
    stores = process_in_batches(messages, cuts)
    assert stores.latest.states["station-01"].sequence == max(sequences)


def state(one: Reading) -> LatestState:
    return state_of(one, decode_envelope(delivered(one).body))


def test_at_the_same_moment_the_name_of_the_stream_decides() -> None:
    seed, first, second = (
        state(reading(**place))
        for place in ({}, {"stream_id": "a", "sequence": 7}, {"stream_id": "b", "sequence": 1})
    )
    assert supersedes(first, seed)
    assert not supersedes(seed, first)
    assert supersedes(second, first)
    assert not supersedes(first, second)


def test_nothing_supersedes_itself() -> None:
    for one in (reading(), reading(stream_id="a", sequence=7)):
        assert not supersedes(state(one), state(one))
