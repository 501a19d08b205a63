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
  fault wrong-unit     another unit answers in its place
  fault exception 6    it refuses, with a Modbus exception (4)
  fault frozen         it repeats what it measured last
  fault out-of-range   it measures the impossible
  fault slow           its answers come late (--slow-s)
  fault none           it is well again
  status               ok, what it measures, its fault, and how often it was asked

It ends with its standard input, or by SIGTERM; the serial port is gone then, as if the adapter was pulled
out.
"""

import argparse
from typing import Final

from evswap_edge.commands.emulate import modbus
from evswap_edge.registers import MapKind, names, read_climate_map

HELP: Final = "a temperature and humidity sensor on Modbus"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where it hangs, what it is, and what it begins with."""
    modbus.add_wire(parser)
    known = ", ".join(names(MapKind.CLIMATE))
    parser.add_argument(
        "--registers", default="sht20", metavar="MAP", help=f"its register map: {known}, or a file (sht20)"
    )
    parser.add_argument(
        "--unit", type=modbus.unit, metavar="N", help="its address, 1 to 247 (as the map has it)"
    )
    parser.add_argument("--temperature", type=float, default=25.0, metavar="C", help="degrees Celsius (25)")
    parser.add_argument("--humidity", type=float, default=50.0, metavar="PERCENT", help="relative (50)")


def run(options: argparse.Namespace) -> None:
    """Serve until standard input ends or a signal comes."""
    layout = modbus.read_layout(options.registers, read_climate_map)
    emulator = modbus.kind_of_emulator("climate")
    sensor = emulator(
        layout,
        unit=options.unit or layout.factory.unit,
        temperature=options.temperature,
        humidity=options.humidity,
        slow_s=options.slow_s,
    )
    modbus.serve(sensor, options)
