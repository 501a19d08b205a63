"""Compose, in whichever of its two forms is there."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evswap_docker.engine import LONG_S, TAIL, Engine
from evswap_docker.errors import CommandFailed, ComposeMissing, NotRunning, PortTaken
from evswap_docker.settings import FOLDER, Settings

AWS, STATION = "aws", "station"
PORT_IS_TAKEN = ("port is already allocated", "address already in use")


@dataclass(frozen=True)
class Compose:
    """One project: ``settings.project``."""

    engine: Engine
    settings: Settings
    program: tuple[str, ...]

    @classmethod
    def find(cls, engine: Engine, settings: Settings) -> "Compose":
        """Raises ComposeMissing."""
        if engine.try_run("compose", "version").returncode == 0:
            return cls(engine, settings, (engine.docker, "compose"))
        by_itself = shutil.which("docker-compose", path=engine.environment.get("PATH"))
        if by_itself is None:
            raise ComposeMissing
        return cls(engine, settings, (by_itself,))

    def up(self, stations: int) -> None:
        """The local AWS, and that many stations; what runs already and is right goes on. Raises
        CommandFailed, PortTaken."""
        self._run("up", "--detach", "--no-build", "--remove-orphans", "--scale", f"{STATION}={stations}")

    def down(self, *, volumes: bool) -> None:
        """Stops and removes containers and network, and the volumes only when they are named."""
        self._run("down", "--remove-orphans", *(("--volumes",) if volumes else ()))

    def follow_logs(self, services: Sequence[str]) -> int:
        """Prints the logs; the exit code."""
        return subprocess.run(
            self._command("logs", "--tail", "200", *services), env=self._environment(), check=False
        ).returncode

    def containers(self, service: str) -> list[dict[str, Any]]:
        """The service's containers, running or not, as the engine describes them."""
        label = "com.docker.compose"
        listed = self.engine.run(
            *("ps", "--all", "--quiet", "--no-trunc"),
            *("--filter", f"label={label}.project={self.settings.project}"),
            *("--filter", f"label={label}.service={service}"),
        )
        return self.engine.inspect(*listed.split())

    def aws(self) -> str:
        """The id of the local AWS's container; raises NotRunning."""
        running = [each["Id"] for each in self.containers(AWS) if each["State"]["Running"]]
        if not running:
            raise NotRunning
        return str(running[0])

    def _run(self, *arguments: str) -> None:
        command = self._command(*arguments)
        done = subprocess.run(
            command,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=LONG_S,
            check=False,
        )
        if done.returncode != 0:
            said = done.stderr + done.stdout
            if any(words in said for words in PORT_IS_TAKEN):
                raise PortTaken(self.settings.port)
            raise CommandFailed(["compose", *arguments], done.returncode, said[-TAIL:])

    def _command(self, *arguments: str) -> list[str]:
        where = ("--project-name", self.settings.project, "--file", str(FOLDER / "compose.yaml"))
        return [*self.program, *where, *arguments]

    def _environment(self) -> dict[str, str]:
        return {**self.engine.environment, **self.settings.environment()}
