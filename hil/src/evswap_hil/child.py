"""A program that runs as long as the bench needs it, and whose end is always seen to."""

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

KILLED_WITHIN_S: Final = 5.0

_DIES_WITH_US: Final = ("setpriv", "--pdeathsig", "TERM", "--")
"""util-linux: the kernel ends the child when the bench itself was killed and could not do it."""


class ChildError(Exception):
    """A program did not do what it was started for."""


class NotStarted(ChildError):
    """`program` could not be executed."""

    def __init__(self, program: str, cause: str) -> None:
        super().__init__(f"{program} cannot be started: {cause}")
        self.program = program
        self.cause = cause


class StillRunning(ChildError):
    """`name` was told to end and did not within `seconds`; it was killed."""

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(f"{name} did not end within {seconds:g} s after SIGTERM, and was killed")
        self.name = name
        self.seconds = seconds


class Silent(ChildError):
    """`name` owed an answer and gave none within `seconds`."""

    def __init__(self, name: str, question: str, seconds: float) -> None:
        super().__init__(f"{name} did not answer {question!r} within {seconds:g} s")
        self.name = name
        self.question = question
        self.seconds = seconds


class Ended(ChildError):
    """`name` ended by itself with `status`; `last_words` is the end of what it said."""

    def __init__(self, name: str, status: int | None, last_words: str) -> None:
        super().__init__(f"{name} ended with status {status}: {last_words or 'it said nothing'}")
        self.name = name
        self.status = status
        self.last_words = last_words


class Child:
    """A running program. What it writes goes to the file `log`, behind what is there."""

    def __init__(self, command: Sequence[str | Path], *, name: str, log: Path, talks: bool = False) -> None:
        """`talks`: it is asked on stdin and answers on stdout, a line each. Raises NotStarted."""
        self.name = name
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as sink:
            self._process = _start(command, sink, talks=talks)
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen, name=f"{name} stdout", daemon=True)
        if talks:
            self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def next_line(self, question: str, within: float) -> str:
        """The next line that it writes. Raises Silent or Ended; `question` is what it owes an answer to."""
        try:
            line = self._lines.get(timeout=within)
        except queue.Empty:
            raise Silent(self.name, question, within) from None
        if line is None:
            self._lines.put(None)
            raise self._ended()
        return line

    def ask(self, question: str, within: float) -> str:
        """Write a line and return the line that is the answer. Raises Silent or Ended."""
        try:
            _stdin(self._process).write(f"{question}\n")
            _stdin(self._process).flush()
        except BrokenPipeError:
            raise self._ended() from None
        return self.next_line(question, within)

    def stop(self, within: float) -> int:
        """Tell it to end, and return its exit status. Raises StillRunning, after it was killed."""
        self._process.terminate()
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise StillRunning(self.name, within) from None
        finally:
            self._clean_up()

    def kill(self) -> None:
        """End it without warning, as a power cut does, with everything that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(KILLED_WITHIN_S)
        self._clean_up()

    def _listen(self) -> None:
        for line in _stdout(self._process):
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def _ended(self) -> Ended:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(KILLED_WITHIN_S)
        return Ended(self.name, self._process.returncode, tail(self._log, lines=3))

    def _clean_up(self) -> None:
        if self._listener.is_alive():
            self._listener.join(KILLED_WITHIN_S)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def tail(log: Path, *, lines: int) -> str:
    """The last lines of a file; empty where there is none."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def _start(command: Sequence[str | Path], sink: IO[bytes], *, talks: bool) -> "subprocess.Popen[str]":
    guarded = [*_DIES_WITH_US, *command] if shutil.which(_DIES_WITH_US[0]) else list(command)
    try:
        return subprocess.Popen(
            guarded,
            stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
            stdout=subprocess.PIPE if talks else sink,
            stderr=sink,
            text=True,
            start_new_session=True,
        )
    except OSError as error:
        raise NotStarted(str(command[0]), error.strerror or str(error)) from error


def _stdin(process: "subprocess.Popen[str]") -> IO[str]:
    if process.stdin is None:
        raise ValueError("this child was not started to talk")
    return process.stdin


def _stdout(process: "subprocess.Popen[str]") -> IO[str]:
    if process.stdout is None:
        raise ValueError("this child was not started to talk")
    return process.stdout
