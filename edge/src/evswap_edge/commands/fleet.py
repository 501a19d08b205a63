"""``evswap-edge fleet``."""

import argparse
import asyncio
from typing import Final

from evswap_edge import logs
from evswap_edge.clock import SystemTime
from evswap_edge.commands import arguments
from evswap_edge.config import read_fleet
from evswap_edge.fleet import run_fleet
from evswap_edge.stopping import until_stopped

HELP: Final = "run many simulated stations in one process"
add_arguments = arguments.add_config


def run(options: argparse.Namespace) -> None:
    """Run the stations until a signal comes."""
    configuration = read_fleet(options.config)
    logs.configure(configuration.log.level)
    clock = SystemTime()
    asyncio.run(until_stopped(lambda stop: run_fleet(configuration.stations, clock, stop)))
