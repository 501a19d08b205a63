"""An RS-485 climate sensor (temperature, humidity): Modbus RTU on a pseudo-terminal or behind a serial
adapter, or Modbus TCP.

Says `ready PATH` when it can be read. Then it takes commands as lines on standard input, and answers each
with one line (`ok` or `error: ...`):

  temperature 30.5     what it measures from now on, in degrees Celsius
  humidity 55          the same, in percent
  fault silent         it hears and does not answer
  fault crc            its answers arrive with a wrong checksum (RTU only)
  fault cut            the end of its answers is missing
  fault wrong-length   whole and right answers, with a register too few
  fault frozen         it repeats what it measured last
  fault out-of-range   it measures the impossible
  fault slow           its answers come late (--slow-s)
  fault none           it is well again
  status               ok, what it measures, its fault, and how often it was asked

It ends with its standard input, or by SIGTERM; the serial port is gone then, as if the adapter was pulled
out.
"""

import argparse
import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from evswap_edge import plugins
from evswap_edge.documents import NameOrFile
from evswap_edge.emulators import EmulatorError, console
from evswap_edge.lean import with_openssl
from evswap_edge.registers import ClimateMap, UnknownMap, names, read_climate_map
from evswap_edge.stopping import until_stopped

if TYPE_CHECKING:
    from evswap_edge.emulators.modbus_climate import ClimateEmulator

HELP: Final = "a temperature and humidity sensor on Modbus"

_BUILTINS: Final = {
    "climate": plugins.Builtin("evswap_edge.emulators.modbus_climate:ClimateEmulator", extra="modbus")
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where it hangs, what it is, and what it begins with."""
    wire = parser.add_mutually_exclusive_group(required=True)
    wire.add_argument("--link", type=Path, metavar="PATH", help="Modbus RTU: the serial port to make")
    wire.add_argument(
        "--port",
        type=Path,
        metavar="DEVICE",
        help="Modbus RTU: a real adapter, as the map's factory settings",
    )
    wire.add_argument("--listen", type=_address, metavar="HOST:PORT", help="Modbus TCP: where to listen")
    known = ", ".join(names())
    parser.add_argument(
        "--registers", default="sht20", metavar="MAP", help=f"its register map: {known}, or a file (sht20)"
    )
    parser.add_argument("--unit", type=_unit, metavar="N", help="its address, 1 to 247 (as the map has it)")
    parser.add_argument("--temperature", type=float, default=25.0, metavar="C", help="degrees Celsius (25)")
    parser.add_argument("--humidity", type=float, default=50.0, metavar="PERCENT", help="relative (50)")
    parser.add_argument("--slow-s", type=float, default=3.0, metavar="S", help="how late `slow` is (3)")


def run(options: argparse.Namespace) -> None:
    """Serve until standard input ends or a signal comes."""
    with_openssl()  # pymodbus imports it
    emulator = _emulator(options)
    wire = _wire(emulator, options)
    asyncio.run(until_stopped(lambda stop: _serve(emulator, wire, stop)))


async def _serve(
    emulator: "ClimateEmulator", wire: AbstractAsyncContextManager[str], stop: asyncio.Event
) -> None:
    async with wire as name:
        console.say(f"ready {name}")
        await console.obey_lines(emulator.obey, stop)


def _emulator(options: argparse.Namespace) -> "ClimateEmulator":
    layout = _layout(options.registers)
    try:
        kind: type[ClimateEmulator] = plugins.load(
            "climate", kind="emulator", builtins=_BUILTINS, group="evswap_edge.emulators"
        )
    except plugins.PluginError as error:
        raise EmulatorError(str(error)) from error
    return kind(
        layout,
        unit=options.unit or layout.factory.unit,
        temperature=options.temperature,
        humidity=options.humidity,
        slow_s=options.slow_s,
    )


def _layout(text: str) -> ClimateMap:
    try:
        return read_climate_map(NameOrFile.parse(text, folder=Path()))
    except UnknownMap as error:
        raise EmulatorError(str(error)) from error


def _wire(emulator: "ClimateEmulator", options: argparse.Namespace) -> AbstractAsyncContextManager[str]:
    if options.link:
        return emulator.on_terminal(options.link)
    return emulator.on_adapter(options.port) if options.port else emulator.on_tcp(*options.listen)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdecimal() and int(port) < 65_536):
        raise argparse.ArgumentTypeError(f"{text!r}: has to be HOST:PORT, such as 127.0.0.1:5020")
    return host, int(port)


def _unit(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 247):
        raise argparse.ArgumentTypeError(f"{text!r}: has to be 1 to 247")
    return int(text)
