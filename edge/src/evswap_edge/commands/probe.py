"""``evswap-edge probe``: what is on the buses of this machine, and why nothing is to be seen there.

Each driver looks at its own kind of bus: the module ``probing`` beside it has ``everywhere``,
``ScanSettings`` and ``scan``.
"""

import argparse
import asyncio
import textwrap
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Final

from evswap_edge.dbc import UnknownProfile
from evswap_edge.documents import GivenDocument
from evswap_edge.drivers import load_driver
from evswap_edge.hal import DriverError
from evswap_edge.plugins import PluginError
from evswap_edge.registers import UnknownMap

PROBED: Final = ("can", "gpio", "modbus", "sht3x")
"""The drivers that can look."""

_EPILOG: Final = """\
examples:
  evswap-edge probe                              all buses that this machine has
  evswap-edge probe sht3x bus=1                  one bus
  evswap-edge probe can channel=can0 seconds=10  listen for longer
  evswap-edge probe modbus port=/dev/ttyUSB0     ask who is on a serial line
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``[DRIVER [KEY=VALUE ...]]``."""
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("driver", nargs="?", choices=PROBED, help="look only where this driver would")
    parser.add_argument(
        "settings",
        nargs="*",
        type=_setting,
        metavar="KEY=VALUE",
        help="where and how to look, in the words of the driver's settings",
    )


def run(options: argparse.Namespace) -> None:
    """Look, and print what was found. Raises ``ConfigurationError``."""
    for driver in PROBED if options.driver is None else (options.driver,):
        try:
            load_driver(driver)
        except PluginError as error:
            _print(driver, {}, [str(error)])
            continue
        probing = import_module(f"evswap_edge.drivers.{driver}.probing")
        places = [dict(options.settings)] if options.settings else probing.everywhere()
        if not places:
            _print(driver, {}, [probing.NOWHERE])
        for settings in places:
            _print(driver, settings, _look(driver, probing, settings))


def _look(driver: str, probing: ModuleType, settings: Mapping[str, str]) -> Sequence[str]:
    given = GivenDocument(settings, source=f"probe {driver}").convert(settings, probing.ScanSettings)
    try:
        found = asyncio.run(probing.scan(given))
    except (DriverError, UnknownMap, UnknownProfile) as error:
        return [str(error)]
    return [str(finding) for finding in found] or ["nothing was heard"]


def _print(driver: str, settings: Mapping[str, str], lines: Sequence[str]) -> None:
    print(" ".join([driver, *(f"{key}={value}" for key, value in settings.items())]))
    for line in lines:
        print(textwrap.indent(line, "  "))


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r}: has to be KEY=VALUE")
    return key, value
