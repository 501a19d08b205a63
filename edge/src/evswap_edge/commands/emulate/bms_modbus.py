"""Batteries with a management system on RS-485: Modbus RTU on a pseudo-terminal or behind a serial adapter,
or Modbus TCP. Each bay's is a unit of its own on one line, or one unit keeps many (as the map has it).

Says `ready PATH` when they can be read. Then it takes commands as lines on standard input, and answers each
with one line (`ok` or `error: ...`). BAY is 1 to --bays:

  set BAY soc 55.5           what it says from now on; also soh, voltage, current, temperature, cycles
  remove BAY                 the battery is taken out: its unit is gone, or says that none is there
  insert BAY PACK-0042       another one is put in
  flag BAY yes|no NAME       one of the map's bits `unreliable`
  fault BAY silent           its unit hears and does not answer
  fault BAY crc              its answers arrive with a wrong checksum (RTU only)
  fault BAY cut              the end of its answers is missing
  fault BAY wrong-length     whole and right answers, with a register too few
  fault BAY wrong-unit       another unit answers in its place
  fault BAY exception 6      it refuses, with a Modbus exception (4)
  fault BAY slow             its answers come late (--slow-s), and hold up no other unit
  fault BAY frozen           it repeats what it said last
  fault BAY out-of-range     it measures the impossible
  fault BAY none             it is well again
  status BAY                 ok, what it says, its fault, and how often its unit was asked

It ends with its standard input, or by SIGTERM; the serial port is gone then, as if the adapter was pulled
out.
"""

import argparse
from typing import Final

from evswap_edge.commands.emulate import modbus, modbus_bays
from evswap_edge.registers import MapKind, read_battery_map

HELP: Final = "batteries whose management systems are on Modbus"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where they hang, what they are, and how many."""
    modbus_bays.add_arguments(parser, kind=MapKind.BATTERY, registers="pace-bms")


def run(options: argparse.Namespace) -> None:
    """Serve until standard input ends or a signal comes."""
    layout = modbus.read_layout(options.registers, read_battery_map)
    emulator = modbus.kind_of_emulator("bms-modbus")
    modbus.serve(emulator(layout, modbus_bays.bay_places(options, layout)), options)
