"""Not faster than so and so often a second, and not in step with others."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evswap_edge.publisher.pace import Pace
from evswap_edge.testing import ManualTime


def went(pace: Pace, time: ManualTime, seconds: float) -> int:
    """How often one who always wants to go may go within ``seconds``."""
    end, count = time.monotonic() + seconds, 0
    while max(pace.next_at, time.monotonic()) <= end:
        time.stall(max(0.0, pace.next_at - time.monotonic()))
        pace.take()
        count += 1
    return count


def test_without_a_limit_it_is_always_time() -> None:
    time = ManualTime()
    pace = Pace(0, time=time, jitter=random.Random(1))
    pace.pause(3_600)
    for _ in range(1_000):
        assert pace.next_at <= time.monotonic()
        pace.take()


def test_a_burst_goes_at_once_and_then_one_after_another() -> None:
    time = ManualTime()
    pace = Pace(2, burst=10, time=time)
    assert went(pace, time, 0.0) == 10
    assert went(pace, time, 10.0) == 20
    time.stall(3_600)
    assert went(pace, time, 0.0) == 10


@given(per_s=st.floats(0.1, 100), seed=st.integers(0, 2**32))
def test_jitter_changes_the_steps_and_not_the_rate(per_s: float, seed: int) -> None:
    time = ManualTime()
    pace = Pace(per_s, time=time, jitter=random.Random(seed))
    assert went(pace, time, 400 / per_s) == pytest.approx(400, rel=0.15)


def test_two_who_began_in_step_do_not_stay_in_step() -> None:
    time = ManualTime()
    moments = []
    for seed in (1, 2):
        pace = Pace(5, time=time, jitter=random.Random(seed))
        pace.pause(10)
        moments.append(pace.next_at)
    assert abs(moments[0] - moments[1]) > 0.01


@given(longest_s=st.floats(0, 3_600), seed=st.integers(0, 2**32))
def test_a_pause_is_no_longer_than_it_may_be(longest_s: float, seed: int) -> None:
    time = ManualTime()
    pace = Pace(5, time=time, jitter=random.Random(seed))
    pace.pause(longest_s)
    assert 0 <= pace.next_at - time.monotonic() <= longest_s + 1e-6
