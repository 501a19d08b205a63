"""Power cuts at any moment: what was committed is there, whatever the card made of what was not.

A process writes; it is stopped in its tracks (SIGSTOP) at random moments and the files are copied as they
stand. Then the part of the log that no commit had made durable is torn in several ways, and pages that are
still in the log are torn in the database, as a card may do that lost power in the middle of a write. Each
copy has to open, without salvage, and to hold all that the process had been told to be committed.
"""

import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evswap_edge.outbox import Bounds, Parcel
from tests.edge.outboxes import copy, free, keeper

CUTS = 150 if os.environ.get("EVSWAP_CHAOS") == "full" else 12
SEED = int(os.environ.get("EVSWAP_CHAOS_SEED") or datetime.now(UTC).timetuple().tm_yday)
WAL_HEADER, FRAME_HEADER, PAGE = 32, 24, 4096
FRAME = FRAME_HEADER + PAGE

WRITER = """
import itertools, random, sys
from pathlib import Path
from evswap_edge.outbox.operations import Forget, Seal, Take
from evswap_edge.outbox.records import Bounds, Kind
from tests.edge.outboxes import ask, event, keeper, parcel_of, sample

outbox = keeper(Path(sys.argv[1]), Bounds())
bodies = random.Random(1)
delivered = 0
for turn in itertools.count():
    samples = [ask(outbox, sample(bodies.randbytes(900)))[0] for _ in range(4)]
    print(f'{{"appended": {samples[-1].sequence}}}', flush=True)
    samples += ask(outbox, *[sample(bodies.randbytes(900)) for _ in range(4)], event(b"event"))[:4]
    print(f'{{"appended": {samples[-1].sequence}}}', flush=True)
    ask(outbox, Seal(samples, [parcel_of(samples, bodies.randbytes(2_000))]))
    if turn % 3 == 2:
        taken = [item for some in ask(outbox, Take(Kind.PARCEL, 2)) for item in some]
        print(f'{{"delivering": {taken[-1].last}}}', flush=True)
        ask(outbox, Forget([item.ticket for item in taken]))
"""


class Writer:
    """The process, and what it said."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE)
        self.said = {"appended": 0, "delivering": 0}
        self._rest = b""

    def read_lines(self, count: int) -> None:
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), True)
        for _ in range(count):
            self._note(self.process.stdout.readline())

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Not running; all that it said before is known."""
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)
        os.set_blocking(self.process.stdout.fileno(), False)
        while line := self.process.stdout.readline():
            self._note(line)
        yield
        self.process.send_signal(signal.SIGCONT)

    def _note(self, line: bytes) -> None:
        self._rest += line
        if self._rest.endswith(b"\n"):
            self.said |= json.loads(self._rest)
            self._rest = b""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(tmp_path / "outbox.sqlite")
    writer.read_lines(3)
    yield writer
    writer.process.kill()
    writer.process.wait()
    assert writer.process.stdout is not None
    writer.process.stdout.close()


def ends_of_commits(log: bytes) -> list[int]:
    """Where each transaction in a log ends: a frame of this log (same salt) that names the database's size
    (sqlite.org/fileformat2.html, section 4)."""
    ends = []
    salt = log[16:24]
    for at in range(WAL_HEADER, len(log) - FRAME + 1, FRAME):
        _, pages = struct.unpack(">II", log[at : at + 8])
        if log[at + 8 : at + 16] != salt:
            break
        if pages:
            ends.append(at + FRAME)
    return ends


def _as_it_is(log: bytes, durable: int, rng: random.Random) -> bytes:
    return log


def _cut_off(log: bytes, durable: int, rng: random.Random) -> bytes:
    return log[: rng.randint(durable, max(durable, len(log)))]


def _noise(log: bytes, durable: int, rng: random.Random) -> bytes:
    return log[:durable] + rng.randbytes(max(len(log) - durable, 3 * FRAME // 2))


def _half_a_page(log: bytes, durable: int, rng: random.Random) -> bytes:
    """A frame that says it commits, of which only a part arrived."""
    frame = (
        struct.pack(">II", 2, 9) + log[16:24] + rng.randbytes(8) + rng.randbytes(PAGE // 2) + bytes(PAGE // 2)
    )
    return log[:durable] + frame + log[durable + FRAME :]


TEARS = [_as_it_is, _cut_off, _noise, _half_a_page]


def covered(path: Path) -> set[int]:
    """The numbers of the samples that an outbox has; it has to open as it is."""
    outbox = keeper(path, Bounds())
    numbers: set[int] = set()
    for item in free(outbox):
        if isinstance(item, Parcel):
            numbers |= set(range(item.first, item.last + 1))
        elif item.body != b"event":
            numbers.add(item.sequence)
    outbox.close()
    assert not list(path.parent.glob("*.damaged-*")), "was salvaged"
    return numbers


def test_no_power_cut_loses_what_was_committed(tmp_path: Path, writer: Writer) -> None:
    print(f"seed {SEED}, {CUTS} power cuts, each with {len(TEARS)} kinds of torn logs")
    rng = random.Random(SEED)
    checked = 0
    for cut in range(CUTS):
        writer.read_lines(rng.randint(1, 40))
        with writer.stopped():
            snapshot = copy(tmp_path / "outbox.sqlite", tmp_path / f"cut-{cut}")
            said = dict(writer.said)
        expected = set(range(said["delivering"] + 1, said["appended"] + 1))
        untouched = covered(copy(snapshot, tmp_path / f"cut-{cut}-untouched"))
        assert untouched >= expected, f"seed {SEED}, cut {cut}"
        for tear in TEARS:
            torn = copy(snapshot, tmp_path / f"cut-{cut}-{tear.__name__}")
            spoil(torn, tear, rng, unsaid=max(untouched, default=0) > said["appended"])
            assert covered(torn) >= expected, f"seed {SEED}, cut {cut}, {tear.__name__}"
            shutil.rmtree(torn.parent)
            checked += len(expected)
        shutil.rmtree(snapshot.parent)
    print(f"{checked} samples were looked for, each was there")


def pages_in(log: bytes, durable: int) -> set[int]:
    """The pages of the database that a log has newer versions of."""
    frames = range(WAL_HEADER, durable, FRAME)
    return {struct.unpack(">I", log[at : at + 4])[0] for at in frames}


Tear = Callable[[bytes, int, random.Random], bytes]


def spoil(path: Path, tear: Tear, rng: random.Random, *, unsaid: bool) -> None:
    """Tear what is behind the last commit that anybody was told of; the one that nobody was told of, too."""
    log = path.with_name(f"{path.name}-wal")
    content = log.read_bytes()
    ends = [WAL_HEADER, *ends_of_commits(content)]
    durable = ends[-2] if unsaid and len(ends) > 1 else ends[-1]
    log.write_bytes(tear(content, durable, rng))
    tear_pages(path, pages_in(content, durable), rng)


def tear_pages(path: Path, pages: set[int], rng: random.Random) -> None:
    """Power may fail while a checkpoint copies pages out of the log, which has them until all are durable.

    The first page, which tells what the file is, is left out: cards write the 512 bytes of its header whole.
    """
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        for page in sorted(pages - {1}):
            if page * PAGE <= size:
                file.seek((page - 1) * PAGE + rng.choice([0, 512, 2_048]))
                file.write(rng.randbytes(512))
