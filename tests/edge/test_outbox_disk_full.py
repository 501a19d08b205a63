"""A disk that is really full, or read-only: sampling goes on, deliveries are noted, nothing is lost."""

import itertools
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from evswap_edge.outbox import Bounds, Sample, TroubleKind
from evswap_edge.outbox.operations import Forget, Learn, Take
from evswap_edge.outbox.records import Item, Kind
from evswap_edge.testing import ManualTime
from tests.conftest import SkipAloud
from tests.edge.outboxes import ALL, OFFSET_S, ask, free, keeper, sample

BOUNDS = Bounds()
LATER_S = 60.0


@pytest.fixture
def disk(tmp_path: Path, skip_aloud: SkipAloud) -> Iterator[Path]:
    """A file system of 5 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=5m", "evswap-test", str(folder)]
    may = os.geteuid() == 0 and shutil.which("mount") is not None
    if not may or subprocess.run(mount, check=False).returncode:
        skip_aloud("a file system of a given size can be mounted by root alone", could_run=False)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


class Station:
    """Stores samples on that disk, and knows what it was told to be stored."""

    def __init__(self, disk: Path) -> None:
        self.path = disk / "outbox.sqlite"
        self.time = ManualTime()
        self.keeper = keeper(self.path, BOUNDS, time=self.time)
        self.bodies: dict[tuple[str, int], bytes] = {}
        self.delivered: dict[tuple[str, int], bytes] = {}
        self.random = random.Random(4)

    def store(self, count: int = 1) -> list[Sample]:
        stored: list[Sample] = ask(self.keeper, *[sample(self.random.randbytes(2_000)) for _ in range(count)])
        for item in stored:
            assert (item.stream_id, item.sequence) not in self.bodies
            self.bodies[item.stream_id, item.sequence] = item.body
        return stored

    def store_until_full(self) -> None:
        while self.keeper.standing.trouble is None:
            self.store(10)

    def deliver(self, limit: int = ALL) -> list[Item]:
        (taken,) = ask(self.keeper, Take(Kind.SAMPLE, limit))
        for item in taken:
            name = (item.stream_id, item.sequence)
            assert name not in self.delivered, "given twice"
            self.delivered[name] = item.body
        ask(self.keeper, Forget([item.ticket for item in taken]))
        return list(taken)

    def wait(self) -> None:
        self.time.stall(LATER_S)
        ask(self.keeper, Forget([]))

    def restart(self) -> None:
        self.keeper.close()
        self.keeper = keeper(self.path, BOUNDS, time=self.time)


@pytest.fixture
def station(disk: Path) -> Iterator[Station]:
    station = Station(disk)
    yield station
    station.keeper.close()


def fill(disk: Path) -> Path:
    """Somebody else takes all that is left."""
    filler = disk / "log-of-somebody-else"
    with filler.open("ab", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue
    return filler


def test_a_disk_filled_during_an_outage_loses_nothing(station: Station) -> None:
    station.store_until_full()
    trouble = station.keeper.standing.trouble
    assert trouble is not None
    assert trouble.kind is TroubleKind.FULL
    station.store(200)
    assert station.keeper.standing.losses.volatile == 0
    station.deliver()
    assert station.delivered == station.bodies
    station.wait()
    assert station.keeper.standing.trouble is None


def test_what_was_delivered_while_the_disk_was_full_is_not_sent_again(station: Station) -> None:
    station.store_until_full()
    station.store(20)
    delivered = station.deliver(limit=300)
    assert len(delivered) == 300
    station.keeper._shelves._disk.close()  # type: ignore[union-attr]  # killed: memory is gone
    station.keeper = keeper(station.path, BOUNDS, time=station.time)
    waiting = {(item.stream_id, getattr(item, "sequence", None)) for item in free(station.keeper)}
    assert not waiting & station.delivered.keys()
    assert len(waiting) >= len(station.bodies) - 300 - 30


def test_a_disk_filled_by_somebody_else_and_freed_again(disk: Path, station: Station) -> None:
    station.store(300)
    filler = fill(disk)
    station.store_until_full()
    station.store(50)
    assert station.keeper.standing.waiting.samples == len(station.bodies)
    taken = station.deliver(limit=100)
    assert station.keeper.standing.waiting.samples == len(station.bodies) - len(taken)
    filler.unlink()
    station.wait()
    assert station.keeper.standing.trouble is None
    station.restart()
    station.deliver()
    assert station.delivered == station.bodies


def test_new_things_use_what_deliveries_leave_though_the_disk_stays_full(
    disk: Path, station: Station
) -> None:
    station.store(900)
    fill(disk)
    station.store_until_full()
    station.deliver(limit=800)
    fill(disk)
    station.wait()
    assert station.keeper.standing.trouble is None
    station.store(300)
    assert station.keeper.standing.trouble is None
    station.restart()
    station.deliver()
    assert station.delivered == station.bodies


def test_a_station_starts_on_a_full_disk(disk: Path, station: Station) -> None:
    station.store(300)
    station.keeper.close()
    filler = fill(disk)
    station.keeper = keeper(station.path, BOUNDS, time=station.time)
    station.store(100)
    station.deliver(limit=200)
    filler.unlink()
    station.wait()
    assert station.keeper.standing.trouble is None
    station.restart()
    station.deliver()
    assert station.delivered == station.bodies


def test_a_new_station_on_a_full_disk_begins_in_memory(disk: Path) -> None:
    filler = fill(disk)
    station = Station(disk)
    station.store(10)
    trouble = station.keeper.standing.trouble
    assert trouble is not None
    assert trouble.kind is TroubleKind.FULL
    station.deliver(limit=3)
    filler.unlink()
    station.wait()
    assert station.keeper.standing.trouble is None
    station.store(5)
    station.restart()
    station.deliver()
    assert station.delivered == station.bodies
    station.keeper.close()


def test_a_station_at_work_asks_for_a_disk_that_it_could_not_open(disk: Path) -> None:
    """What waits to be told to the disk, here the true time, puts that off no further."""
    filler = fill(disk)
    station = Station(disk)
    ask(station.keeper, Learn("boot", OFFSET_S))
    filler.unlink()
    for _ in range(int(LATER_S)):
        station.time.stall(1.0)
        station.store()
    assert station.keeper.standing.trouble is None
    assert station.keeper.offset_of("boot") == OFFSET_S
    station.deliver()
    assert station.delivered == station.bodies
    station.keeper.close()


def test_a_read_only_disk_is_waited_for_in_memory(disk: Path) -> None:
    first = Station(disk)
    first.store(30)
    first.keeper.close()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    second = Station(disk)
    second.bodies = first.bodies
    trouble = second.keeper.standing.trouble
    assert trouble is not None
    assert trouble.kind is TroubleKind.READ_ONLY
    second.store(10)
    assert len(second.deliver(limit=4)) == 4
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    second.wait()
    assert second.keeper.standing.trouble is None
    second.store(5)
    second.restart()
    second.deliver()
    assert second.delivered == second.bodies
    second.keeper.close()


def test_the_memory_has_a_bound_too_and_what_it_costs_is_counted(disk: Path) -> None:
    station = Station(disk)
    station.keeper.close()
    station.keeper = keeper(station.path, Bounds(max_memory_bytes=200_000), time=station.time)
    station.store_until_full()
    for _ in itertools.repeat(None, 40):
        station.store(10)
    lost = station.keeper.standing.losses.volatile
    assert lost > 0
    station.deliver()
    assert len(station.delivered) == len(station.bodies) - lost
    station.wait()
    station.restart()
    assert station.keeper.standing.losses.volatile == lost
    station.keeper.close()
