"""Terraform's process while somebody reads what it says."""

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

import psutil

from evswap_local.processes import Processes

NAME = "terraform"
LOOK_S = 0.1
STOP_DEADLINE_S = 90.0
"""Terraform ends when the calls under way have ended, and writes down what they made."""

ENDED_BY_OTHERS = -signal.SIGKILL
"""Taken for the worst, where its exit code went to somebody else."""


class Child:
    """``exit_code`` is None until it has ended. Leaving the ``with`` early asks it to end, and waits."""

    def __init__(self, processes: Processes, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._processes = processes
        self.log = processes.log_of(NAME)
        self._pid = processes.start(NAME, command, environment=environment).pid
        self.exit_code: int | None = None
        self._asked_to_end = False

    @property
    def ended_by_itself(self) -> bool:
        """Whether all that it made is in its state. It is not when Terraform was asked to end: its provider
        drops the calls that are under way then, and AWS may carry one out all the same."""
        return self.exit_code is not None and self.exit_code >= 0 and not self._asked_to_end

    def lines(self) -> Iterator[str]:
        """What it says, line by line, until it has ended."""
        rest = ""
        with self.log.open(encoding="utf-8", errors="replace") as file:
            while self.exit_code is None:
                self._look()
                *whole, rest = (rest + file.read()).split("\n")
                yield from whole
                if self.exit_code is None:
                    time.sleep(LOOK_S)
        if rest:
            yield rest

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            if self.exit_code is None:
                self._asked_to_end = True
                with suppress(psutil.NoSuchProcess):
                    psutil.Process(self._pid).terminate()
                self._await_end()
        finally:
            stop_terraform(self._processes)

    def _await_end(self) -> None:
        deadline = time.monotonic() + STOP_DEADLINE_S
        while self.exit_code is None and time.monotonic() < deadline:
            time.sleep(LOOK_S)
            self._look()

    def _look(self) -> None:
        try:
            ended, status = os.waitpid(self._pid, os.WNOHANG)
        except ChildProcessError:
            self.exit_code = ENDED_BY_OTHERS
            return
        if ended:
            self.exit_code = os.waitstatus_to_exitcode(status)


def stop_terraform(processes: Processes) -> bool:
    """Ends a Terraform that somebody has left running; False when there was none."""
    return processes.stop(NAME, deadline_s=STOP_DEADLINE_S)
