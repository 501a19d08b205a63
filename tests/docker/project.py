"""One compose project, driven as a person drives it, by `deploy/docker/stations`, and seen from outside."""

import json
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from evswap_docker.commands import Commands
from evswap_docker.compose import STATION
from evswap_docker.engine import Engine
from evswap_docker.settings import FOLDER, Settings
from tests.docker.engine import Provided
from tests.repeats import connections

Sample = tuple[str, int]
"""The stream and the number in it: with the station's name, the identity."""

UP_WITHIN_S = 600
PYTHON = "/opt/evswap/bin/python"
PREFIX = "docker-"
READ_OUTBOXES = """
import json, pathlib, sqlite3
found = {}
for path in sorted(pathlib.Path("/data").glob("*/outbox.sqlite")):
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    counted = "SELECT stream_id, sample_sequence FROM ledger JOIN streams ON stream = sample_stream"
    stream, last = db.execute(counted).fetchone()
    waiting = db.execute("SELECT samples + parcel_samples FROM ledger").fetchone()[0]
    aside = db.execute("SELECT set_aside FROM ledger").fetchone()[0]
    found[path.parent.name] = {"stream": stream, "last": last, "waiting": waiting, "aside": aside}
    db.close()
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Outbox:
    """`last` is the newest number that was given out in `stream`, the one that samples are added to now."""

    stream: str
    last: int
    waiting: int
    aside: int

    def has_grown_since(self, before: "Outbox") -> bool:
        """Whether there are new samples; those of another container are in another stream."""
        return self.last > (before.last if self.stream == before.stream else 0)


class Committed:
    """Which samples the stations have ever committed, by their identities.

    A drawer that another container takes goes on under a new stream, in which numbers begin at one, and no
    longer says where the one before ended: that has to be noted while the station does not run.
    """

    def __init__(self) -> None:
        self._last: dict[str, dict[str, int]] = {}

    def note(self, outboxes: Mapping[str, Outbox]) -> None:
        """What `outboxes` say now; a stream that a station is writing may be noted again."""
        for station_id, outbox in outboxes.items():
            self._last.setdefault(station_id, {})[outbox.stream] = outbox.last

    def of(self, station_id: str) -> set[Sample]:
        """A station's samples: stream and number. Numbers leave none out."""
        streams = self._last[station_id].items()
        return {(stream, number) for stream, last in streams for number in range(1, last + 1)}


class Project:
    """Its samples are a second apart, or the tests would wait."""

    interval_s = 1

    def __init__(self, provided: Provided, name: str) -> None:
        self.provided = provided
        self.name = name
        self.environment = {
            **provided.environment,
            "BASE_IMAGE": provided.base_image,
            "COMPOSE_PROJECT_NAME": name,
            "EVSWAP_AWS_IMAGE": f"{name}-aws",
            "EVSWAP_STATION_IMAGE": f"{name}-station",
            "EVSWAP_STATION_PREFIX": PREFIX,
            "EVSWAP_INTERVAL_S": str(self.interval_s),
        }

    # --- driving ---

    def up(self, count: int, *options: str) -> str:
        """`stations up`, which has to succeed; what it printed."""
        return self.run("up", str(count), *options)

    def run(self, *arguments: str) -> str:
        """A command of `stations` that has to succeed."""
        done = self.try_run(*arguments)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{self.logs()}"
        return done.stdout

    def try_run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, str(FOLDER / "stations"), *arguments]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=UP_WITHIN_S, check=False
        )

    def docker(self, *arguments: str, timeout_s: float = 120) -> str:
        """What a docker command printed, which has to succeed."""
        answer = self.engine.try_run(*arguments, timeout_s=timeout_s)
        assert answer.returncode == 0, f"docker {arguments}\n{answer.stderr}\n{self.logs()}"
        return answer.stdout

    def remove(self) -> None:
        """All of it."""
        self.try_run("down", "--volumes")
        self.engine.try_run("image", "rm", "--force", f"{self.name}-aws", f"{self.name}-station")

    # --- looking ---

    @cached_property
    def engine(self) -> Engine:
        return Engine.find(self.environment)

    @property
    def commands(self) -> Commands:
        return Commands(self.engine, Settings.of(self.environment))

    def containers(self) -> list[str]:
        """The ids of the stations' containers."""
        return [each["Id"] for each in self.commands.compose.containers(STATION)]

    def station_of(self, container: str) -> str:
        """Which station runs in it: it keeps to that name while it lives."""
        read = self.docker("exec", container, "cat", "/run/evswap/station.yaml")
        return str(json.loads(read)["station_id"])

    def is_at_work(self, container: str) -> bool:
        """Whether a station has found its place in it."""
        read = self.engine.try_run("exec", container, "test", "-s", "/run/evswap/station.yaml")
        return read.returncode == 0

    def outboxes(self, container: str) -> dict[str, Outbox]:
        """All of them, read in a container that has the volume."""
        return _outboxes(self.docker("exec", container, PYTHON, "-c", READ_OUTBOXES))

    def outboxes_at_rest(self) -> dict[str, Outbox]:
        """All of them, while no station need run."""
        read = self.docker(
            *("run", "--rm", "--network", "none", "--volume", f"{self.name}_stations:/data"),
            *("--entrypoint", PYTHON, f"{self.name}-station", "-c", READ_OUTBOXES),
        )
        return _outboxes(read)

    def archived(self) -> dict[str, "Counter[Sample]"]:
        """How often the archive holds each sample of each station."""
        evswap = ("/opt/evswap/bin/evswap", "archive", "list", "--root", "/opt/evswap/checkout")
        lines = self.docker("exec", self.commands.compose.aws(), *evswap).splitlines()
        found: defaultdict[str, Counter[Sample]] = defaultdict(Counter)
        for reading in map(json.loads, lines):
            found[reading["station_id"]][reading["stream_id"], reading["sequence"]] += 1
        return found

    def connections(self) -> "Counter[str]":
        """How often each station was connected, as all containers that there are tell."""
        told = (self.engine.try_run("logs", container) for container in self.containers())
        return connections(line for answer in told for line in answer.stderr.splitlines())

    def get(self, url: str) -> Any:
        """An answer of the published API, from where the engine publishes it."""
        fetch = f"import urllib.request; print(urllib.request.urlopen({url!r}, timeout=10).read().decode())"
        done = subprocess.run(
            [*self.provided.inside, sys.executable, "-c", fetch], capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)

    def logs(self) -> str:
        """The last lines of every container, for a test that has failed."""
        done = self.try_run("logs")
        return f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"


def _outboxes(text: str) -> dict[str, Outbox]:
    return {name: Outbox(**numbers) for name, numbers in json.loads(text).items()}
