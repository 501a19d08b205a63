"""``evswap-edge run``."""

import argparse
import asyncio
from typing import Final

from evswap_edge import logs
from evswap_edge.clock import SystemTime
from evswap_edge.commands import arguments
from evswap_edge.config import read_station
from evswap_edge.stopping import until_stopped
from evswap_edge.supervision import Supervisor

HELP: Final = "run one station"
add_arguments = arguments.add_config


def run(options: argparse.Namespace) -> None:
    """Run the station until a signal comes."""
    configuration = read_station(options.config)
    logs.configure(configuration.log.level)
    clock = SystemTime()
    supervisor = Supervisor(clock, log_from=logs.configure)
    asyncio.run(until_stopped(lambda stop: supervisor.run(configuration, stop)))
