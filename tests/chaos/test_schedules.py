"""Random schedules of faults against real stations and real brokers, and bugs that they have to find.

A sample with the seed of the day; all of them with EVSWAP_CHAOS=full. EVSWAP_CHAOS_SEED gives another seed.
Each schedule prints what it did and counted, and, where it failed, the command that plays it again.
"""

import asyncio
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from tests.chaos.plants import Plant
from tests.chaos.play import can_mount
from tests.chaos.run import Outcome, run
from tests.chaos.schedule import TRANSPORTS, Broker, Fault, Schedule, Step, draw, seed_of
from tests.conftest import SkipAloud
from tests.mosquitto import MISSING, find_mosquitto

FULL: Final = os.environ.get("EVSWAP_CHAOS") == "full"
SCHEDULES: Final = 240 if FULL else 20
AT_ONCE: Final = 5
SEED: Final = int(os.environ.get("EVSWAP_CHAOS_SEED") or seed_of(datetime.now(UTC).date()))

# paho leaves a socket, whose handshake a stopping broker ended, to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")


@pytest.fixture(autouse=True)
def _broker(skip_aloud: SkipAloud) -> None:
    if find_mosquitto() is None:
        skip_aloud(MISSING, could_run=True)


@pytest.mark.timeout(3_600 if FULL else 170)
def test_nothing_is_lost_doubled_or_shuffled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schedules = [schedule for number in range(SCHEDULES) if possible(schedule := draw(SEED, number))]
    with capsys.disabled():
        print(f"\nchaos: seed {SEED}, {len(schedules)} schedules of {SCHEDULES}")
        outcomes = asyncio.run(run(schedules, tmp_path, at_once=AT_ONCE, say=print))
        print(summary(outcomes))
    assert [str(outcome) for outcome in outcomes if not outcome.is_good()] == []
    assert sum(outcome.verdict.committed for outcome in outcomes) > len(schedules)


def test_the_disk_is_filled_for_real(skip_aloud: SkipAloud) -> None:
    """Otherwise the schedules with a full disk were left out above."""
    if not can_mount():
        skip_aloud("nobody but root can make a small disk and fill it", could_run=False)


@pytest.mark.skipif(not FULL, reason="keep-alive takes 25 s; make chaos plays it")
def test_a_link_that_died_silently_is_found_within_its_keep_alive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """15 s, the least that can be configured, and 10 s for the broker's answer; patience is 20 s beyond the
    step's own."""
    schedules = [
        Schedule(
            seed=3,
            number=number,
            transport=transport,
            mode="on-change",
            broker=Broker.MOSQUITTO,
            seconds=20,
            steps=(Step(0.5, 19.0, Fault.LINK_DIES_SILENTLY),),
        )
        for number, transport in enumerate(TRANSPORTS)
    ]
    outcomes = asyncio.run(run(schedules, tmp_path))
    with capsys.disabled():
        print("", *outcomes, sep="\n")
    assert [outcome.verdict.faults for outcome in outcomes] == [[], []]
    assert [outcome.verdict.connections for outcome in outcomes] == [2, 2]


@pytest.mark.parametrize("plant", Plant)
def test_a_planted_bug_is_found(plant: Plant, tmp_path: Path) -> None:
    """The same schedule without the bug ends well."""
    [sound, sick] = asyncio.run(both(scenery(plant), plant, tmp_path))
    assert sound.verdict.faults == []
    assert any(FINDINGS[plant] in fault for fault in sick.verdict.faults), str(sick)


async def both(schedule: Schedule, plant: Plant, folder: Path) -> list[Outcome]:
    runs = await asyncio.gather(
        run([schedule], folder / "sound"),
        run([schedule], folder / "sick", plant=plant, is_patient=False),
    )
    return [outcomes[0] for outcomes in runs]


FINDINGS: Final = {
    Plant.ACKNOWLEDGES_EARLY: "lost",
    Plant.SENDS_AGAIN: "sent again",
    Plant.REVERSES: "order of",
}


def scenery(plant: Plant) -> Schedule:
    """A schedule in which the bug has consequences."""
    steps = {
        Plant.ACKNOWLEDGES_EARLY: (Step(0.5, 1.0, Fault.LINK_SWALLOWS), Step(1.2, 0.2, Fault.STATION_KILLED)),
        Plant.SENDS_AGAIN: (Step(2.0, 0.2, Fault.LINK_CUT),),
        Plant.REVERSES: (Step(0.5, 0.5, Fault.LINK_LATE),),
    }
    return Schedule(
        seed=0,
        number=list(Plant).index(plant),
        transport="aws-iot",
        mode="every-sample",
        broker=Broker.RECORDER,
        seconds=2.5,
        steps=steps[plant],
        interval_s=0.05,
    )


def test_a_seed_tells_one_story() -> None:
    assert [draw(7, number) for number in range(50)] == [draw(7, number) for number in range(50)]
    assert len({str(draw(7, number)) for number in range(50)}) == 50


def test_each_day_of_a_year_has_a_seed_of_its_own() -> None:
    days = [date(2026, 1, 1) + timedelta(days=day) for day in range(365)]
    assert len({seed_of(day) for day in days}) == 365


def test_every_fault_has_its_share() -> None:
    drawn = [draw(7, number) for number in range(200)]
    seen = {fault for fault in Fault if any(schedule.has(fault) for schedule in drawn)}
    assert seen == set(Fault) - {Fault.LINK_DIES_SILENTLY}


def possible(schedule: Schedule) -> bool:
    return can_mount() or not schedule.has(Fault.DISK_FULL)


def summary(outcomes: list[Outcome]) -> str:
    verdicts = [outcome.verdict for outcome in outcomes]
    bad = sum(not outcome.is_good() for outcome in outcomes)
    return (
        f"chaos: {len(outcomes)} schedules, {bad} failed;"
        f" {sum(one.committed for one in verdicts)} committed,"
        f" {sum(one.messages for one in verdicts)} messages,"
        f" {sum(one.repeated for one in verdicts)} sent again over"
        f" {sum(one.connections for one in verdicts)} connections"
    )
