"""Processes that outlive the command that started them.

A process is known by its id *and* the time at which it was created: ids are used again. Each one leads a
session of its own, so what it starts (function workers) can be ended with it.
"""

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from evswap_local.errors import DidNotStop
from evswap_local.files import write_private

STOP_DEADLINE_S = 30.0
KILL_DEADLINE_S = 5.0
CLOCK_GRAIN_S = 0.05


@dataclass(frozen=True)
class Running:
    """A process that was started by ``evswap`` and noted down."""

    name: str
    pid: int
    created: float

    def process(self) -> psutil.Process | None:
        """The live process, or None when it has ended (or its id belongs to another one by now)."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < CLOCK_GRAIN_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


class Processes:
    """The processes of one stack: notes in ``run``, output in ``logs``."""

    def __init__(self, *, run: Path, logs: Path) -> None:
        self._run, self._logs = run, logs

    def log_of(self, name: str) -> Path:
        """Where the process called ``name`` writes."""
        return self._logs / f"{name}.log"

    def find(self, name: str) -> Running | None:
        """The process called ``name``, when it is alive. The note of a dead one is removed."""
        try:
            note = Running(**json.loads(self._note_of(name).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        if note.process() is None:
            self._note_of(name).unlink(missing_ok=True)
            return None
        return note

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        inherit: Sequence[int] = (),
    ) -> Running:
        """Starts ``command`` in a session of its own; ``inherit`` are descriptors that it keeps.

        Its log of the time before is kept once, as ``<name>.log.1``.
        """
        log = self.log_of(name)
        with suppress(FileNotFoundError):
            log.replace(log.with_suffix(".log.1"))
        with log.open("wb") as output:
            log.chmod(0o600)
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
                pass_fds=tuple(inherit),
            )
        running = Running(name, child.pid, psutil.Process(child.pid).create_time())
        write_private(self._note_of(name), json.dumps(asdict(running)) + "\n")
        return running

    def stop(self, name: str, *, deadline_s: float = STOP_DEADLINE_S) -> bool:
        """SIGTERM to the process, SIGKILL to its whole session after the deadline; False when none was alive.

        Raises DidNotStop when even that did not help.
        """
        running = self.find(name)
        if running is None:
            return False
        session = _members_of_session(running.pid)
        with suppress(ProcessLookupError):
            os.kill(running.pid, signal.SIGTERM)
        _wait_for([*_process(running.pid)], deadline_s)
        session = {*session, *_members_of_session(running.pid)}
        for member in session:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        if left := _wait_for(list(session), KILL_DEADLINE_S):
            raise DidNotStop(name, left[0].pid)
        self._note_of(name).unlink(missing_ok=True)
        return True

    def _note_of(self, name: str) -> Path:
        return self._run / f"{name}.json"


def _process(pid: int) -> list[psutil.Process]:
    try:
        return [psutil.Process(pid)]
    except psutil.NoSuchProcess:
        return []


def _members_of_session(leader: int) -> set[psutil.Process]:
    """The live processes of the session that ``leader`` leads, with their children wherever those went."""
    members: set[psutil.Process] = set()
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == leader:
                members.add(process)
                members.update(process.children(recursive=True))
    return members


def _wait_for(processes: list[psutil.Process], deadline_s: float) -> list[psutil.Process]:
    """Those that are still alive after the deadline."""
    _gone, alive = psutil.wait_procs(processes, timeout=deadline_s)
    return [process for process in alive if _is_alive(process)]


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
