"""``evswap-edge csr``."""

import argparse
from pathlib import Path

from evswap_edge.commands import arguments
from evswap_edge.keys import request_certificate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Who, and where the files go."""
    arguments.add_station_id(parser)
    parser.add_argument(
        "--directory", type=Path, required=True, metavar="DIR", help="where key and request are put"
    )


def run(options: argparse.Namespace) -> None:
    """Make what is missing."""
    request = request_certificate(options.station_id, options.directory)
    print(f"{request}: have it signed, and put the certificate beside it")
