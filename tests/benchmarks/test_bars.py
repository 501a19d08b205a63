"""The bars that the edge has to clear, each beside what it is compared with.

Asserted at full length (`make bench`, `make chaos`), where the machine does nothing else; `make test` sees
that they can still be measured.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.benchmarks import edge_bars, edge_resources
from tests.benchmarks.edge_bars import Bar, bars_table
from tests.benchmarks.figures import FULL
from tests.conftest import SkipAloud
from tests.mosquitto import MISSING, Mosquitto, find_mosquitto

Measure = Callable[[Path, Mosquitto], list[Bar]]


def grown(folder: Path, broker: Mosquitto) -> list[Bar]:
    bar, _ = edge_resources.growth(folder, broker, edge_resources.SAMPLES if FULL else 500)
    return [bar]


MEASUREMENTS: Final[dict[str, Measure]] = {
    "drain": lambda folder, broker: edge_bars.drain_after_an_outage(
        folder, broker, edge_bars.A_DAY if FULL else 720
    ),
    "throughput": lambda folder, broker: edge_bars.throughput(
        folder, broker, edge_bars.A_DAY if FULL else 720, plain_count=5_000 if FULL else 200
    ),
    "live": lambda folder, broker: [edge_bars.live_beside_backlog(folder, broker, 30 if FULL else 2)],
    "memory": lambda folder, broker: [edge_resources.memory(folder, broker)],
    "processor": lambda folder, broker: [edge_resources.processor(folder, broker, 60 if FULL else 2)],
    "growth": grown,
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", MEASUREMENTS)
def test_bar(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], skip_aloud: SkipAloud) -> None:
    if find_mosquitto() is None:
        skip_aloud(MISSING, could_run=True)
    with Mosquitto(tmp_path / "mosquitto", persistence=False) as broker:
        bars = MEASUREMENTS[name](tmp_path, broker)
    with capsys.disabled():
        print(f"\n{bars_table(bars)}")
    assert all(bar.value > 0 for bar in bars)
    if FULL:
        assert [str(bar) for bar in bars if not bar.is_met] == []
