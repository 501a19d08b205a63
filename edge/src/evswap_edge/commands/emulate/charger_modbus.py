"""Chargers on RS-485: Modbus RTU on a pseudo-terminal or behind a serial adapter, or Modbus TCP. Each bay's
is a unit of its own on one line, or one unit keeps many (as the map has it). They obey what is written to
them.

Says `ready PATH` when they can be read. Then it takes commands as lines on standard input, and answers each
with one line (`ok` or `error: ...`). BAY is 1 to --bays:

  current BAY 12.5           amperes that flow while its output is on
  output BAY on|off          its output, whatever it was ordered to do
  flag BAY yes|no NAME       one of the map's `faults`
  fault BAY disobeys         it takes orders, and does not do them
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
  status BAY                 ok, its output, its fault, and how often its unit was asked

It ends with its standard input, or by SIGTERM; the serial port is gone then, as if the adapter was pulled
out.
"""

import argparse
from typing import Final

from evswap_edge.commands.emulate import modbus, modbus_bays
from evswap_edge.registers import MapKind, read_charger_map

HELP: Final = "chargers on Modbus"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where they hang, what they are, and how many."""
    modbus_bays.add_arguments(parser, kind=MapKind.CHARGER, registers="hep-2300")


def run(options: argparse.Namespace) -> None:
    """Serve until standard input ends or a signal comes."""
    layout = modbus.read_layout(options.registers, read_charger_map)
    emulator = modbus.kind_of_emulator("charger-modbus")
    modbus.serve(emulator(layout, modbus_bays.bay_places(options, layout)), options)
