"""``evswap-edge emulate``: one module an emulator, and the table that its sub-commands are made from.

A module has ``HELP``, ``add_arguments`` and ``run``, as a command has.
"""

import argparse
from types import ModuleType
from typing import Final

from evswap_edge.commands.emulate import climate, greengrass

HELP: Final = "be a device or a service that is not there, with faults on demand"

_EMULATORS: Final[dict[str, ModuleType]] = {
    "climate": climate,
    "greengrass": greengrass,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A sub-command for each emulator."""
    emulators = parser.add_subparsers(dest="emulator", required=True, metavar="EMULATOR")
    for name, module in _EMULATORS.items():
        formatter = argparse.RawDescriptionHelpFormatter
        one = emulators.add_parser(
            name, help=module.HELP, description=module.__doc__, formatter_class=formatter
        )
        module.add_arguments(one)


def run(options: argparse.Namespace) -> None:
    """Be the one that was named, until told to end."""
    _EMULATORS[options.emulator].run(options)
