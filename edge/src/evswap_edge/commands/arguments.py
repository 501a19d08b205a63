"""Arguments that several commands take."""

import argparse
import re
from pathlib import Path

from evswap_schema import STATION_ID_PATTERN


def add_config(parser: argparse.ArgumentParser) -> None:
    """``--config FILE``."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the YAML file")


def add_station_id(parser: "argparse._ActionsContainer", *, required: bool = True) -> None:
    """``--station-id ID``, of the form that the contract wants."""
    parser.add_argument("--station-id", type=_station_id, required=required, metavar="ID")


def _station_id(text: str) -> str:
    if not re.match(STATION_ID_PATTERN, text):
        raise argparse.ArgumentTypeError(f"{text!r}: letters, digits, - and _ only, at most 64")
    return text
