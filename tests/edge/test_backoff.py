"""Backoff doubles its ceiling, spreads evenly below it, and begins anew."""

import random

from hypothesis import given
from hypothesis import strategies as st

from evswap_edge.backoff import Backoff


@given(
    st.floats(min_value=0.01, max_value=10), st.floats(min_value=0.01, max_value=100), st.integers(0, 2**32)
)
def test_waits_stay_below_a_ceiling_that_doubles_up_to_the_cap(
    base_s: float, cap_s: float, seed: int
) -> None:
    backoff = Backoff(base_s=base_s, cap_s=cap_s, chance=random.Random(seed))
    ceiling = base_s
    for _ in range(20):
        assert 0 <= backoff.next_s() <= ceiling
        ceiling = min(ceiling * 2, cap_s)
    backoff.reset()
    assert backoff.next_s() <= base_s


def test_the_jitter_is_full() -> None:
    waits = [Backoff(base_s=1.0, cap_s=1.0, chance=random.Random(seed)).next_s() for seed in range(300)]
    assert min(waits) < 0.1
    assert max(waits) > 0.9
