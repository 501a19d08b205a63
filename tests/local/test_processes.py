"""Starting, finding and stopping real processes."""

import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from evswap_local.emulator import own_environment
from evswap_local.processes import Processes

NAME = "worker"
WAITS = "import time; print('begun', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('begun', flush=True); time.sleep(600)"
)
HAS_A_CHILD = """
    import subprocess, sys, time
    subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, 1); time.sleep(600)"])
    print("begun", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    for folder in ("run", "logs"):
        (tmp_path / folder).mkdir()
    made = Processes(run=tmp_path / "run", logs=tmp_path / "logs")
    yield made
    made.stop(NAME, deadline_s=0)


def begin(processes: Processes, program: str) -> psutil.Process:
    """Starts it and waits for its first word."""
    command = [sys.executable, "-c", textwrap.dedent(program)]
    running = processes.start(NAME, command, environment=own_environment())
    process = psutil.Process(running.pid)
    with processes.log_of(NAME).open() as log:
        while "begun" not in log.read():
            assert process.status() != psutil.STATUS_ZOMBIE
            log.seek(0)
    return process


def test_a_started_process_is_found_by_name_from_anywhere(processes: Processes, tmp_path: Path) -> None:
    process = begin(processes, WAITS)
    found = Processes(run=tmp_path / "run", logs=tmp_path / "logs").find(NAME)
    assert found is not None
    assert found.pid == process.pid
    assert json.loads((tmp_path / "run" / f"{NAME}.json").read_text())["pid"] == process.pid


def test_it_is_stopped_by_sigterm_and_its_note_is_gone(processes: Processes, tmp_path: Path) -> None:
    process = begin(processes, WAITS)
    assert processes.stop(NAME)
    assert not process.is_running()
    assert list((tmp_path / "run").iterdir()) == []
    assert not processes.stop(NAME)


def test_one_that_ignores_sigterm_is_killed(processes: Processes) -> None:
    process = begin(processes, STUBBORN)
    assert processes.stop(NAME, deadline_s=0.2)
    assert not process.is_running()


def test_its_children_end_with_it(processes: Processes) -> None:
    [child] = begin(processes, HAS_A_CHILD).children()
    processes.stop(NAME)
    assert not child.is_running()


def test_what_a_dead_process_left_behind_is_ended(processes: Processes) -> None:
    process = begin(processes, HAS_A_CHILD)
    [child] = process.children()
    process.kill()
    process.wait()
    assert processes.find(NAME) is None
    assert child.is_running()
    assert not processes.stop(NAME)
    assert not child.is_running()


def test_another_process_of_the_same_number_is_left_alone(processes: Processes, tmp_path: Path) -> None:
    process = begin(processes, WAITS)
    note = tmp_path / "run" / f"{NAME}.json"
    true = note.read_text()
    note.write_text(json.dumps(json.loads(true) | {"created": process.create_time() - 60}))
    assert processes.find(NAME) is None
    assert not processes.stop(NAME)
    assert process.is_running()
    note.write_text(true)


def test_it_leads_a_session_of_its_own_and_gets_only_our_environment(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    process = begin(processes, WAITS)
    assert "AWS_PROFILE" not in process.environ()
    assert process.terminal() is None


def test_the_log_of_the_time_before_is_kept_once(processes: Processes) -> None:
    log = processes.log_of(NAME)
    for _ in range(3):
        begin(processes, WAITS)
        processes.stop(NAME)
    assert sorted(path.name for path in log.parent.iterdir()) == [f"{NAME}.log", f"{NAME}.log.1"]
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("note", ["", "{}", "[1]", '{"name": "worker", "pid": "x"}'])
def test_a_note_that_makes_no_sense_is_no_process(processes: Processes, tmp_path: Path, note: str) -> None:
    (tmp_path / "run" / f"{NAME}.json").write_text(note)
    assert processes.find(NAME) is None
