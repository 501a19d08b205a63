"""Running the local AWS for tests."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from evswap_local import emulator
from evswap_local.clients import Clients
from evswap_local.credentials import Credentials, keep
from evswap_local.layout import StateFolder
from evswap_local.processes import Processes
from evswap_local.settings import Settings

ROOT = Path(__file__).parents[2]


@dataclass
class Emulator:
    """A local AWS with a state folder and ports of its own."""

    python: Path
    state: StateFolder
    settings: Settings

    @classmethod
    @contextmanager
    def running(cls, python: Path, folder: Path) -> "Iterator[Emulator]":
        port, mqtt_port = free_ports(2)
        made = cls(python, StateFolder(folder / "state"), Settings(port=port, mqtt_port=mqtt_port))
        made.state.make()
        try:
            made.start()
            yield made
        finally:
            made.stop()

    @property
    def processes(self) -> Processes:
        return Processes(run=self.state.run, logs=self.state.logs)

    @property
    def credentials(self) -> Credentials:
        return keep(self.state.credentials)

    def start(self) -> None:
        emulator.start_emulator(self.processes, self.python, self.state, self.settings, self.credentials)

    def stop(self) -> None:
        self.processes.stop(emulator.NAME)

    def process(self) -> psutil.Process:
        running = self.processes.find(emulator.NAME)
        assert running is not None
        return psutil.Process(running.pid)

    def clients(self, used: Credentials | None = None) -> Clients:
        return Clients(self.settings.endpoint_url, self.settings.region, used or self.credentials)


def free_ports(count: int) -> list[int]:
    """TCP ports on loopback that nobody listens on at the moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
