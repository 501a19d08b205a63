"""What can be missing or go wrong. Every error is one sentence that says what to do next.

``DockerError``
    ``EngineMissing``     no docker client on the PATH
    ``EngineSilent``      the client is there, and no engine answers it
    ``ComposeMissing``    neither `docker compose` nor `docker-compose`
    ``BaseImageMissing``  the base image is neither here nor can it be pulled
    ``PythonUnsuitable``  the base image has no Python that evswap runs on
    ``WheelsMissing``     pip could not get the wheels
    ``CommandFailed``     docker or compose said no
    ``PortTaken``         the port of the API is taken by another program
    ``StationsMissing``   containers run, but not every station appeared in the API
    ``NotRunning``        nothing runs
    ``BadSetting``        a variable of the environment cannot be meant
"""

from collections.abc import Sequence


class DockerError(Exception):
    """The base; ``str()`` is the sentence for the user."""


class EngineMissing(DockerError):
    """There is no program ``docker``."""

    def __init__(self) -> None:
        super().__init__(
            "docker is not on the PATH: install an engine (https://docs.docker.com/engine/install/; on "
            "Debian or Ubuntu: apt install docker.io docker-compose)"
        )


class EngineSilent(DockerError):
    """``reason`` is the client's."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"no docker engine answers ({_one_line(reason)}): start it (systemctl start docker), or let "
            f"DOCKER_HOST name the one to use; if permission was denied, join the group docker"
        )
        self.reason = reason


class ComposeMissing(DockerError):
    """Neither kind of compose is there."""

    def __init__(self) -> None:
        super().__init__(
            "compose is missing: install the plugin (`docker compose`) or docker-compose 1.29 or newer (on "
            "Debian or Ubuntu: apt install docker-compose)"
        )


class BaseImageMissing(DockerError):
    """``image`` cannot be had; ``reason`` is the engine's."""

    def __init__(self, image: str, reason: str) -> None:
        super().__init__(
            f"the base image {image} is not here and cannot be pulled ({_one_line(reason)}): load it (docker "
            f"load), or name another Debian-like image with Python 3.11 to 3.13 in BASE_IMAGE"
        )
        self.image, self.reason = image, reason


class PythonUnsuitable(DockerError):
    """``image`` has the Python ``version``, or none."""

    def __init__(self, image: str, version: str) -> None:
        super().__init__(
            f"the base image {image} has {version or 'no python3'}: name one with Python 3.11 to 3.13 in "
            f"BASE_IMAGE"
        )
        self.image, self.version = image, version


class WheelsMissing(DockerError):
    """pip could not get the wheels of ``what``; ``output`` is what it said."""

    def __init__(self, what: str, output: str) -> None:
        super().__init__(
            f"the wheels of {what} could not be fetched; check the network and pip's configuration, and try "
            f"again:\n{output.strip()}"
        )
        self.what, self.output = what, output


class CommandFailed(DockerError):
    """``command`` ended with ``code``; ``output`` is the end of what it said."""

    def __init__(self, command: Sequence[str], code: int, output: str) -> None:
        super().__init__(f"`{' '.join(command)}` failed with code {code}:\n{output.strip()}")
        self.command, self.code, self.output = tuple(command), code, output


class PortTaken(DockerError):
    """``port`` of this machine is in use by something that is not ours."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"port {port} is taken by another program (`make up` uses 4566 too): stop that one, or choose "
            f"another port: EVSWAP_PORT={port + 1}"
        )
        self.port = port


class StationsMissing(DockerError):
    """``seen`` of ``wanted`` stations appeared within ``deadline_s`` seconds."""

    def __init__(self, seen: int, wanted: int, deadline_s: float) -> None:
        super().__init__(
            f"{seen} of {wanted} stations are visible after {deadline_s:.0f} s: `deploy/docker/stations "
            f"logs` has what they say"
        )
        self.seen, self.wanted, self.deadline_s = seen, wanted, deadline_s


class NotRunning(DockerError):
    """There is no container of the local AWS."""

    def __init__(self) -> None:
        super().__init__("nothing runs: start it with `make stations`")


class BadSetting(DockerError):
    """``variable`` is ``value``, and ``rule`` says what it has to be."""

    def __init__(self, variable: str, value: str, rule: str) -> None:
        super().__init__(f"{variable} is {value!r}: it has to be {rule}")
        self.variable, self.value, self.rule = variable, value, rule


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
