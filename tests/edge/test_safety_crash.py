"""kill -9 at every step between danger and a latch that is kept: what was cut stays cut, and what is
dangerous is locked out by the next process at the latest."""

import asyncio
import multiprocessing
import signal
from pathlib import Path
from typing import Any

import pytest

from evswap_edge.clock import SystemTime
from evswap_edge.outbox import Outbox
from evswap_edge.safety.deciding import Cause
from evswap_edge.safety.latch import latch_beside, read_latch
from evswap_schema import AlarmEvent, decode_event
from tests.edge import safety_process as process
from tests.edge.interlocking import STATION

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([process.__name__])


def run(folder: Path, point: str) -> int:
    life: Any = PROCESSES.Process(target=process.live, args=(str(folder), point))
    life.start()
    life.join(60)
    assert life.exitcode in {0, -signal.SIGKILL}
    return int(life.exitcode)


def latched(folder: Path) -> set[int]:
    return set(read_latch(latch_beside(folder / "outbox.sqlite")).latched)


async def told(folder: Path) -> list[tuple[str, int | None, str]]:
    outbox = await Outbox.open(folder / "outbox.sqlite", station_id=STATION, time=SystemTime())
    try:
        found = [decode_event(one.body) for one in await outbox.take_events(100)]
    finally:
        await outbox.aclose()
    return [(one.alarm, one.bay, one.state.value) for one in found if isinstance(one, AlarmEvent)]


@pytest.mark.parametrize("point", process.POINTS)
def test_a_cut_survives_its_process(tmp_path: Path, point: str) -> None:
    process.put(tmp_path, warmth=70.0, enabled=True)
    assert run(tmp_path, point) == -signal.SIGKILL
    if point in {"after set_charging", "before write_latch"}:
        assert not process.charges(tmp_path, 1), "the cut comes before the disk"
        assert not latched(tmp_path)
    assert run(tmp_path, process.NOWHERE) == 0
    assert not process.charges(tmp_path, 1)
    assert process.charges(tmp_path, 2)
    assert latched(tmp_path) == {1}
    alarms = asyncio.run(told(tmp_path))
    assert set(alarms) == {("safety_over_temperature", 1, "raised")}


def test_what_is_kept_is_cut_again_though_the_danger_went_with_the_power(tmp_path: Path) -> None:
    process.put(tmp_path, warmth=70.0, enabled=True)
    run(tmp_path, "after write_latch")
    assert latched(tmp_path) == {1}
    process.put(tmp_path, warmth=25.0, enabled=True)
    assert run(tmp_path, process.NOWHERE) == 0
    assert not process.charges(tmp_path, 1)
    kept = read_latch(latch_beside(tmp_path / "outbox.sqlite"))
    assert list(kept.latched[1]) == [Cause.OVER_TEMPERATURE]
