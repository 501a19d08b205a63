"""``evswap-edge health``."""

import argparse
import time

from evswap_edge.alarms import book_beside, raised_in
from evswap_edge.clock import SystemTime
from evswap_edge.commands import arguments
from evswap_edge.commands.outlook import certificate_fault, certificate_outlook
from evswap_edge.config import StationConfig, read_any
from evswap_edge.outbox import OutboxStale, written_at

add_arguments = arguments.add_config


def run(options: argparse.Namespace) -> None:
    """Look when each outbox was written last. Whether the cloud is reached does not count, nor whether it
    could be: a station that is offline does its work. What keeps it offline is said. Raises
    ``OutboxStale``."""
    clock = SystemTime()
    for station in read_any(options.config).stations:
        _demand_fresh(station)
        if said := certificate_fault(station, clock) or certificate_outlook(station, clock):
            print(said)
        if alarms := raised_in(book_beside(station.outbox_path)):
            print(f"{station.station_id}: alarms: {', '.join(sorted(alarms))}; the log says more")


def _demand_fresh(station: StationConfig) -> None:
    limit_s = station.sampling.patience_s
    age_s = max(0.0, time.time() - written_at(station.outbox_path))
    if age_s > limit_s:
        raise OutboxStale(station.outbox_path, age_s=age_s, limit_s=limit_s)
    print(f"{station.station_id}: wrote {age_s:.1f} s ago (limit {limit_s:.0f} s)")
