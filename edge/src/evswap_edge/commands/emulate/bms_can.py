"""The management systems of the batteries in a cabinet, on CAN: one in each bay, as a profile has it.

Says `ready CHANNEL` when it speaks. Then it takes commands as lines on standard input, and answers each with
one line (`ok` or `error: ...`). BAY is a number, or `all`:

  set BAY soc 30.5           what it reports: soc, soh, voltage, current, temperature, cycles, serial
  remove BAY                 the battery is taken out
  insert BAY [SERIAL]        a battery is put in
  report BAY OverTemperature its fault bits, by their names in the DBC file; `none` takes them back
  fault BAY silent           it says nothing
  fault BAY partial          it says only the first of its messages
  fault BAY wrong-length     its frames are a byte too short
  fault BAY crc              its frames have a wrong checksum
  fault BAY frozen           it repeats what it said last, counters included
  fault BAY out-of-range     it measures the impossible
  fault BAY slow             it speaks only every so many rounds (--slow-rounds)
  fault BAY none             it is well again
  bus off | on               the controller goes bus-off, or comes back (not on a real bus)
  status [BAY]               ok, what it reports, its fault, and how often it spoke

It ends with its standard input, or by SIGTERM; the bus is silent then, as if its cable was cut.
"""

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evswap_edge import plugins
from evswap_edge.dbc import Profile, UnknownProfile, names, read_profile
from evswap_edge.documents import NameOrFile
from evswap_edge.drivers.bays import bay_numbers
from evswap_edge.emulators import EmulatorError, console
from evswap_edge.lean import with_openssl
from evswap_edge.stopping import until_stopped

if TYPE_CHECKING:
    from evswap_edge.emulators.can_bms import BmsEmulator

HELP: Final = "the management systems of a cabinet's batteries on CAN"

_BUILTINS: Final = {
    "bms-can": plugins.Builtin("evswap_edge.emulators.can_bms:BmsEmulator", extra="can"),
    "wire": plugins.Builtin("evswap_edge.emulators.can_wire:opened", extra="can"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which bus, which bays, and what they are."""
    parser.add_argument(
        "--channel", required=True, metavar="NAME", help="can0, or 239.74.163.2:43113 for UDP"
    )
    parser.add_argument(
        "--interface",
        choices=("socketcan", "udp_multicast"),
        default="socketcan",
        help="a bus of the kernel's, or UDP between the processes of this machine (socketcan)",
    )
    parser.add_argument("--bays", type=_bays, default=(1,), metavar="1-8", help="its bays (1)")
    known = ", ".join(names())
    parser.add_argument(
        "--profile", default="evswap-bms", help=f"what they say: {known}, or a file (evswap-bms)"
    )
    parser.add_argument(
        "--base", type=_identifier, metavar="ID", help="the lowest identifier (the profile's)"
    )
    parser.add_argument("--stride", type=_identifier, metavar="N", help="from bay to bay (the profile's)")
    parser.add_argument("--period-s", type=float, default=0.5, metavar="S", help="from round to round (0.5)")
    parser.add_argument(
        "--slow-rounds",
        type=int,
        default=20,
        metavar="N",
        help="`slow` speaks in one round of so many (20)",
    )


def run(options: argparse.Namespace) -> None:
    """Speak until standard input ends or a signal comes."""
    with_openssl()  # python-can imports it
    profile = _profile(options.profile)
    asyncio.run(until_stopped(lambda stop: _serve(options, profile, stop)))


async def _serve(options: argparse.Namespace, profile: Profile, stop: asyncio.Event) -> None:
    with _loaded("wire")(options.interface, options.channel) as bus:
        emulator: BmsEmulator = _loaded("bms-can")(
            profile,
            bus=bus,
            bays=options.bays,
            base=options.base,
            stride=options.stride,
            slow_rounds=options.slow_rounds,
        )
        emulator.speak_once()
        console.say(f"ready {options.channel}")
        speaking = asyncio.create_task(emulator.speak(period_s=options.period_s))
        speaking.add_done_callback(lambda _: stop.set())
        try:
            await console.obey_lines(emulator.obey, stop)
        finally:
            speaking.cancel()
            await asyncio.wait({speaking})
        if not speaking.cancelled():
            speaking.result()


def _loaded(name: str) -> Any:
    try:
        return plugins.load(name, kind="emulator", builtins=_BUILTINS, group="evswap_edge.emulators")
    except plugins.PluginError as error:
        raise EmulatorError(str(error)) from error


def _profile(text: str) -> Profile:
    try:
        return read_profile(NameOrFile.parse(text, folder=Path()))[0]
    except UnknownProfile as error:
        raise EmulatorError(str(error)) from error


def _bays(text: str) -> tuple[int, ...]:
    try:
        return bay_numbers(tuple(text.split(",")))
    except ValueError as error:
        problem = f"{text!r}: has to be bays, such as 1-8 or 1,3 ({error})"
        raise argparse.ArgumentTypeError(problem) from error


def _identifier(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: has to be a number, such as 0x600") from None
