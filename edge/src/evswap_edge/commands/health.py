"""``evswap-edge health``."""

import argparse
import time
from typing import Final

from evswap_edge.clock import SystemTime, TimeSource
from evswap_edge.commands import arguments
from evswap_edge.commands.outlook import certificate_outlook
from evswap_edge.config import StationConfig, read_any
from evswap_edge.outbox import OutboxStale, written_at
from evswap_edge.transports import CredentialsError

HELP: Final = "say whether a station samples: for the health check of a container or a supervisor"

add_arguments = arguments.add_config


def run(options: argparse.Namespace) -> None:
    """Look when each outbox was written last. Whether the cloud is reached does not count: a station that is
    offline does its work. Raises ``OutboxStale``."""
    clock = SystemTime()
    for station in read_any(options.config).stations:
        _demand_fresh(station)
        if outlook := _outlook(station, clock):
            print(outlook)


def _outlook(station: StationConfig, clock: TimeSource) -> str | None:
    """A station samples without a certificate, too: one that cannot be read is said and no reason to fail."""
    try:
        return certificate_outlook(station, clock)
    except CredentialsError as error:
        return str(error)


def _demand_fresh(station: StationConfig) -> None:
    limit_s = station.sampling.patience_s
    age_s = max(0.0, time.time() - written_at(station.outbox_path))
    if age_s > limit_s:
        raise OutboxStale(station.outbox_path, age_s=age_s, limit_s=limit_s)
    print(f"{station.station_id}: wrote {age_s:.1f} s ago (limit {limit_s:.0f} s)")
