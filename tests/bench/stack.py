"""A real stack on this machine, without stations of its own, and `evswap-hil run` on it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.conftest import ROOT

UP_WITHIN_S = 180
RUN_WITHIN_S = 400


@dataclass(frozen=True)
class RealStack:
    """A running stack; `evswap` is the program that made it."""

    evswap: Path
    edge: Path
    state_dir: Path

    @property
    def file(self) -> Path:
        return self.state_dir / "stack.json"

    @property
    def scratch(self) -> Path:
        """Where the bench's processes have their files: what mentions it is the bench's."""
        return self.state_dir.parent / "scratch"

    @property
    def environment(self) -> dict[str, str]:
        self.scratch.mkdir(exist_ok=True)
        return {**os.environ, "TMPDIR": str(self.scratch)}

    def leftovers(self) -> list[str]:
        """Processes and files that a run should have seen to the end of."""
        return processes_that_mention(str(self.scratch)) + [str(file) for file in self.scratch.iterdir()]

    def run_bench(self, *options: object, stack: Path | None = None) -> "subprocess.CompletedProcess[str]":
        """`evswap-hil run` on this stack."""
        return subprocess.run(
            [*self.command(stack=stack), *map(str, options)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=RUN_WITHIN_S,
            check=False,
        )

    def command(self, *, stack: Path | None = None) -> list[str]:
        """The beginning of the command line."""
        programs = ["--edge", str(self.edge), "--evswap", str(self.evswap)]
        return [sys.executable, "-m", "evswap_hil", "run", *programs, "--stack", str(stack or self.file)]


@contextmanager
def stack_in(folder: Path, evswap: Path, edge: Path) -> Iterator[RealStack]:
    """A stack that is gone afterwards."""
    stack = RealStack(evswap, edge, folder / "state")
    port, mqtt_port = free_ports(2)
    try:
        _evswap(stack, "up", "--no-fleet", "--port", str(port), "--mqtt-port", str(mqtt_port))
        yield stack
    finally:
        _evswap(stack, "down")


def _evswap(stack: RealStack, command: str, *options: str) -> None:
    answer = subprocess.run(
        [stack.evswap, command, "--state-dir", stack.state_dir, *options],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("EVSWAP_STATE")},
        capture_output=True,
        text=True,
        timeout=UP_WITHIN_S,
        check=False,
    )
    assert answer.returncode == 0, f"{answer.stdout}\n{answer.stderr}"


def free_ports(count: int) -> list[int]:
    """TCP ports on loopback that nobody listens on at the moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def processes_that_mention(text: str) -> list[str]:
    """The command lines of this machine's processes that have `text` in them, our own left out."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if text in command and int(folder.name) != os.getpid():
            found.append(command)
    return found
