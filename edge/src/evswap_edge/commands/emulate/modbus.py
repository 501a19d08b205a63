"""What the emulators of Modbus devices have in common on the command line: their wire, and how they are
run."""

import argparse
import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from evswap_edge import plugins
from evswap_edge.documents import NameOrFile
from evswap_edge.emulators import EmulatorError, console
from evswap_edge.lean import with_openssl
from evswap_edge.registers import UnknownMap
from evswap_edge.registers.layout import LAST_UNIT
from evswap_edge.stopping import until_stopped

if TYPE_CHECKING:
    from evswap_edge.emulators.modbus_line import EmulatedLine

MapT = TypeVar("MapT")

_BUILTINS: Final = {
    name: plugins.Builtin(f"evswap_edge.emulators.{target}", extra="modbus")
    for name, target in (
        ("climate", "modbus_climate:ClimateEmulator"),
        ("bms-modbus", "modbus_batteries:BatteriesEmulator"),
        ("charger-modbus", "modbus_chargers:ChargersEmulator"),
    )
}


def add_wire(parser: argparse.ArgumentParser) -> None:
    """Where it hangs."""
    wire = parser.add_mutually_exclusive_group(required=True)
    wire.add_argument("--link", type=Path, metavar="PATH", help="Modbus RTU: the serial port to make")
    wire.add_argument(
        "--port",
        type=Path,
        metavar="DEVICE",
        help="Modbus RTU: a real adapter, as the map's factory settings",
    )
    wire.add_argument("--listen", type=address, metavar="HOST:PORT", help="Modbus TCP: where to listen")
    parser.add_argument("--slow-s", type=float, default=3.0, metavar="S", help="how late `slow` is (3)")


def serve(emulator: "EmulatedLine", options: argparse.Namespace) -> None:
    """Until standard input ends or a signal comes."""
    wire = _wire(emulator, options)
    asyncio.run(until_stopped(lambda stop: _serve(emulator, wire, stop)))


async def _serve(
    emulator: "EmulatedLine", wire: AbstractAsyncContextManager[str], stop: asyncio.Event
) -> None:
    async with wire as name:
        console.say(f"ready {name}")
        await console.obey_lines(emulator.obey, stop)


def kind_of_emulator(name: str) -> Any:
    """The emulator's class. Raises ``EmulatorError``."""
    with_openssl()  # pymodbus imports it
    try:
        return plugins.load(name, kind="emulator", builtins=_BUILTINS, group="evswap_edge.emulators")
    except plugins.PluginError as error:
        raise EmulatorError(str(error)) from error


def read_layout(text: str, read: Callable[[NameOrFile], MapT]) -> MapT:
    """The register map that ``text`` names. Raises ``EmulatorError``."""
    try:
        return read(NameOrFile.parse(text, folder=Path()))
    except UnknownMap as error:
        raise EmulatorError(str(error)) from error


def _wire(emulator: "EmulatedLine", options: argparse.Namespace) -> AbstractAsyncContextManager[str]:
    if options.link:
        return emulator.on_terminal(options.link)
    return emulator.on_adapter(options.port) if options.port else emulator.on_tcp(*options.listen)


def address(text: str) -> tuple[str, int]:
    """``HOST:PORT``"""
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdecimal() and int(port) < 65_536):
        raise argparse.ArgumentTypeError(f"{text!r}: has to be HOST:PORT, such as 127.0.0.1:5020")
    return host, int(port)


def unit(text: str) -> int:
    """A device's address."""
    return whole_number(text, most=LAST_UNIT)


def whole_number(text: str, *, most: int) -> int:
    """From 1 on."""
    if not (text.isdecimal() and 1 <= int(text) <= most):
        raise argparse.ArgumentTypeError(f"{text!r}: has to be 1 to {most}")
    return int(text)
