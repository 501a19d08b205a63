"""Runs every benchmark and prints its table. No time is asserted: a slow machine is no fault of the code."""

from collections.abc import Callable

import pytest

from tests.benchmarks import cloud_costs, edge_costs, shared_costs
from tests.benchmarks.figures import Figure, table


@pytest.mark.parametrize(
    "measure",
    [shared_costs.measure, edge_costs.measure, cloud_costs.measure],
    ids=["shared", "edge", "cloud"],
)
def test_costs(measure: Callable[[], list[Figure]], capsys: pytest.CaptureFixture[str]) -> None:
    figures = measure()
    with capsys.disabled():
        print(f"\n{table(figures)}")
    assert figures
    assert all(each.per_item_us > 0 and each.floor_us > 0 for each in figures)
