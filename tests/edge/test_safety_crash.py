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
from evswap_edge.safety.intent import Intent
from evswap_edge.safety.latch import Kept, latch_beside, read_latch
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


@pytest.mark.parametrize("point", ["before set_charging", "after set_charging", "before write_latch"])
def test_what_was_about_to_be_cut_is_locked_out_though_the_danger_went_before_it_was_kept(
    tmp_path: Path, point: str
) -> None:
    """Otherwise the charger would stay off, and nobody would know why, or that there was danger."""
    process.put(tmp_path, warmth=70.0, enabled=True)
    assert run(tmp_path, point) == -signal.SIGKILL
    assert not latched(tmp_path)
    process.put(tmp_path, warmth=25.0, enabled=process.charges(tmp_path, 1))
    assert run(tmp_path, process.NOWHERE) == 0
    assert not process.charges(tmp_path, 1)
    assert latched(tmp_path) == {1}
    assert asyncio.run(told(tmp_path)) == [("safety_over_temperature", 1, "raised")]


def test_what_is_kept_is_noted_nowhere_else(tmp_path: Path) -> None:
    process.put(tmp_path, warmth=70.0, enabled=True)
    assert run(tmp_path, process.NOWHERE) == 0
    assert not Intent(tmp_path / "outbox.sqlite").left()


def test_a_note_is_believed_of_nobody_else_and_only_whole(tmp_path: Path) -> None:
    kept = Kept(latched={3: {Cause.SMOKE: "seen"}})
    intent = Intent(tmp_path / "outbox.sqlite", memory=tmp_path)
    assert not intent.left()
    intent.note(Kept(latched={2: {Cause.FAULT: "seen"}}))
    intent.note(kept)
    assert intent.left() == kept.latched
    assert not Intent(tmp_path / "another.sqlite", memory=tmp_path).left()
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_bytes(file.read_bytes()[:-1])
    assert not intent.left()
    intent.forget()
    intent.forget()
    Intent(tmp_path / "outbox.sqlite", memory=tmp_path / "absent").note(kept)
    assert not list(tmp_path.iterdir())
