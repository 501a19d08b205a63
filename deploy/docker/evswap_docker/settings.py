"""What may be chosen by the environment, and where things lie. The one home of these defaults."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evswap_docker.errors import BadSetting

ROOT = Path(__file__).resolve().parents[3]
"""The checkout."""

FOLDER = Path(__file__).resolve().parents[1]
"""Dockerfiles and compose.yaml."""

FIRST_PYTHON, LAST_PYTHON = (3, 11), (3, 13)
"""What requirements/*.txt are locked for."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """``project`` begins the names of containers, volumes and the network."""

    base_image: str = "python:3.13-slim"
    project: str = "evswap"
    port: int = 4566
    cache: Path = ROOT / ".evswap" / "docker"
    aws_image: str = "evswap-aws"
    station_image: str = "evswap-station"

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """As the environment says, the rest as above; raises BadSetting."""
        normal, state = cls(), environment.get("EVSWAP_STATE_DIR")
        return cls(
            base_image=environment.get("BASE_IMAGE") or normal.base_image,
            project=environment.get("COMPOSE_PROJECT_NAME") or normal.project,
            port=_port(environment.get("EVSWAP_PORT")) or normal.port,
            cache=Path(state) / "docker" if state else normal.cache,
            aws_image=environment.get("EVSWAP_AWS_IMAGE") or normal.aws_image,
            station_image=environment.get("EVSWAP_STATION_IMAGE") or normal.station_image,
        )

    def environment(self) -> dict[str, str]:
        """What compose.yaml reads."""
        return {
            "EVSWAP_PORT": str(self.port),
            "EVSWAP_AWS_IMAGE": self.aws_image,
            "EVSWAP_STATION_IMAGE": self.station_image,
        }


def _port(text: str | None) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise BadSetting("EVSWAP_PORT", text, "a port, 1 to 65535")
    return int(text)
