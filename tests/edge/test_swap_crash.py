"""kill -9 at every step of a swap: it goes on in the next process, and every event is in the outbox once.

What the station told, event by event, comes to what stands in its bays.
"""

import asyncio
import json
import multiprocessing
import signal
from pathlib import Path
from typing import Any

import pytest

from evswap_edge.clock import SystemTime
from evswap_edge.outbox import Outbox
from evswap_schema import Event, InventoryEvent, SwapEvent, decode_event
from tests.edge import swap_process as process
from tests.edge.swapping import STATION, ledger

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([process.__name__])
BAYS = {"1": None, "2": "EVS-2", "3": None}
CALLS = {"commit": 6, "place": 3, "append_event": 3, "paid": 3, "unlock": 2}
"""How often each step is done in the life of a process that nobody kills; see the test of that."""
POINTS = [
    (name, nth, when)
    for name, often in CALLS.items()
    for nth in range(1, often + 1)
    for when in ("before", "after")
]
AGAIN = [("commit", 1, "after"), ("place", 1, "after"), ("append_event", 1, "after"), ("unlock", 1, "after")]


def run(folder: Path, point: process.Point) -> int:
    life: Any = PROCESSES.Process(target=process.live, args=(str(folder), point))
    life.start()
    life.join(60)
    assert life.exitcode in {0, -signal.SIGKILL}
    return int(life.exitcode)


async def events(folder: Path) -> list[Event]:
    outbox = await Outbox.open(folder / "outbox.sqlite", station_id=STATION, time=SystemTime())
    try:
        return [decode_event(one.body) for one in await outbox.take_events(1_000)]
    finally:
        await outbox.aclose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / process.TRUTH).write_text(json.dumps(BAYS))
    return tmp_path


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point[2]} {point[0]} {point[1]}")
def test_a_swap_survives_its_process(folder: Path, point: process.Point) -> None:
    assert run(folder, point) == -signal.SIGKILL
    assert_swapped_once(folder)


@pytest.mark.parametrize("second", AGAIN, ids=lambda point: point[0])
@pytest.mark.parametrize("first", AGAIN, ids=lambda point: point[0])
def test_so_it_does_one_whose_successor_is_killed_too(
    folder: Path, first: process.Point, second: process.Point
) -> None:
    run(folder, first)
    run(folder, second)
    assert_swapped_once(folder)


def assert_swapped_once(folder: Path) -> None:
    """When the process that comes now is done."""
    assert run(folder, process.NOWHERE) == 0
    told = asyncio.run(events(folder))
    steps = [(one.step, one.batteries[0].serial_number) for one in told if isinstance(one, SwapEvent)]
    assert steps == [("battery_in", process.OLD), ("battery_out", "EVS-2")]
    assert {str(bay): serial for bay, serial in ledger(told).items()} == process.truth(folder)
    assert not [one for one in told if isinstance(one, InventoryEvent) and one.reason == "contradicted"]
    assert (folder / process.ORDERS).read_text().split() == ["1", "2"], "no door is opened twice"


def test_these_are_all_the_steps_there_are(folder: Path) -> None:
    for name, often in CALLS.items():
        for file in folder.iterdir():
            file.unlink()
        (folder / process.TRUTH).write_text(json.dumps(BAYS))
        assert run(folder, (name, often + 1, "before")) == 0
