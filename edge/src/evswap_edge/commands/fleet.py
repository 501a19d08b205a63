"""``evswap-edge fleet``."""

import argparse
import asyncio
from functools import partial

from evswap_edge import logs
from evswap_edge.app import Show
from evswap_edge.clock import SystemTime
from evswap_edge.commands import arguments
from evswap_edge.config import Configuration, read_fleet
from evswap_edge.fleet import run_fleet
from evswap_edge.hosting import shown_at, systemd_informed
from evswap_edge.stopping import until_stopped
from evswap_edge.supervision import run_one_of_many

add_arguments = arguments.add_config


def run(options: argparse.Namespace) -> None:
    """Run the stations until a signal comes."""
    configuration = read_fleet(options.config)
    logs.configure(configuration.log.level)
    with shown_at(configuration.metrics) as show:
        asyncio.run(until_stopped(lambda stop: _run_all(configuration, stop, show)))


async def _run_all(configuration: Configuration, stop: asyncio.Event, show: Show) -> None:
    """A fleet is at work while its event loop is: a station that fails is begun again by itself."""
    clock, begun = SystemTime(), asyncio.Event()
    begun.set()
    async with systemd_informed(clock, stop, begun=begun, healthy=lambda: True):
        await run_fleet(configuration.stations, clock, stop, run=partial(run_one_of_many, show=show))
