"""Programs that the bench runs: whatever they do, they end with it."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from evswap_hil.child import Child, Ended, Silent, StillRunning, tail
from evswap_hil.deadline import wait_until
from tests.hil.programs import program

WITHIN_S = 60
STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""
ECHO = """
import sys
print("here", flush=True)
for line in sys.stdin:
    if line.startswith("quiet"):
        continue
    if line.startswith("end"):
        sys.exit("enough")
    print(line.strip().upper(), flush=True)
"""
WITH_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""

Start = Callable[..., Child]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    def start(source: str, *, talks: bool = False) -> Child:
        file = program(tmp_path, "child", source)
        return Child([file], name="the child", log=tmp_path / "logs" / "child.log", talks=talks)

    return start


def test_it_answers_line_by_line(start: Start) -> None:
    child = start(ECHO, talks=True)
    assert child.next_line("the start", WITHIN_S) == "here"
    assert child.ask("hello", WITHIN_S) == "HELLO"
    with pytest.raises(Silent, match="quiet"):
        child.ask("quiet", 0.2)
    assert child.stop(WITHIN_S) == -signal.SIGTERM
    assert not child.is_running


def test_its_last_words_are_told(start: Start) -> None:
    child = start(ECHO, talks=True)
    child.next_line("the start", WITHIN_S)
    with pytest.raises(Ended, match="status 1: enough"):
        child.ask("end", WITHIN_S)
    with pytest.raises(Ended):
        child.ask("anybody", WITHIN_S)
    child.kill()


def test_one_that_does_not_listen_is_killed_and_told(start: Start, tmp_path: Path) -> None:
    child = start(STUBBORN)
    log = tmp_path / "logs" / "child.log"
    wait_until(lambda: tail(log, lines=1) == "deaf", what="the start", within=WITHIN_S)
    with pytest.raises(StillRunning, match="SIGTERM"):
        child.stop(0.2)
    assert not child.is_running


def test_killed_it_takes_its_children_along(start: Start, tmp_path: Path) -> None:
    child = start(WITH_CHILD)
    log = tmp_path / "logs" / "child.log"
    wait_until(lambda: tail(log, lines=1), what="the grandchild", within=WITHIN_S)
    grandchild = Path("/proc") / tail(log, lines=1) / "stat"
    child.kill()
    wait_until(lambda: not _lives(grandchild), what="the grandchild's end", within=WITHIN_S)


def _lives(stat: Path) -> bool:
    """A process that nobody has buried yet (Z) does not live."""
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_log_is_continued(start: Start, tmp_path: Path) -> None:
    for word in ("one", "two"):
        ends_by_itself(start(f"print('{word}')"))
    assert tail(tmp_path / "logs" / "child.log", lines=9) == "one\ntwo"
    assert tail(tmp_path / "nothing.log", lines=9) == ""


def ends_by_itself(child: Child) -> None:
    wait_until(lambda: not child.is_running, what="its end", within=WITHIN_S)
    assert child.stop(WITHIN_S) == 0
