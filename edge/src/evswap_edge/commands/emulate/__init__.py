"""``evswap-edge emulate``: one module an emulator, and the table that its sub-commands are made from.

A module has ``HELP``, ``add_arguments`` and ``run``, as a command has.
"""

import argparse
from types import ModuleType
from typing import Final

from evswap_edge.commands.emulate import bms_can, bms_modbus, charger_modbus, climate, greengrass

_EMULATORS: Final[dict[str, ModuleType]] = {
    "bms-can": bms_can,
    "bms-modbus": bms_modbus,
    "charger-modbus": charger_modbus,
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
