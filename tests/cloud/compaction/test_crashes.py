"""A run that is killed at any write is repaired by running again, and no reader ever sees half a day."""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import cache, partial
from pathlib import Path

import pytest

from evswap_cloud.compaction import Limits
from evswap_cloud.compaction.manifest import CURRENT
from evswap_cloud.compaction.memory import MemoryObjects
from evswap_cloud.compaction.objects import Document, Listed
from evswap_cloud.errors import HistoryError, Overtaken, Unverified
from tests.cloud.compaction.history import History, run, sampled
from tests.cloud.messages import NOW

GOING = Limits(keep_days=2, rows_per_share=30)


class Killed(Exception):
    """The process is gone."""


class Writes:
    """Counts the writes to both buckets; those after the first ``most`` do not happen."""

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self.count = 0

    def __call__(self, write: Callable[[], None]) -> None:
        if self.count == self.most:
            raise Killed
        self.count += 1
        write()


class Watched:
    """A bucket whose writes are counted one by one; a removal of many is that many writes."""

    def __init__(self, bucket: MemoryObjects, writes: Writes) -> None:
        self._bucket, self._writes = bucket, writes
        self.address = bucket.address

    def every(self, prefix: str) -> Iterable[Listed]:
        return self._bucket.every(prefix)

    def read(self, key: str) -> Document | None:
        return self._bucket.read(key)

    def fetch(self, key: str, path: Path) -> Mapping[str, str]:
        return self._bucket.fetch(key, path)

    def put(self, key: str, path: Path) -> None:
        self._writes(lambda: self._bucket.put(key, path))

    def write(self, key: str, body: bytes) -> None:
        self._writes(lambda: self._bucket.write(key, body))

    def replace(self, key: str, body: bytes, *, expected: str | None) -> None:
        self._writes(lambda: self._bucket.replace(key, body, expected=expected))

    def remove(self, keys: Iterable[str]) -> None:
        for key in list(keys):
            self._writes(partial(self._bucket.remove, [key]))


def begun() -> History:
    """A day that is compacted, late data for it and another day, and originals that are due."""
    history, prepared = History(), _prepared()
    for bucket, there in ((history.archive, prepared.archive), (history.compacted, prepared.compacted)):
        bucket.bodies, bucket.metadata = {**there.bodies}, {**there.metadata}
        bucket.modified = {**there.modified}
    history.now = prepared.now
    return history


@cache
def _prepared() -> History:
    history = History()
    history.receive(run("station-01"))
    history.receive(run("station-02"))
    history.compact(limits=GOING)
    history.now += timedelta(days=2)
    history.receive(run("station-03"))
    history.receive([sampled(13, NOW + timedelta(days=1), "station-01")], NOW + timedelta(days=1))
    return history


@cache
def finished() -> History:
    """The same after a run that nothing happens to."""
    history = begun()
    go_on(history, Writes())
    return history


def go_on(history: History, writes: Writes) -> None:
    history.compact(
        limits=GOING,
        archive=Watched(history.archive, writes),  # type: ignore[arg-type]
        compacted=Watched(history.compacted, writes),  # type: ignore[arg-type]
    )


def identities(history: History) -> dict[str, list[tuple[str, int]]]:
    return {
        day: sorted((row["station_id"], row["sequence"]) for row in rows)
        for day, rows in history.days().items()
    }


def lists(history: History) -> dict[str, bytes]:
    """What Athena reads."""
    return {key: body for key, body in history.compacted.bodies.items() if key.startswith(CURRENT)}


def expected_lists(history: History) -> set[bytes]:
    days = history.manifest().days.values()
    return {b"".join(f"memory://bucket/{file.key}\n".encode() for file in day.files) for day in days}


WRITES = 17


def test_a_run_has_as_many_writes_as_there_are_cases_below() -> None:
    history, writes = begun(), Writes()
    go_on(history, writes)
    assert writes.count == WRITES
    assert len(history.archive.bodies) == 2, "the late data's originals, which are not due"


@pytest.mark.parametrize("most", range(WRITES))
def test_killed_between_any_two_writes_it_is_whole_and_the_next_run_ends_it(most: int) -> None:
    history = begun()
    with pytest.raises(Killed):
        go_on(history, Writes(most))

    either = (identities(begun()), identities(finished()))
    assert identities(history) in either, "the one or the other, never a part"
    assert len(history.archive.bodies) >= 2, "no original goes that is in no file"
    history.compact(limits=GOING)
    assert identities(history) == identities(finished())
    assert set(lists(history).values()) == expected_lists(history)
    assert history.archive.bodies == finished().archive.bodies

    history.now += timedelta(days=3)
    history.compact(limits=GOING)
    left = {key for key in history.compacted.bodies if not key.startswith(("current/", "manifest/"))}
    assert left == history.manifest().keys(), "nothing is left of what was given up"


def test_of_two_compactors_at_once_one_gives_way_and_nothing_is_doubled() -> None:
    history = begun()

    class OvertakenBucket(MemoryObjects):
        def replace(self, key: str, body: bytes, *, expected: str | None) -> None:
            history.compact(limits=GOING)
            history.compacted.replace(key, body, expected=expected)

    slow = OvertakenBucket(lambda: history.now)
    slow.bodies, slow.modified = history.compacted.bodies, history.compacted.modified
    with pytest.raises(Overtaken):
        history.compact(limits=GOING, compacted=slow)
    assert identities(history)["2026-11-23"] == sorted(
        (station, number) for station in ("station-01", "station-02", "station-03") for number in range(1, 13)
    )


class Forgetful(MemoryObjects):
    """Keeps another Parquet file than it is given: an older one of the same size or shape."""

    other: bytes = b""

    def put(self, key: str, path: Path) -> None:
        self.write(key, self.other if self.other and key.startswith("data/") else path.read_bytes())


def test_a_file_that_is_not_what_was_written_is_noticed_before_the_switch() -> None:
    history = History()
    history.receive(run("station-01"))
    history.compact()
    [file] = history.manifest().files()
    swapped = Forgetful(lambda: history.now)
    swapped.other = history.compacted.bodies[file.key]
    history.receive(run("station-02"))
    with pytest.raises(Unverified):
        history.compact(compacted=swapped)
    assert not any(key.startswith("manifest/") for key in swapped.bodies)


def test_a_bucket_that_refuses_ends_the_run_with_its_words() -> None:
    history = History()
    history.receive(run("station-01"))
    history.archive.every = lambda prefix: (_ for _ in ()).throw(  # type: ignore[method-assign]
        HistoryError(operation="list", target=prefix, code="AccessDenied")
    )
    with pytest.raises(HistoryError, match="AccessDenied"):
        history.compact()
