"""``evswap-edge check``."""

import argparse

from evswap_edge.clock import SystemTime
from evswap_edge.commands import arguments
from evswap_edge.commands.outlook import certificate_outlook
from evswap_edge.config import describe, read_any

add_arguments = arguments.add_config


def run(options: argparse.Namespace) -> None:
    """Look at either kind of file; it is told apart by the key that only a fleet has."""
    configuration = read_any(options.config)
    clock = SystemTime()
    for station in configuration.stations:
        station.transport.kind.check(station.transport.settings, clock)
        print(describe(station))
        if outlook := certificate_outlook(station, clock):
            print(outlook)
