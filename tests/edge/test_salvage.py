"""A damaged outbox: the station goes on, what is readable is delivered, and nothing is thrown away."""

import logging
import random
import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evswap_edge.outbox import schema
from evswap_edge.outbox.keeper import Keeper
from evswap_edge.outbox.operations import PutAside
from evswap_edge.outbox.salvage import readable_rows
from tests.edge.outboxes import ask, event, free, keeper, sample, store_parcel

PAGE = 4096
SAMPLES = 900
RECORD_HEADER = b"\x0c\x00"
"""How the record of a sample begins: the length of its header in bytes, and the type of its key
(sqlite.org/fileformat2.html, section 2.1)."""


def opened(path: Path) -> Keeper:
    return keeper(path)


def body(sequence: int) -> bytes:
    return b"%06d" % sequence + b"x" * 190


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An outbox with samples, one of them set aside, a parcel and an event."""
    path = tmp_path_factory.mktemp("filled") / "outbox.sqlite"
    outbox = opened(path)
    store_parcel(outbox, b"parcel", samples=3)
    samples = ask(outbox, *[sample(body(number)) for number in range(1, SAMPLES + 1)])
    ask(outbox, PutAside([samples[6].ticket], "poison"), event(b"event"))
    outbox.close()
    return path


@pytest.fixture
def path(filled: Path, tmp_path: Path) -> Path:
    """A copy of its own, that was not closed in good order."""
    path = tmp_path / filled.name
    shutil.copy(filled, path)
    left_open(path)
    return path


def left_open(path: Path) -> None:
    path.with_name(f"{path.name}.lock").write_text("4711")


def numbers(outbox: Keeper) -> list[int]:
    """Which samples are there, by their bodies."""
    bodies = [item.body for item in free(outbox) if item.body not in (b"parcel", b"event")]
    assert all(found == body(int(found[:6])) for found in bodies)
    return [int(found[:6]) for found in bodies]


def spoil(path: Path, *pages: int) -> None:
    """Noise over whole pages, counted from 1 as SQLite does."""
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * PAGE)
            file.write(random.Random(page).randbytes(PAGE))


def spoil_record(path: Path, number: int) -> None:
    """One row whose header cannot be: nobody notices who only counts rows."""
    content = path.read_bytes()
    at = content.rindex(RECORD_HEADER, 0, content.index(body(number)))
    path.write_bytes(content[:at] + b"\xff\xff" + content[at + 2 :])


def pages_of_samples(path: Path) -> list[int]:
    with sqlite3.connect(path) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'set_aside'").fetchone()
        (count,) = db.execute("PRAGMA page_count").fetchone()
    db.close()
    return list(range(root + 3, count + 1))


def aside_of(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*.damaged-*Z"))


def test_a_spoiled_page_costs_the_samples_on_it_and_no_others(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(path, pages_of_samples(path)[20])
    with caplog.at_level(logging.ERROR):
        outbox = opened(path)
    left = numbers(outbox)
    assert left == sorted(left)
    lost = set(range(1, SAMPLES + 1)) - {7} - set(left)
    assert 0 < len(lost) < 2 * PAGE // len(body(1))
    assert {item.stamp.boot_id for item in free(outbox)} == {"boot"}
    waiting = outbox.standing.waiting
    assert (waiting.samples, waiting.parcel_samples) == (len(left), 3)
    assert (waiting.events, waiting.set_aside) == (1, 1)
    assert f"{len(left) + 3} samples were saved, the damaged file is kept" in caplog.text
    assert len(aside_of(path)) == 1
    outbox.close()


def test_new_samples_go_on_in_a_new_stream(path: Path) -> None:
    before = opened(path)
    stream_id = before.standing.stream_id
    before.close()
    left_open(path)
    spoil(path, pages_of_samples(path)[20])
    outbox = opened(path)
    (stored,) = ask(outbox, sample())
    assert stored.stream_id == outbox.standing.stream_id != stream_id
    assert {item.stream_id for item in free(outbox)} >= {stream_id, stored.stream_id}
    outbox.close()


@pytest.mark.parametrize("content", [b"", b"no database at all" * 500, bytes(8 * PAGE)])
def test_a_file_of_which_nothing_can_be_read_is_kept_and_replaced(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    outbox = opened(path)
    assert free(outbox) == []
    (stored,) = ask(outbox, sample())
    assert stored.sequence == 1
    outbox.close()
    assert [kept.read_bytes() for kept in aside_of(path)] == ([content] if content else [])


def test_a_file_that_was_cut_short_gives_what_is_left_of_it(path: Path) -> None:
    whole = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(whole - 30 * PAGE)
    outbox = opened(path)
    assert 0 < len(numbers(outbox)) < SAMPLES
    outbox.close()


def test_an_outbox_that_was_closed_in_good_order_is_not_looked_through(path: Path) -> None:
    """Looking costs a read of the whole file: a start after an orderly stop does without."""
    opened(path).close()
    spoil_record(path, 500)
    outbox = opened(path)
    assert outbox.standing.waiting.samples == SAMPLES - 1
    outbox.close()
    assert aside_of(path) == []
    left_open(path)
    opened(path).close()
    assert len(aside_of(path)) == 1


def test_damage_that_shows_at_work_is_mended_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = schema.connect

    def without_cache(file: Path) -> sqlite3.Connection:
        db = connect(file)
        db.execute("PRAGMA cache_size = 1")
        return db

    monkeypatch.setattr(schema, "connect", without_cache)
    outbox = opened(path)
    stream_id = outbox.standing.stream_id
    spoil_record(path, 500)
    assert len(numbers(outbox)) == SAMPLES - 2
    assert len(aside_of(path)) == 1
    (stored,) = ask(outbox, sample())
    assert stored.stream_id != stream_id
    assert outbox.standing.waiting.samples == SAMPLES - 1
    outbox.close()
    again = opened(path)
    assert again.standing.waiting.samples == SAMPLES - 1
    again.close()
    assert len(aside_of(path)) == 1


@pytest.mark.parametrize("renamed", [False, True], ids=["before", "after the damaged file was put aside"])
def test_a_salvage_that_was_killed_is_finished_or_begun_again(path: Path, renamed: bool) -> None:
    spoil(path, pages_of_samples(path)[20])
    first = opened(path)
    saved = numbers(first)
    first.close()
    (damaged,) = aside_of(path)
    if renamed:
        path.replace(path.with_name(f"{path.name}.whole"))
    else:
        damaged.replace(path)
        path.with_name(f"{path.name}.draft").write_bytes(b"half a copy")
        left_open(path)
    again = opened(path)
    assert numbers(again) == saved
    again.close()
    assert not list(path.parent.glob("*.draft"))
    assert not list(path.parent.glob("*.whole"))


@given(unreadable=st.sets(st.integers(1, 5_000), max_size=20), last=st.integers(0, 5_000))
def test_every_row_that_can_be_read_is_read_once_and_in_order(unreadable: set[int], last: int) -> None:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY)")
    db.executemany("INSERT INTO numbers VALUES (?)", ((number,) for number in range(1, last + 1)))

    def touch(number: int) -> int:
        if number in unreadable:
            raise ValueError
        return number

    db.create_function("touch", 1, touch)
    found = [number for (number,) in readable_rows(db, "numbers", "n", ("touch(n)",))]
    db.close()
    assert found == [number for number in range(1, last + 1) if number not in unreadable]
