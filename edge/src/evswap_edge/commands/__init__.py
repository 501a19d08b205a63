"""The commands of ``evswap-edge``: one module each, and the table that the command line is made from.

A module has ``add_arguments`` and ``run``. ``run`` returns when the work is done and raises what went wrong;
``__main__`` turns that into an exit code. A module is imported when its command is chosen: a health check
every few seconds does not pay for what a station needs. Libraries that only one of a module's ways needs are
imported by its ``run``, or every station would carry them in memory.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """``is_service`` tells who reads what it says: a service speaks to its log, the others to a person."""

    module: str
    help: str
    is_service: bool = False

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Teach ``parser`` what the command takes."""
        self._imported().add_arguments(parser)

    def run(self, options: argparse.Namespace) -> None:
        """Do it."""
        self._imported().run(options)

    def _imported(self) -> ModuleType:
        return import_module(f"{__name__}.{self.module}")


COMMANDS: Final[Mapping[str, Command]] = {
    "run": Command(module="run", help="run one station", is_service=True),
    "fleet": Command(module="fleet", help="run many simulated stations in one process", is_service=True),
    "greengrass": Command(
        module="greengrass",
        help="run this station as a component of AWS IoT Greengrass",
        is_service=True,
    ),
    "check": Command(module="check", help="say what a configuration would run, and what is wrong with it"),
    "probe": Command(module="probe", help="look what is on the buses of this machine: for a technician"),
    "provision": Command(
        module="provision",
        help="obtain this station's certificate by showing the claim certificate, or renew it",
    ),
    "health": Command(
        module="health",
        help="say whether a station samples: for the health check of a container or a supervisor",
    ),
    "outbox": Command(module="outbox", help="look into what waits at a station: for a technician"),
    "release": Command(
        module="release", help="let a bay work again that the safety interlock locked out: at the station"
    ),
    "csr": Command(module="csr", help="make this station's key and the request to certify it"),
    "simulate": Command(
        module="simulate", help="tell the story of a simulated station, and check its figures"
    ),
    "emulate": Command(
        module="emulate", help="be a device or a service that is not there, with faults on demand"
    ),
}
