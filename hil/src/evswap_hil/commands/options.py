"""Options that several commands have, and the libraries that only some of them need."""

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from evswap_hil.benches import NoSuchBench, find_bench
from evswap_hil.commands.exits import Unusable

STACK: Final = Path(".evswap/stack.json")
BENCH: Final = "virtual"
LIBRARIES: Final = ("labgrid", "jinja2", "pytest")


def add_stack(parser: argparse.ArgumentParser) -> None:
    """`--stack`."""
    parser.add_argument(
        "--stack",
        type=Path,
        default=STACK,
        metavar="FILE",
        help="what `evswap up` wrote (default: %(default)s)",
    )


def add_bench(parser: argparse.ArgumentParser) -> None:
    """`--bench`."""
    parser.add_argument(
        "--bench",
        default=BENCH,
        metavar="NAME|FILE",
        help="a shipped bench (`evswap-hil benches`) or a YAML file of your own (default: %(default)s)",
    )


def bench_file(options: argparse.Namespace) -> Path:
    """The bench's file, where there are the libraries to read it. Raises Unusable."""
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise Unusable(
            f"a bench needs {', '.join(missing)}, which this Python lacks; make an environment of its own "
            "from requirements/bench.txt (docs/hil.md): labgrid cannot stand beside a station's pyserial"
        )
    try:
        return find_bench(options.bench)
    except NoSuchBench as unknown:
        raise Unusable(str(unknown)) from unknown
