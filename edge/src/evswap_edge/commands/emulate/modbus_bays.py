"""What the emulators of the devices of bays have in common on the command line."""

import argparse
from typing import TYPE_CHECKING

from evswap_edge.commands.emulate.modbus import add_wire, unit, whole_number
from evswap_edge.emulators import EmulatorError
from evswap_edge.registers import BatteryMap, ChargerMap, MapKind, names
from evswap_edge.registers.layout import LAST_UNIT
from evswap_schema.limits import MAX_BAYS

if TYPE_CHECKING:
    from evswap_edge.emulators.modbus_bays import BayPlaces


def add_arguments(parser: argparse.ArgumentParser, *, kind: MapKind, registers: str) -> None:
    """Where they hang, what they are, and how many."""
    add_wire(parser)
    known = ", ".join(names(kind))
    parser.add_argument(
        "--registers",
        default=registers,
        metavar="MAP",
        help=f"their register map: {known}, or a file ({registers})",
    )
    parser.add_argument("--bays", type=_bays, default=4, metavar="N", help="bays, from 1 on (4)")
    parser.add_argument(
        "--unit", type=unit, metavar="N", help="address of the first, 1 to 247 (as the map has it)"
    )
    parser.add_argument(
        "--units-apart", type=unit, default=1, metavar="N", help="from each unit to the next (1)"
    )


def bay_places(options: argparse.Namespace, layout: BatteryMap | ChargerMap) -> "BayPlaces":
    """Raises ``EmulatorError`` when there are more units than a line can have."""
    from evswap_edge.emulators.modbus_bays import BayPlaces

    first = options.unit or layout.factory.unit
    units = -(-options.bays // (layout.several.bays if layout.several else 1))
    if (last := first + (units - 1) * options.units_apart) > LAST_UNIT:
        raise EmulatorError(f"the last unit would be {last}, and can be {LAST_UNIT}: look at --unit, --bays")
    return BayPlaces(
        bays=options.bays, first_unit=first, units_apart=options.units_apart, slow_s=options.slow_s
    )


def _bays(text: str) -> int:
    return whole_number(text, most=MAX_BAYS)
