"""The outbox against a model, against other processes, and against being killed."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from evswap_edge.outbox import OutboxDamaged, OutboxFull, OutboxInUse, OutboxTooNew, machine_name
from evswap_edge.outbox.v1 import Outbox


def open_outbox(path: Path, *, station_id: str = "station-01", machine: str = "m", boot: str = "b") -> Outbox:
    return Outbox(path, station_id=station_id, boot_id=boot, machine=machine)


class OutboxModel(RuleBasedStateMachine):
    """Whatever is done to it, in whatever order: what was appended and not acknowledged is there."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.file = self.folder / "outbox.sqlite"
        self.outbox = open_outbox(self.file)
        self.stream_id = self.outbox.stream_id
        self.expected: dict[int, bytes] = {}
        self.aside: dict[int, str] = {}
        self.last = 0

    @rule(body=st.binary(max_size=200))
    def append(self, body: bytes) -> None:
        sequence = self.outbox.append(lambda number: body + str(number).encode(), uptime=1.5)
        assert sequence > self.last
        self.expected[sequence] = body + str(sequence).encode()
        self.last = sequence

    @rule()
    def append_fails(self) -> None:
        with pytest.raises(ZeroDivisionError):
            self.outbox.append(lambda number: bytes(number // 0), uptime=0.0)

    @rule(data=st.data())
    @precondition(lambda self: self.expected)
    def acknowledge(self, data: st.DataObject) -> None:
        some = data.draw(st.sets(st.sampled_from(sorted(self.expected))))
        self.outbox.acknowledge([*some, *([self.last + 7] if some else [])])
        for sequence in some:
            del self.expected[sequence]

    @rule(data=st.data())
    @precondition(lambda self: self.expected)
    def set_aside(self, data: st.DataObject) -> None:
        sequence = data.draw(st.sampled_from(sorted(self.expected)))
        self.outbox.set_aside([sequence], "poison")
        del self.expected[sequence]
        self.aside[sequence] = "poison"

    @rule()
    def reopen(self) -> None:
        self.outbox.close()
        self.outbox = open_outbox(self.file)

    @rule()
    def lose_power(self) -> None:
        """What stands on the disk at this moment, WAL and all, wakes up in another place."""
        copy = Path(tempfile.mkdtemp(dir=self.folder)) / self.file.name
        for suffix in ("", "-wal", "-shm"):
            part = self.file.with_name(self.file.name + suffix)
            if part.exists():
                shutil.copy(part, copy.with_name(copy.name + suffix))
        self.outbox.close()
        self.file = copy
        self.outbox = open_outbox(copy)

    @invariant()
    def holds_what_it_should(self) -> None:
        rows = self.outbox.pending(limit=10_000)
        assert [(row.sequence, row.body) for row in rows] == sorted(self.expected.items())
        assert self.outbox.depth == len(self.expected)
        assert dict(self.outbox.aside()) == self.aside
        assert self.outbox.stream_id == self.stream_id
        oldest = self.outbox.oldest()
        assert (oldest.sequence if oldest else None) == min(self.expected, default=None)

    def teardown(self) -> None:
        self.outbox.close()
        shutil.rmtree(self.folder)


OutboxModel.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
test_outbox_against_a_model = OutboxModel.TestCase


_APPENDER = """
import sys
from pathlib import Path
from evswap_edge.outbox.v1 import Outbox
outbox = Outbox(Path(sys.argv[1]), station_id="station-01", boot_id="b", machine="m")
while True:
    print(outbox.append(lambda number: b"x" * 300, uptime=0.0), flush=True)
"""


@pytest.mark.parametrize("lines", [1, 40, 250])
def test_kill_9_loses_no_row_whose_append_returned(tmp_path: Path, lines: int) -> None:
    file = tmp_path / "outbox.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", _APPENDER, file], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        promised = [int(next(writer.stdout)) for _ in range(lines)]
        writer.send_signal(signal.SIGKILL)
        promised += [int(line) for line in writer.stdout if line.endswith("\n")]
    outbox = open_outbox(file)
    stored = [row.sequence for row in outbox.pending(limit=1_000_000)]
    outbox.close()
    assert stored[: len(promised)] == promised
    assert len(stored) - len(promised) <= 1  # the one that was committed and not yet promised


def test_a_second_process_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    file = tmp_path / "outbox.sqlite"
    first = open_outbox(file)
    with pytest.raises(OutboxInUse, match=f"in use by process {os.getpid()}") as refused:
        open_outbox(file)
    assert refused.value.holder == str(os.getpid())
    first.close()
    open_outbox(file).close()


def test_a_cloned_file_and_a_renamed_station_begin_streams_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "outbox.sqlite"
    streams = []
    for station_id, machine in (("a", "m1"), ("a", "m1"), ("a", "m2"), ("b", "m2"), ("a", "m1")):
        outbox = open_outbox(file, station_id=station_id, machine=machine)
        outbox.append(lambda number: b"", uptime=0.0)
        streams.append(outbox.stream_id)
        outbox.close()
    assert streams[0] == streams[1]
    assert len(set(streams)) == 4


def test_sequence_goes_on_growing_in_an_emptied_file(tmp_path: Path) -> None:
    file = tmp_path / "outbox.sqlite"
    for expected in (1, 2, 3):
        outbox = open_outbox(file)
        assert outbox.append(lambda number: b"", uptime=0.0) == expected
        outbox.acknowledge([expected])
        outbox.close()


def test_rows_know_their_boot_and_uptime(tmp_path: Path) -> None:
    file = tmp_path / "outbox.sqlite"
    for boot in ("first", "second", "first"):
        outbox = open_outbox(file, boot=boot)
        outbox.append(lambda number: b"", uptime=12.25)
        outbox.close()
    outbox = open_outbox(file)
    assert [(row.boot_id, row.uptime) for row in outbox.pending(limit=9)] == [
        ("first", 12.25),
        ("second", 12.25),
        ("first", 12.25),
    ]
    outbox.close()


def test_pending_pages_through_the_rows(outbox: Outbox) -> None:
    for _ in range(5):
        outbox.append(lambda number: b"", uptime=0.0)
    assert [row.sequence for row in outbox.pending(after=2, limit=2)] == [3, 4]


def test_threads_share_it(outbox: Outbox) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work() -> None:
        for _ in range(50):
            outbox.acknowledge([outbox.append(lambda number: b"", uptime=0.0)])
            outbox.append(lambda number: b"", uptime=0.0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    assert outbox.depth == len(outbox.pending(limit=1_000)) == 200


def test_a_full_disk_is_said_to_be_one_and_keeps_what_is_stored(outbox: Outbox) -> None:
    outbox.append(lambda number: b"kept", uptime=0.0)
    pages = outbox._db.execute("PRAGMA page_count").fetchone()[0]
    outbox._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(OutboxFull, match="full"):
        outbox.append(lambda number: bytes(1_000_000), uptime=0.0)
    assert [row.body for row in outbox.pending(limit=9)] == [b"kept"]
    outbox._db.execute("PRAGMA max_page_count = 1000000")
    assert outbox.append(lambda number: bytes(1_000_000), uptime=0.0) == 2


def test_what_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "outbox.sqlite"
    file.write_bytes(b"something else entirely" * 100)
    with pytest.raises(OutboxDamaged, match="not a database"):
        open_outbox(file)
    assert file.read_bytes().startswith(b"something else")


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "outbox.sqlite"
    open_outbox(file).close()
    db = sqlite3.connect(file)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(OutboxTooNew, match="schema 99"):
        open_outbox(file)


def test_a_folder_that_cannot_be_made_is_an_error_of_the_outbox(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxFull, match="cannot write"):
        open_outbox(tmp_path / "file" / "outbox.sqlite")


def test_every_commit_reaches_the_disk(outbox: Outbox) -> None:
    assert outbox._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert outbox._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_the_machine_is_named_by_a_hash_that_stays() -> None:
    assert machine_name() == machine_name()
    machine_id = Path("/etc/machine-id")
    if machine_id.exists():
        assert machine_id.read_text().strip() not in machine_name().replace("-", "")
