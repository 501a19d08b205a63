"""The same readings make the same history, in whatever order, portions and repetitions they come."""

from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evswap_cloud.compaction import Limits
from evswap_schema import Clock, Reading
from tests.cloud.compaction.history import History, sampled
from tests.cloud.messages import NOW, reading

MIDNIGHT = NOW.replace(hour=0, minute=0, second=0, microsecond=0)

STATIONS = st.sampled_from(["station-01", "station-02", "station-03"])
MOMENTS = st.integers(-6, 1).map(lambda step: MIDNIGHT + timedelta(hours=5 * step))


@st.composite
def streamed(draw: st.DrawFn) -> Reading:
    """Sometimes of a clock that is put right later: the same reading with the times of two days."""
    estimated = draw(st.booleans())
    return sampled(
        draw(st.integers(1, 6)),
        draw(MOMENTS),
        draw(STATIONS),
        clock=Clock.ESTIMATED if estimated else Clock.SYNCHRONIZED,
    )


SEEDS = st.builds(lambda station, at: reading(station_id=station, timestamp=at), STATIONS, MOMENTS)
READINGS = st.lists(streamed() | SEEDS, min_size=1, max_size=10)


def compacted(readings: list[Reading], portions: list[int], singly: list[bool]) -> tuple[Any, ...]:
    """The days' rows after a run for each portion, each file of them sorted."""
    history = History()
    left = list(zip(readings, singly, strict=True))
    for size in [*portions, len(left)]:
        portion, left = left[:size], left[size:]
        for one, single in portion:
            if single or one.sequence is None:
                history.receive_singly(one, NOW)
            else:
                history.receive([one], NOW)
        history.compact(limits=Limits(rows_per_share=3))
    days = history.days()
    for day in history.manifest().days.values():
        for file in day.files:
            places = [(row["station_id"], row["timestamp"]) for row in history.file(file.key)]
            assert places == sorted(places)
    return tuple(sorted((day, sorted(map(repr, rows))) for day, rows in days.items()))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(READINGS, st.data())
def test_any_order_repetition_and_portion_gives_the_same_history(
    readings: list[Reading], data: st.DataObject
) -> None:
    again = data.draw(
        st.permutations([*readings, *data.draw(st.lists(st.sampled_from(readings), max_size=4))])
    )
    portions = data.draw(st.lists(st.integers(1, 5), max_size=2))
    singly = data.draw(st.lists(st.booleans(), min_size=len(again), max_size=len(again)))
    assert compacted(readings, [], [False] * len(readings)) == compacted(again, portions, singly)
