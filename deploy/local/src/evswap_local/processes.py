"""Processes that outlive the command that started them.

A process is known by its id *and* the time at which it was created: ids are used again. Each one leads a
session of its own, so what it starts (function workers) can be ended with it.
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from evswap_local.errors import DidNotStop
from evswap_local.files import write_private

STOP_DEADLINE_S = 45.0
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
        """The process called ``name``, when it is alive."""
        note = self._read_note(name)
        return note if note is not None and note.process() is not None else None

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        inherit: Sequence[int] = (),
    ) -> Running:
        """Starts ``command`` in a session of its own; ``inherit`` are descriptors that it keeps.

        Its log of the time before is kept once, as ``<name>.log.1``. What a process of that name has left
        behind is ended first.
        """
        self.stop(name)
        log = self.log_of(name)
        with suppress(FileNotFoundError):
            log.replace(log.with_suffix(".log.1"))
        for descriptor in inherit:
            os.set_inheritable(descriptor, True)
        pid = os.posix_spawn(
            command[0],
            list(command),
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        running = Running(name, pid, psutil.Process(pid).create_time())
        write_private(self._note_of(name), json.dumps(asdict(running)) + "\n")
        return running

    def stop(self, name: str, *, deadline_s: float = STOP_DEADLINE_S) -> bool:
        """SIGTERM to the process, then SIGKILL to what is left of its session; False when it was not alive.

        A process that died by itself may have left members of its session behind: they are ended too. Raises
        DidNotStop when even SIGKILL did not help.
        """
        note = self._read_note(name)
        if note is None:
            return False
        leader = note.process()
        left = _members_of_session(note)
        if leader is not None:
            with suppress(psutil.NoSuchProcess):
                leader.terminate()
            psutil.wait_procs([leader], timeout=deadline_s)
            left |= _members_of_session(note)
        for member in left:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        if alive := _alive(left, KILL_DEADLINE_S):
            raise DidNotStop(name, alive[0].pid)
        self._note_of(name).unlink(missing_ok=True)
        return leader is not None

    def _read_note(self, name: str) -> Running | None:
        try:
            return Running(**json.loads(self._note_of(name).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def _note_of(self, name: str) -> Path:
        return self._run / f"{name}.json"


def _members_of_session(note: Running) -> set[psutil.Process]:
    """The live processes of the session that the noted process leads or led, and their children."""
    if psutil.pid_exists(note.pid) and note.process() is None:
        return set()  # the id belongs to another process by now, and so may a session of that number
    members: set[psutil.Process] = set()
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == note.pid:
                members |= {process, *process.children(recursive=True)}
    return members


def _alive(processes: set[psutil.Process], deadline_s: float) -> list[psutil.Process]:
    """Those that have not ended by the deadline; a zombie waits only for its parent, and counts as ended."""
    _gone, left = psutil.wait_procs(processes, timeout=deadline_s)
    return [process for process in left if not _is_zombie(process)]


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
