"""kill -9 at every point of a command's way, and at every point of the way of whoever comes after.

A door is opened once at most, whatever is delivered again; a command has one result; and that is `done` only
where the door shows it.
"""

import multiprocessing
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from evswap_schema import (
    Command,
    CommandResult,
    Outcome,
    Unlock,
    decode_result,
    encode_command,
)
from tests.edge import remote_process as process
from tests.edge.remote import STATION

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([process.__name__])
MOVED = process.POINTS[process.POINTS.index(process.ORDERED) :]
"""The points at which the door is open."""


def run(folder: Path, point: str) -> int:
    """A process that ends at ``point``, or when all is told; returns how it ended."""
    life: Any = PROCESSES.Process(target=process.live, args=(str(folder), point))
    life.start()
    life.join(60)
    assert life.exitcode in {0, -signal.SIGKILL}
    return int(life.exitcode)


def results(folder: Path) -> list[CommandResult]:
    """The final ones that came up, in order."""
    file = folder / process.RESULTS
    told = [decode_result(line) for line in file.read_bytes().splitlines()] if file.exists() else []
    return [one for one in told if one.outcome is not Outcome.ACCEPTED]


def orders(folder: Path) -> int:
    file = folder / process.ORDERS
    return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    now = datetime.now(UTC)
    command = Command(
        command_id="c-1",
        station_id=STATION,
        issued_at=now,
        expires_at=now + timedelta(hours=1),
        action=Unlock(bay=process.BAY),
    )
    (tmp_path / process.COMMAND).write_bytes(encode_command(command))
    return tmp_path


@pytest.mark.parametrize("shut", [False, True], ids=["still open", "shut again"])
@pytest.mark.parametrize("point", process.POINTS)
def test_a_process_that_is_killed_has_its_command_done_once_and_answered_once(
    folder: Path, point: str, shut: bool
) -> None:
    assert run(folder, point) == -signal.SIGKILL
    assert orders(folder) == (point in MOVED)
    if shut:
        (folder / process.SHUT).touch()
    assert run(folder, process.NOWHERE) == 0
    (result,) = set(results(folder))
    assert result.outcome is expected(point, shut=shut)
    assert orders(folder) == (point != process.AFTER_INTENT)


def expected(point: str, *, shut: bool) -> Outcome:
    """What the process after the one that was killed has to say."""
    if point == process.BEFORE_INTENT:
        # Nothing was written down: it is done now, if the door can be seen to open.
        return Outcome.UNKNOWN if shut else Outcome.DONE
    if point == process.AFTER_INTENT:
        return Outcome.UNKNOWN
    if point in {process.ORDERED, process.BEFORE_RESULT}:
        return Outcome.UNKNOWN if shut else Outcome.DONE
    return Outcome.DONE


@pytest.mark.parametrize("point", [process.ORDERED, process.AFTER_RESULT, process.BEFORE_TELLING])
def test_a_result_is_told_although_nobody_asks_again(folder: Path, point: str) -> None:
    assert run(folder, point) == -signal.SIGKILL
    (folder / process.COMMAND).unlink()
    assert run(folder, process.NOWHERE) == 0
    (result,) = results(folder)
    assert result.outcome is Outcome.DONE


@pytest.mark.parametrize("second", process.POINTS)
@pytest.mark.parametrize("first", process.POINTS)
def test_so_is_one_whose_successor_is_killed_too(folder: Path, first: str, second: str) -> None:
    run(folder, first)
    run(folder, second)
    assert run(folder, process.NOWHERE) == 0
    assert len(set(results(folder))) == 1
    assert orders(folder) <= 1
