"""The docker client, looked for and asked."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evswap_docker.errors import CommandFailed, EngineMissing, EngineSilent

QUICK_S = 30.0
LONG_S = 900.0
TAIL = 4000
"""Characters of a failed command's output that are shown."""


@dataclass(frozen=True)
class Engine:
    """A client that an engine answers; ``environment`` is what its commands run with."""

    docker: str
    environment: Mapping[str, str]

    @classmethod
    def find(cls, environment: Mapping[str, str] = os.environ) -> "Engine":
        """Raises EngineMissing, EngineSilent."""
        docker = shutil.which("docker", path=environment.get("PATH"))
        if docker is None:
            raise EngineMissing
        engine = cls(docker, dict(environment))
        answer = engine.try_run("version", "--format", "{{.Server.Version}}")
        if answer.returncode != 0:
            raise EngineSilent(answer.stderr or answer.stdout)
        return cls(docker, {**environment, **_builder(engine)})

    def try_run(self, *arguments: str, timeout_s: float = QUICK_S) -> "subprocess.CompletedProcess[str]":
        """Any docker command; its exit code is the caller's to judge."""
        command = [self.docker, *arguments]
        try:
            return subprocess.run(
                command, env=self.environment, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, "", f"no answer within {timeout_s:.0f} s")

    def run(self, *arguments: str, timeout_s: float = QUICK_S) -> str:
        """What the command printed; raises CommandFailed."""
        answer = self.try_run(*arguments, timeout_s=timeout_s)
        if answer.returncode != 0:
            raise CommandFailed(["docker", *arguments], answer.returncode, answer.stderr[-TAIL:])
        return answer.stdout

    def has_image(self, image: str) -> bool:
        """Whether the engine has it here."""
        return self.try_run("image", "inspect", image).returncode == 0

    def inspect(self, *names: str) -> list[dict[str, Any]]:
        """Containers, as the engine describes them."""
        found: list[dict[str, Any]] = json.loads(self.run("inspect", *names)) if names else []
        return found


def _builder(engine: Engine) -> dict[str, str]:
    """A client that is told to use BuildKit and has no buildx refuses; without it, it builds."""
    has_buildx = engine.try_run("buildx", "version").returncode == 0
    return {} if has_buildx else {"DOCKER_BUILDKIT": "0"}
