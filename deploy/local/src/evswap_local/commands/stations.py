"""``evswap fleet`` and ``evswap certificate``: the stations by themselves."""

import argparse
import sys

from evswap_local import fleet
from evswap_local.certificates import renew_certificate
from evswap_local.context import Context
from evswap_local.emulator import NAME as EMULATOR
from evswap_local.errors import NotRunning
from evswap_local.lock import exclusive


def add_fleet_arguments(parser: argparse.ArgumentParser) -> None:
    """Which way."""
    parser.add_argument("action", choices=["start", "stop", "restart"], help="what to do")


def run_fleet(context: Context, options: argparse.Namespace) -> int:
    """Starts or stops the fleet process alone; what it has sampled stays in its outboxes."""
    context.state.make()
    with exclusive(context.state.lock):
        stopped = options.action != "start" and context.processes.stop(fleet.NAME)
        if options.action != "stop" and context.processes.find(fleet.NAME) is None:
            if not context.state.fleet_config.is_file():
                raise NotRunning
            fleet.start_fleet(context.processes, context.state)
            sys.stdout.write("fleet started\n")
        else:
            sys.stdout.write("fleet stopped\n" if stopped else "nothing to do\n")
    return 0


def add_certificate_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose."""
    parser.add_argument("action", choices=["renew"], help="issue another certificate, revoke the one before")
    parser.add_argument("station_id", metavar="STATION", help="the station, or `visitor`")


def run_certificate(context: Context, options: argparse.Namespace) -> int:
    """Issues another certificate for the station's key; starts a running fleet again with it."""
    context.state.make()
    with exclusive(context.state.lock):
        if context.processes.find(EMULATOR) is None:
            raise NotRunning
        settings, _described = context.demand_running()
        clients = context.clients(settings)
        renew_certificate(clients, context.source(clients), context.state.certificates, options.station_id)
        sys.stdout.write(f"{options.station_id} has another certificate\n")
        if context.processes.stop(fleet.NAME):
            fleet.start_fleet(context.processes, context.state)
            sys.stdout.write("fleet started again\n")
    return 0
