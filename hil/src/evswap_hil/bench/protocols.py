"""What the suites ask of a bench, whatever it is made of. A driver keeps one of these."""

import abc
from datetime import datetime
from typing import Any

from evswap_hil.emulator import Fault
from evswap_hil.observers.archive import Account


class CloudProtocol(abc.ABC):
    """What a station's data has become, seen from outside."""

    @abc.abstractmethod
    def latest(self, station_id: str) -> dict[str, Any] | None:
        """The latest state in the API; None where it knows no such station."""

    @abc.abstractmethod
    def account(self, station_id: str, since: datetime) -> Account:
        """What the archive holds of the station's samples."""


class ClimateProtocol(abc.ABC):
    """The air around the station's climate sensor, and the sensor's faults."""

    @abc.abstractmethod
    def temperature(self, celsius: float) -> None:
        """What the sensor is to measure from now on."""

    @abc.abstractmethod
    def humidity(self, percent: float) -> None:
        """What the sensor is to measure from now on."""

    @abc.abstractmethod
    def fail(self, fault: Fault) -> None:
        """Let the sensor fail from now on."""

    @abc.abstractmethod
    def heal(self) -> None:
        """Let the sensor work from now on."""


class LinkProtocol(abc.ABC):
    """The station's way to the cloud."""

    @abc.abstractmethod
    def cut(self) -> None:
        """Break it so that both ends notice."""

    @abc.abstractmethod
    def swallow(self) -> None:
        """Break it so that nobody notices: connections stay, and nothing gets through."""

    @abc.abstractmethod
    def restore(self) -> None:
        """Let new connections through."""


class StationProtocol(abc.ABC):
    """The station under test: its program, on whatever machine."""

    @property
    @abc.abstractmethod
    def station_id(self) -> str:
        """The name that it has in the cloud."""

    @abc.abstractmethod
    def prepare(self) -> None:
        """Make ready to start, and find out whether the station would."""

    @abc.abstractmethod
    def start(self) -> None:
        """Start the program."""

    @abc.abstractmethod
    def stop(self) -> int:
        """Tell it to end, wait until it has, and return its exit status."""

    @abc.abstractmethod
    def kill(self) -> None:
        """End it without warning."""

    @abc.abstractmethod
    def is_running(self) -> bool:
        """Whether the program runs."""

    @abc.abstractmethod
    def log(self, lines: int) -> str:
        """The end of what the program said."""

    @abc.abstractmethod
    def version(self) -> str:
        """The version of the program."""
