"""The commands of ``evswap-edge``: one module each, and the table that the command line is made from.

A module has ``HELP``, ``add_arguments`` and ``run``. ``run`` returns when the work is done and raises what
went wrong; ``__main__`` turns that into an exit code. Libraries that only one command needs are imported by
its ``run``, or every station would carry them in memory.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from evswap_edge.commands import check, csr, emulate, fleet, greengrass, health, outbox, provision, run


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """``is_service`` tells who reads what it says: a service speaks to its log, the others to a person."""

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]
    is_service: bool = False


COMMANDS: Final[Mapping[str, Command]] = {
    "run": Command(help=run.HELP, add_arguments=run.add_arguments, run=run.run, is_service=True),
    "fleet": Command(help=fleet.HELP, add_arguments=fleet.add_arguments, run=fleet.run, is_service=True),
    "greengrass": Command(
        help=greengrass.HELP, add_arguments=greengrass.add_arguments, run=greengrass.run, is_service=True
    ),
    "check": Command(help=check.HELP, add_arguments=check.add_arguments, run=check.run),
    "provision": Command(help=provision.HELP, add_arguments=provision.add_arguments, run=provision.run),
    "health": Command(help=health.HELP, add_arguments=health.add_arguments, run=health.run),
    "outbox": Command(help=outbox.HELP, add_arguments=outbox.add_arguments, run=outbox.run),
    "csr": Command(help=csr.HELP, add_arguments=csr.add_arguments, run=csr.run),
    "emulate": Command(help=emulate.HELP, add_arguments=emulate.add_arguments, run=emulate.run),
}
