"""``evswap-edge greengrass``."""

import argparse
import asyncio

from evswap_edge import logs
from evswap_edge.clock import SystemTime
from evswap_edge.stopping import until_stopped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None: the nucleus tells everything, by its environment and by IPC."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "The configuration is that of the component, under the key `station`, with the keys of station.yaml\n"
        "except station_id (the core's thing name) and outbox (the component's work folder). To try it:\n\n"
        "  evswap-edge emulate greengrass --socket /tmp/ipc.socket --recipe deploy/greengrass/recipe.yaml"
    )


def run(options: argparse.Namespace) -> None:  # noqa: ARG001
    """Run the station until a signal comes."""
    from evswap_edge.greengrass import run_component

    asyncio.run(until_stopped(lambda stop: run_component(SystemTime(), stop, log_from=logs.configure)))
