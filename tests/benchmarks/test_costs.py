"""Runs every benchmark and prints its table. No time is asserted: a slow machine is no fault of the code."""

from collections.abc import Callable

import pytest

from tests.benchmarks import cabinet_costs, cloud_costs, edge_costs, shared_costs, transport_costs
from tests.benchmarks.figures import Figure, table
from tests.conftest import SkipAloud
from tests.mosquitto import MISSING, find_mosquitto


@pytest.mark.parametrize(
    "measure",
    [
        shared_costs.measure,
        edge_costs.measure,
        cabinet_costs.measure,
        transport_costs.measure,
        cloud_costs.measure,
    ],
    ids=["shared", "edge", "cabinet", "transports", "cloud"],
)
def test_costs(
    measure: Callable[[], list[Figure]], capsys: pytest.CaptureFixture[str], skip_aloud: SkipAloud
) -> None:
    if measure is transport_costs.measure and find_mosquitto() is None:
        skip_aloud(MISSING, could_run=True)
    figures = measure()
    with capsys.disabled():
        print(f"\n{table(figures)}")
    assert figures
    assert all(each.per_item_us > 0 and each.floor_us > 0 for each in figures)
