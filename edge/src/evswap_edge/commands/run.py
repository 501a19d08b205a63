"""``evswap-edge run``."""

import argparse
import asyncio
from functools import partial

from evswap_edge import logs
from evswap_edge.app import Show, run_station
from evswap_edge.clock import SystemTime
from evswap_edge.commands import arguments
from evswap_edge.config import Configuration, read_station
from evswap_edge.hosting import shown_at, systemd_informed
from evswap_edge.stopping import until_stopped
from evswap_edge.supervision import Supervisor
from evswap_edge.vitals import Vitals

add_arguments = arguments.add_config


def run(options: argparse.Namespace) -> None:
    """Run the station until a signal comes."""
    configuration = read_station(options.config)
    logs.configure(configuration.log.level)
    with shown_at(configuration.metrics) as show:
        asyncio.run(until_stopped(lambda stop: _supervise(configuration, stop, show)))


async def _supervise(configuration: Configuration, stop: asyncio.Event, show: Show) -> None:
    clock, vitals = SystemTime(), Vitals()
    supervisor = Supervisor(
        clock, run=partial(run_station, vitals=vitals, show=show), log_from=logs.configure
    )
    began_at = clock.monotonic()

    def is_at_work() -> bool:
        (station,) = supervisor.configuration.stations
        idle_s = clock.monotonic() - (vitals.sampled_at or began_at)
        return idle_s <= station.sampling.patience_s

    async with systemd_informed(
        clock,
        stop,
        begun=supervisor.begun,
        healthy=is_at_work,
        trouble=lambda: vitals.credentials_problem,
    ):
        await supervisor.run(configuration, stop)
