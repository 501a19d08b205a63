"""The outbox as a station uses it: many callers, one disk, other processes, and being killed."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evswap_edge.outbox import (
    Bounds,
    Losses,
    Outbox,
    OutboxClosed,
    OutboxDamaged,
    OutboxError,
    OutboxInUse,
    OutboxRefused,
    OutboxTooNew,
    StorageTrouble,
    machine_name,
)
from evswap_edge.outbox.disk import DiskStore
from evswap_edge.outbox.operations import Seal
from evswap_edge.outbox.store import Changes
from evswap_edge.testing import ManualTime
from evswap_schema import Clock, Reading, encode_reading
from tests.edge.conftest import MakeReading
from tests.edge.outboxes import SMALLEST, StubbornDisk, ask, keeper, parcel_of, sample, size, stamp

PATIENCE_S = 30.0


def numbered(stream_id: str, sequence: int) -> bytes:
    return b"%d" % sequence


@asynccontextmanager
async def opened(path: Path, **options: Any) -> AsyncIterator[Outbox]:
    outbox = await Outbox.open(path, **{"station_id": "station-01", "time": ManualTime(), **options})
    yield outbox
    await outbox.aclose()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


async def test_what_many_ask_for_at_once_is_one_commit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[int] = []
    write = DiskStore.write

    def counting(store: DiskStore, changes: Changes) -> None:
        commits.append(len(changes.samples))
        write(store, changes)

    monkeypatch.setattr(DiskStore, "write", counting)
    async with opened(path) as outbox:
        stored = await asyncio.gather(*[outbox.append(numbered, stamp=stamp()) for _ in range(100)])
    assert [sample.sequence for sample in stored] == list(range(1, 101))
    assert sum(commits) == 100
    assert len(commits) <= 3


async def test_who_asks_on_when_he_is_answered_shares_a_commit_with_what_came_before(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[tuple[int, int]] = []
    is_writing, may_go_on = asyncio.Event(), threading.Event()
    loop, write = asyncio.get_running_loop(), DiskStore.write

    def slow(store: DiskStore, changes: Changes) -> None:
        commits.append((len(changes.samples), len(changes.events)))
        loop.call_soon_threadsafe(is_writing.set)
        assert may_go_on.wait(PATIENCE_S)
        write(store, changes)

    async def append_two() -> None:
        for _ in range(2):
            await outbox.append(numbered, stamp=stamp())

    async with opened(path) as outbox:
        monkeypatch.setattr(DiskStore, "write", slow)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(append_two())
            await is_writing.wait()
            tasks.create_task(outbox.append_event(numbered, stamp=stamp()))
            loop.call_soon(may_go_on.set)
    assert commits == [(1, 0), (1, 1)]


def test_new_samples_share_a_commit_with_however_much_leaves(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = keeper(path)
    stored = ask(outbox, *[sample() for _ in range(1_400)])
    commits: list[tuple[int, int]] = []
    write = DiskStore.write

    def counting(store: DiskStore, changes: Changes) -> None:
        commits.append((len(changes.sealed), len(changes.samples)))
        write(store, changes)

    monkeypatch.setattr(DiskStore, "write", counting)
    shares = [stored[:700], stored[700:]]
    seals = [Seal(share, [parcel_of(share)]) for share in shares]
    ask(outbox, seals[0], *[sample() for _ in range(3)], seals[1], sample())
    assert commits == [(700, 3), (700, 1)]
    outbox.close()


async def test_one_that_fails_takes_no_number_and_fails_alone(path: Path) -> None:
    def fails(stream_id: str, sequence: int) -> bytes:
        return bytes(sequence // 0)

    def too_large(stream_id: str, sequence: int) -> bytes:
        return bytes(SMALLEST.max_bytes)

    async with opened(path, bounds=SMALLEST) as outbox:
        bodies = [numbered, fails, numbered, too_large, numbered]
        outcomes = await asyncio.gather(
            *[outbox.append(body, stamp=stamp()) for body in bodies], return_exceptions=True
        )
        kinds = [type(outcome).__name__ for outcome in outcomes]
        assert kinds == ["Sample", "ZeroDivisionError", "Sample", "OutboxRefused", "Sample"]
        assert [item.body for item in await outbox.open_samples(9)] == [b"1", b"2", b"3"]


async def test_a_caller_that_is_cancelled_disturbs_nobody(path: Path) -> None:
    async with opened(path) as outbox:
        tasks = [asyncio.create_task(outbox.append(numbered, stamp=stamp())) for _ in range(9)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await outbox.append(numbered, stamp=stamp())
        stored = await outbox.open_samples(99)
    bodies = [sample.body for sample in stored]
    assert bodies == [b"%d" % number for number in range(1, len(stored) + 1)]
    assert len(stored) >= 5


async def test_closing_waits_for_what_was_asked_for(path: Path) -> None:
    outbox = await Outbox.open(path, station_id="station-01", time=ManualTime())
    tasks = [asyncio.create_task(outbox.append(numbered, stamp=stamp())) for _ in range(20)]
    await asyncio.sleep(0)
    await outbox.aclose()
    assert all(task.done() for task in tasks)
    await asyncio.gather(*tasks)
    with pytest.raises(OutboxClosed):
        await outbox.append(numbered, stamp=stamp())
    await outbox.aclose()
    async with opened(path) as again:
        assert again.waiting.samples == 20


async def test_a_sample_comes_back_as_it_was_stored(path: Path, make_reading: MakeReading) -> None:
    small, large = b'{"small": 1}', bytes(range(256)) * 30
    marks = stamp(2.5, boot_id="boot-1", clock=Clock.ESTIMATED)
    async with opened(path) as outbox:
        given = [
            await outbox.append(lambda *_: small, stamp=marks, changed=True),
            await outbox.append(lambda *_: large, stamp=stamp()),
        ]
        assert outbox.newest() == given[1]
        event = await outbox.append_event(lambda *_: b"swap", stamp=marks)
    async with opened(path) as outbox:
        assert outbox.newest() == given[1]
        assert await outbox.take_samples(9) == given
        assert await outbox.take_events(9) == [event]
        assert outbox.waiting.oldest == marks


async def test_what_is_lent_is_given_to_nobody_else_until_it_comes_back(path: Path) -> None:
    async with opened(path) as outbox:
        for _ in range(4):
            await outbox.append(numbered, stamp=stamp())
        first = await outbox.take_samples(2)
        second = await outbox.take_samples(9)
        assert [item.sequence for item in (*first, *second)] == [1, 2, 3, 4]
        assert await outbox.take_samples(9) == await outbox.open_samples(9) == []
        outbox.release([second[0].ticket, first[1].ticket])
        assert [item.sequence for item in await outbox.open_samples(9)] == [2, 3]
        assert [item.sequence for item in await outbox.take_samples(9)] == [2, 3]
        await outbox.acknowledge([item.ticket for item in (*first, *second)])
        assert outbox.waiting.samples == 0


async def test_backlog_is_what_was_there_when_it_was_marked(path: Path) -> None:
    async def one_more(outbox: Outbox) -> None:
        sample = await outbox.append(numbered, stamp=stamp())
        await outbox.seal([sample], [parcel_of([sample], numbered("", sample.sequence))])

    async def bodies(outbox: Outbox, *, backlog: bool) -> list[bytes]:
        return [parcel.body for parcel in await outbox.take_parcels(9, backlog=backlog)]

    async with opened(path) as outbox:
        await one_more(outbox)
    async with opened(path) as outbox:
        await one_more(outbox)
        assert await bodies(outbox, backlog=True) == [b"1"]
        outbox.mark_backlog()
        await one_more(outbox)
        assert await bodies(outbox, backlog=False) == [b"3"]
        assert await bodies(outbox, backlog=True) == [b"2"]


async def test_a_lent_sample_is_not_put_into_a_parcel(path: Path) -> None:
    async with opened(path) as outbox:
        await outbox.append(numbered, stamp=stamp())
        samples = await outbox.take_samples(1)
        with pytest.raises(OutboxRefused, match="is being sent"):
            await outbox.seal(samples, [parcel_of(samples)])


async def test_a_reading_larger_than_a_batch_becomes_several_parcels_at_once(path: Path) -> None:
    async with opened(path) as outbox:
        sample = await outbox.append(numbered, stamp=stamp())
        parts = await outbox.seal([sample], [parcel_of([sample], b"part 1"), parcel_of([sample], b"part 2")])
        assert [(part.first, part.last) for part in parts] == [(1, 1), (1, 1)]
        assert outbox.waiting.samples == 0


async def test_a_true_offset_is_remembered(path: Path) -> None:
    async with opened(path) as outbox:
        assert outbox.offset_of("boot") is None
        await outbox.append(numbered, stamp=stamp())
        await outbox.learn_offset("boot", 12.5)
    async with opened(path) as outbox:
        assert outbox.offset_of("boot") == 12.5


async def test_whoever_wants_to_know_is_told_of_trouble_its_end_and_losses(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, time = StubbornDisk(monkeypatch), ManualTime()
    troubles: list[StorageTrouble | None] = []
    losses: list[Losses] = []
    bounds = Bounds(max_memory_bytes=3_000)
    options = {"time": time, "bounds": bounds, "on_trouble": troubles.append, "on_loss": losses.append}
    async with opened(path, **options) as outbox:
        durable = outbox.stream_id
        await outbox.append(numbered, stamp=stamp())
        disk.takes_new = False
        held = [await outbox.append(numbered, stamp=stamp()) for _ in range(12)]
        assert {sample.stream_id for sample in held} == {outbox.stream_id}
        assert outbox.stream_id != durable
        assert [trouble.kind for trouble in troubles if trouble] == ["full"]
        assert losses[-1].volatile == outbox.losses.volatile > 0
        disk.takes_new = True
        time.stall(10)
        back = await outbox.append(numbered, stamp=stamp())
        assert troubles[1:] == [None]
        assert (back.stream_id, back.sequence) == (durable, 2)
        assert outbox.waiting.samples == 14 - outbox.losses.volatile


async def test_age_is_judged_only_where_the_time_is_certain(path: Path) -> None:
    time = ManualTime()
    old = stamp(-40 * 86_400.0)
    unsure = stamp(-40 * 86_400.0, boot_id="another", clock=Clock.ESTIMATED)
    async with opened(path, time=time, bounds=Bounds(max_age_days=30)) as outbox:
        time.clock_state = Clock.ESTIMATED
        for when in (old, unsure, stamp()):
            await outbox.append(numbered, stamp=when)
        await outbox.append_event(numbered, stamp=old)
        time.stall(100)
        assert len(await outbox.open_samples(9)) == 3
        time.clock_state = Clock.SYNCHRONIZED
        time.stall(100)
        await outbox.open_samples(9)
        assert [sample.stamp for sample in await outbox.open_samples(9)] == [unsure, stamp()]
        await outbox.learn_offset("another", unsure.offset_s)
        time.stall(100)
        await outbox.open_samples(9)
        assert [sample.stamp for sample in await outbox.open_samples(9)] == [stamp()]
        assert outbox.losses.samples == 2
        assert outbox.waiting.events == 1


async def test_a_bound_that_was_made_smaller_is_kept_from_the_start(path: Path) -> None:
    async with opened(path, bounds=Bounds(max_bytes=16 * 1024 * 1024)) as outbox:
        for _ in range(40):
            await outbox.append(lambda *_: os.urandom(120_000), stamp=stamp())
        await outbox.append_event(numbered, stamp=stamp())
    assert size(path) > SMALLEST.max_bytes
    async with opened(path, bounds=SMALLEST) as outbox:
        await outbox.append(numbered, stamp=stamp())
        assert outbox.losses.samples > 0
        assert outbox.waiting.events == 1
    assert size(path) <= SMALLEST.max_bytes


async def test_a_second_process_is_refused_with_the_pid_of_the_first(path: Path) -> None:
    async with opened(path):
        with pytest.raises(OutboxInUse, match=f"in use by process {os.getpid()}") as refused:
            await Outbox.open(path, station_id="station-01", time=ManualTime())
        assert refused.value.holder == str(os.getpid())
    async with opened(path):
        pass


async def test_a_cloned_file_and_a_renamed_station_begin_streams_of_their_own(path: Path) -> None:
    streams, events = [], []
    for station_id, machine in (("a", "m1"), ("a", "m1"), ("a", "m2"), ("b", "m2"), ("a", "m1")):
        async with opened(path, station_id=station_id, machine=machine) as outbox:
            streams.append((await outbox.append(numbered, stamp=stamp())).stream_id)
            events.append((await outbox.append_event(numbered, stamp=stamp())).stream_id)
    assert streams[0] == streams[1]
    assert len(set(streams)) == len(set(events)) == 4
    assert not set(streams) & set(events)


async def test_sequence_goes_on_growing_in_an_emptied_file(path: Path) -> None:
    for expected in (1, 2, 3):
        async with opened(path) as outbox:
            sample = await outbox.append(numbered, stamp=stamp())
            assert sample.sequence == expected
            await outbox.acknowledge([sample.ticket])


async def test_a_file_of_a_later_version_is_left_alone(path: Path) -> None:
    async with opened(path):
        pass
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(OutboxTooNew, match="schema 99"):
        await Outbox.open(path, station_id="station-01", time=ManualTime())


async def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxError, match="cannot write"):
        await Outbox.open(tmp_path / "file" / "outbox.sqlite", station_id="station-01", time=ManualTime())


def test_every_commit_reaches_the_disk(path: Path) -> None:
    store = DiskStore(path, station_id="station-01", machine="m", bounds=Bounds())
    asked = {
        name: store._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
    }
    store.close()
    assert asked == {"journal_mode": "wal", "synchronous": 2}  # FULL


def test_a_store_leaves_what_is_no_database_alone(path: Path) -> None:
    path.write_bytes(b"something else entirely" * 100)
    with pytest.raises(OutboxDamaged, match="not a database"):
        DiskStore(path, station_id="station-01", machine="m", bounds=Bounds())
    assert path.read_bytes().startswith(b"something else")


def test_the_machine_is_named_by_a_hash_that_stays() -> None:
    assert machine_name() == machine_name()
    machine_id = Path("/etc/machine-id")
    if machine_id.exists():
        assert machine_id.read_text().strip() not in machine_name().replace("-", "")


APPENDER = """
import asyncio, sys
from pathlib import Path
from evswap_edge.clock import SystemTime, stamp_now
from evswap_edge.outbox import Outbox

async def one(outbox, time):
    while True:
        sample = await outbox.append(lambda stream_id, sequence: b"x" * 300, stamp=stamp_now(time))
        print(sample.sequence, flush=True)

async def main():
    time = SystemTime()
    outbox = await Outbox.open(Path(sys.argv[1]), station_id="station-01", time=time)
    await asyncio.gather(*[one(outbox, time) for _ in range(5)])

asyncio.run(main())
"""


@pytest.mark.parametrize("lines", [1, 40, 250])
def test_kill_9_loses_no_sample_whose_append_returned(path: Path, lines: int) -> None:
    command = [sys.executable, "-c", APPENDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        promised = [int(next(writer.stdout)) for _ in range(lines)]
        writer.send_signal(signal.SIGKILL)
        promised += [int(line) for line in writer.stdout if line.endswith("\n")]
    stored = asyncio.run(stored_in(path))
    assert set(promised) <= set(stored)
    assert stored == list(range(1, len(stored) + 1))
    assert len(stored) - len(promised) <= 5  # those that were committed and not yet promised


async def stored_in(path: Path) -> Sequence[int]:
    async with opened(path) as outbox:
        return [sample.sequence for sample in await outbox.open_samples(1_000_000)]


V1 = """
CREATE TABLE stream (stream_id TEXT NOT NULL, station_id TEXT NOT NULL, machine TEXT NOT NULL) STRICT;
CREATE TABLE boots (boot INTEGER PRIMARY KEY, boot_id TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE samples (sequence INTEGER PRIMARY KEY AUTOINCREMENT, boot INTEGER NOT NULL REFERENCES boots,
    uptime REAL NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE set_aside (sequence INTEGER PRIMARY KEY, reason TEXT NOT NULL, body BLOB NOT NULL) STRICT;
INSERT INTO stream VALUES ('the-stream', 'station-01', 'machine');
INSERT INTO boots VALUES (1, 'boot-1'), (2, 'boot-2');
INSERT INTO set_aside VALUES (2, 'poison', x'00');
PRAGMA user_version = 1;
"""


async def test_a_file_of_the_first_schema_is_moved_on_and_its_stream_goes_on(
    path: Path, make_reading: MakeReading
) -> None:
    """As the first version of this program made it."""
    readings = [identified(make_reading(number), number) for number in (3, 4)]
    bodies = [*map(encode_reading, readings), b"no reading"]
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(V1)
        rows = [
            (3, 1, 2.5, encode_reading(readings[0])),
            (4, 2, 7.5, encode_reading(readings[1])),
            (5, 2, 8.5, b"no reading"),
        ]
        db.executemany("INSERT INTO samples VALUES (?, ?, ?, ?)", rows)
    db.close()
    async with opened(path, machine="machine") as outbox:
        samples = await outbox.take_samples(9)
        assert [(sample.stream_id, sample.sequence) for sample in samples] == [
            ("the-stream", 3),
            ("the-stream", 4),
            ("the-stream", 5),
        ]
        assert [sample.body for sample in samples] == bodies
        assert [sample.stamp.boot_id for sample in samples] == ["boot-1", "boot-2", "boot-2"]
        assert samples[1].stamp.wall_s == readings[1].timestamp.timestamp()
        assert samples[1].stamp.clock is Clock.SYNCHRONIZED
        assert samples[2].stamp.clock is Clock.ESTIMATED
        assert outbox.waiting.set_aside == 1
        new = await outbox.append(numbered, stamp=stamp())
        assert (new.stream_id, new.sequence) == ("the-stream", 6)
    assert not list(path.parent.glob("*.damaged-*"))


def identified(reading: Reading, sequence: int) -> Reading:
    return msgspec.structs.replace(reading, stream_id="the-stream", sequence=sequence)
