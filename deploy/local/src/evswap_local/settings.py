"""What ``evswap up`` was asked for, and what the running stack has."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from evswap_local.files import write_private

STATION_PREFIX = "station-"
VISITOR = "visitor"
"""A station with a certificate that no process uses, for trying things by hand."""


class Reporting(StrEnum):
    """How the stations report: each sample by itself, or changes at once and all samples in batches."""

    EVERY_SAMPLE = "every-sample"
    ON_CHANGE = "on-change"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``interval_s`` seconds between two samples, ``batch_age_s`` until a batch is sent.

    ``bays`` are those of each station, ``speed`` is simulated seconds in a second, ``bind`` is where the
    local AWS listens.
    """

    stations: int = 10
    interval_s: float = 5.0
    reporting: Reporting = Reporting.EVERY_SAMPLE
    batch_age_s: float = 60.0
    bays: int = 8
    speed: float = 1.0
    port: int = 4566
    mqtt_port: int = 8883
    bind: str = "127.0.0.1"
    region: str = "us-east-1"

    @property
    def endpoint_url(self) -> str:
        """Where AWS is, for clients on this machine."""
        return f"http://127.0.0.1:{self.port}"

    def station_ids(self) -> Sequence[str]:
        """``station-01``, ``station-02``, ...: a name stays the same however many there are."""
        return tuple(f"{STATION_PREFIX}{number:02d}" for number in range(1, self.stations + 1))


@dataclass(frozen=True)
class SettingsFile:
    """Keeps the settings of the stack that runs."""

    path: Path

    def write(self, settings: Settings) -> None:
        """Notes ``settings`` down."""
        write_private(self.path, msgspec.json.format(msgspec.json.encode(settings)).decode() + "\n")

    def read(self) -> Settings | None:
        """The settings that were noted down last; None when there are none, or of another version."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Settings)
        except (FileNotFoundError, msgspec.ValidationError, msgspec.DecodeError):
            return None
