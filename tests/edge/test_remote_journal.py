"""The journal of commands, against a model of it: whatever is asked of it and whenever its process ends, the
first result of a command is the only one."""

import multiprocessing
import shutil
import sqlite3
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from evswap_edge.remote import journal
from evswap_edge.remote.journal import Journal, JournalCrowded, JournalUnusable
from evswap_schema import Command, CommandResult, Outcome, Unlock

STATION = "station-01"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
OTHER_FINALS = (Outcome.REJECTED, Outcome.DONE, Outcome.EXPIRED, Outcome.UNKNOWN)

ids = st.sampled_from(["c-1", "c-2", "c-3", "c-4"])
hours = st.integers(min_value=1, max_value=3)


def command(command_id: str, *, expires_at: datetime = NOW + timedelta(hours=1)) -> Command:
    return Command(
        command_id=command_id,
        station_id=STATION,
        issued_at=NOW - timedelta(days=60),
        expires_at=expires_at,
        action=Unlock(bay=1),
    )


def result(command_id: str, outcome: Outcome = Outcome.DONE) -> CommandResult:
    return CommandResult(command_id=command_id, station_id=STATION, outcome=outcome, timestamp=NOW)


def opened(folder: Path, station_id: str = STATION) -> Journal:
    return Journal(folder / "outbox.sqlite", station_id=station_id)


class JournalMachine(RuleBasedStateMachine):
    """Beside the real one: what is known, in order of its writing; and what was told."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="journal-"))
        self.real = opened(self.folder)
        self.known: dict[str, CommandResult | None] = {}
        self.expires: dict[str, datetime] = {}
        self.told: set[str] = set()

    @initialize()
    def new(self) -> None:
        assert self.real.find("c-1") is None
        assert not self.real.path.exists()

    @rule(command_id=ids, expires=hours)
    def begin(self, command_id: str, expires: int) -> None:
        wanted = command(command_id, expires_at=NOW + timedelta(hours=expires))
        if command_id in self.known:
            with pytest.raises(sqlite3.IntegrityError):
                self.real.begin(wanted)
            return
        self.real.begin(wanted)
        self.known[command_id] = None
        self.expires[command_id] = wanted.expires_at

    @rule(command_id=ids, outcome=st.sampled_from(OTHER_FINALS), expires=hours)
    def finish(self, command_id: str, outcome: Outcome, expires: int) -> None:
        wanted, expires_at = result(command_id, outcome), NOW + timedelta(hours=expires)
        stands = self.real.finish(wanted, expires_at=expires_at)
        known = self.known.get(command_id)
        assert stands == (known or wanted)
        self.expires.setdefault(command_id, expires_at)
        if known is None:
            self.told.discard(command_id)
        self.known[command_id] = stands

    @rule(command_id=ids, told=st.booleans())
    def mark(self, command_id: str, told: bool) -> None:
        self.real.mark(command_id, told=told)
        (self.told.add if told and command_id in self.known else self.told.discard)(command_id)

    @rule(after=hours)
    def forget(self, after: int) -> None:
        now = NOW + journal.KEPT + timedelta(hours=after, seconds=-1)
        going = [
            one
            for one, outcome in self.known.items()
            if outcome is not None and one in self.told and self.expires[one] < now - journal.KEPT
        ]
        assert self.real.forget(now) == len(going)
        for one in going:
            del self.known[one], self.expires[one]
            self.told.discard(one)

    @rule()
    def end_and_begin_anew(self) -> None:
        self.real.close()
        self.real = opened(self.folder)

    @precondition(lambda self: self.real.path.exists())
    @rule()
    def lose_power(self) -> None:
        """What lies on the disk now, the log not yet moved into the file, is what the next one finds."""
        after = Path(tempfile.mkdtemp(prefix="journal-"))
        for file in self.folder.iterdir():
            shutil.copy(file, after / file.name)
        self.real.close()
        shutil.rmtree(self.folder)
        self.folder, self.real = after, opened(after)

    @invariant()
    def every_command_has_what_it_had(self) -> None:
        for command_id in ("c-1", "c-2", "c-3", "c-4"):
            entry = self.real.find(command_id)
            assert (entry is not None) == (command_id in self.known)
            assert entry is None or entry.result == self.known[command_id]

    @invariant()
    def nothing_is_left_out(self) -> None:
        unfinished = [one for one, outcome in self.known.items() if outcome is None]
        assert [one.command_id for one in self.real.unfinished()] == unfinished
        untold = [outcome for one, outcome in self.known.items() if outcome and one not in self.told]
        assert self.real.untold(10) == untold
        assert self.real.untold(1) == untold[:1]

    def teardown(self) -> None:
        self.real.close()
        shutil.rmtree(self.folder)


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_it_holds_so_many_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MAX_COMMANDS", 3)
    one = opened(tmp_path)
    for n in range(3):
        one.begin(command(f"c-{n}"))
    with pytest.raises(JournalCrowded, match="holds 3 commands"):
        one.begin(command("c-3"))
    with pytest.raises(JournalCrowded):
        one.finish(result("c-3"), expires_at=NOW)
    assert one.finish(result("c-0"), expires_at=NOW) == result("c-0")
    one.mark("c-0", told=True)
    one.forget(NOW + timedelta(days=30))
    one.begin(command("c-3"))
    one.close()


def test_a_copied_card_knows_nothing_of_another_station_s_commands(tmp_path: Path) -> None:
    one = opened(tmp_path)
    one.begin(command("c-1"))
    one.close()
    other = opened(tmp_path, "station-02")
    assert (other.unfinished(), other.find("c-1"), other.begun_at) == ([], None, None)
    other.close()


@pytest.mark.parametrize("damage", [b"no database at all" * 400, b"SQLite format 3\0" + b"\xff" * 8_000])
def test_a_damaged_one_is_put_aside_and_the_new_one_knows_since_when_it_knows(
    tmp_path: Path, damage: bytes
) -> None:
    one = opened(tmp_path)
    one.path.write_bytes(damage)
    before = datetime.now(UTC)
    assert one.find("c-1") is None
    assert one.damaged is not None
    assert one.damaged.read_bytes() == damage
    assert one.begun_at is not None
    assert one.begun_at >= before - timedelta(seconds=1)
    one.close()
    assert opened(tmp_path).begun_at == one.begun_at


def test_a_later_version_s_is_left_alone(tmp_path: Path) -> None:
    one = opened(tmp_path)
    one.begin(command("c-1"))
    one.close()
    with sqlite3.connect(one.path) as db:
        db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(JournalUnusable, match="schema 9, a later version's; update the program"):
        opened(tmp_path).find("c-1")


def test_a_disk_that_takes_nothing_is_told(tmp_path: Path) -> None:
    one = opened(tmp_path / "absent")
    with pytest.raises(JournalUnusable, match="unable to open"):
        one.begin(command("c-1"))


def test_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    """What a kill cannot show and a power cut would."""
    one = opened(tmp_path)
    one.begin(command("c-1"))
    assert one._book.rows("PRAGMA synchronous") == [(2,)]
    assert one._book.rows("PRAGMA journal_mode") == [("wal",)]
    one.close()


def _begin_and_die(folder: str) -> None:
    import os
    import signal

    opened(Path(folder)).begin(command("c-1"))
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_was_written_down_is_there_after_a_kill(tmp_path: Path) -> None:
    process: Any = multiprocessing.get_context("spawn").Process(target=_begin_and_die, args=[str(tmp_path)])
    process.start()
    process.join(60)
    assert process.exitcode == -9
    one = opened(tmp_path)
    assert one.unfinished() == [command("c-1")]
    one.close()
