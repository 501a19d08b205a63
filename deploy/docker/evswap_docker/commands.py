"""What a person asks for: up, down, status, logs, build, context."""

import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from evswap_docker.compose import AWS, STATION, Compose
from evswap_docker.engine import Engine
from evswap_docker.errors import NotRunning, StationsMissing
from evswap_docker.images import build_images, make_context
from evswap_docker.settings import Settings

VISIBLE_S = 90.0
VISIBLE_PER_STATION_S = 5.0
POLL_S = 1.0
FRESH = timedelta(seconds=60)
"""How old the last message of a station that counts as visible may be, beyond its sampling interval."""

HELPER = ("/opt/evswap/bin/python", "-I", "/opt/evswap/aws.py")


@dataclass(frozen=True)
class Commands:
    """On one project, by one engine."""

    engine: Engine
    settings: Settings

    @property
    def compose(self) -> Compose:
        return Compose.find(self.engine, self.settings)

    def build(self) -> None:
        """Both images."""
        build_images(self.engine, self.settings, say)

    def up(self, stations: int, *, build: bool = True) -> None:
        """Images, the local AWS, ``stations`` stations; returns when the API shows them all."""
        compose = self.compose
        if build:
            self.build()
        say(f"starting the local AWS and {stations} stations")
        since = datetime.now(UTC)
        compose.up(stations)
        self._await_visible(stations, since)
        self._say_where(stations)

    def down(self, *, volumes: bool) -> None:
        """Everything stops; what was written stays, unless ``volumes``."""
        self.compose.down(volumes=volumes)
        say("stopped; volumes " + ("removed" if volumes else "kept: `make stations` goes on with them"))

    def status(self) -> None:
        """Containers, and stations in the API; raises NotRunning."""
        compose = self.compose
        containers = [*compose.containers(AWS), *compose.containers(STATION)]
        if not containers:
            raise NotRunning
        for container in containers:
            state = container["State"]
            health = state.get("Health", {}).get("Status", "")
            say(f"{container['Name'].lstrip('/'):<28}{state['Status']:<12}{health}")
        self._say_where(len(compose.containers(STATION)))

    def logs(self, services: Sequence[str]) -> int:
        """What the containers say; the exit code of compose."""
        return self.compose.follow_logs(services)

    def context(self, image: str, folder: Path) -> None:
        """What a build of ``image`` by other means needs."""
        make_context(self.engine, self.settings, image, folder)
        say(f"{folder}: docker build --build-arg BASE_IMAGE={self.settings.base_image} {folder}")

    def visible(self, since: datetime) -> set[str]:
        """The stations whose last message came after ``since``; none while the API does not answer."""
        answer = self.engine.try_run("exec", self.compose.aws(), *HELPER, "visible")
        if answer.returncode != 0:
            return set()
        return {
            station["station_id"]
            for station in json.loads(answer.stdout)
            if datetime.fromisoformat(station["received_at"]) >= since
        }

    def api_url(self) -> str:
        """Where the API answers on the machine that the engine publishes its ports on."""
        read = self.engine.run("exec", self.compose.aws(), "cat", "/var/lib/evswap/stack.json")
        inside: str = json.loads(read)["api_url"]
        return re.sub(r"//[^/]+/", f"//127.0.0.1:{self.settings.port}/", inside, count=1)

    def _await_visible(self, stations: int, since: datetime) -> None:
        deadline_s = VISIBLE_S + VISIBLE_PER_STATION_S * stations
        deadline, seen = time.monotonic() + deadline_s, -1
        while True:
            count = len(self.visible(since))
            if count != seen:
                say(f"stations visible {count}/{stations}")
                seen = count
            if count >= stations:
                return
            if time.monotonic() > deadline:
                raise StationsMissing(seen, stations, deadline_s)
            time.sleep(POLL_S)

    def _say_where(self, stations: int) -> None:
        url, now = self.api_url(), datetime.now(UTC)
        seen = self.visible(now - FRESH)
        sys.stdout.write(f"api_url     {url}\ntry         curl {url}/stations\n")
        sys.stdout.write(f"stations    {len(seen)} of {stations} visible\n")
        sys.stdout.flush()


def say(text: str) -> None:
    """To stderr: stdout is for results."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
