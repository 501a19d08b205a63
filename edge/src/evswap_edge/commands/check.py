"""``evswap-edge check``."""

import argparse
from collections.abc import Iterator

from evswap_edge.clock import SystemTime
from evswap_edge.commands import arguments
from evswap_edge.commands.outlook import certificate_outlook
from evswap_edge.config import StationConfig, describe, read_any
from evswap_edge.drivers.bays import written
from evswap_edge.drivers.composition import Composition, outline

add_arguments = arguments.add_config


def run(options: argparse.Namespace) -> None:
    """Look at either kind of file; it is told apart by the key that only a fleet has. No hardware is
    touched."""
    configuration = read_any(options.config)
    clock = SystemTime()
    for station in configuration.stations:
        station.transport.kind.check(station.transport.settings, clock)
        print(describe(station))
        if outlook := certificate_outlook(station, clock):
            print(outlook)
    # The stations of a fleet differ by name and certificate, and have the same hardware.
    for line in _hardware(configuration.stations[0]):
        print(f"  {line}")


def _hardware(station: StationConfig) -> Iterator[str]:
    """What would be read from where, bay by bay."""
    settings = station.driver.settings
    if isinstance(settings, Composition):
        yield from outline(settings)
    elif bays := station.driver.kind.bays(settings):
        yield f"bays {written(bays)}: everything from {station.driver.name}"
