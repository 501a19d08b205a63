"""Play schedules by hand: `python -m tests.chaos 2026327/17`, `python -m tests.chaos --schedules 200`."""

import argparse
import asyncio
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos.plants import Plant
from tests.chaos.run import Outcome, run
from tests.chaos.schedule import draw, seed_of


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("names", nargs="*", help="schedules by name: seed/number")
    parser.add_argument(
        "--seed", type=int, default=seed_of(datetime.now(UTC).date()), help="default: today's"
    )
    parser.add_argument("--schedules", type=int, default=20, help="how many of the seed, from 0 on")
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--plant", type=Plant, choices=list(Plant), help="a bug to plant in the station")
    parser.add_argument("--keep", type=Path, help="a folder for what each schedule leaves behind")
    options = parser.parse_args()
    # As by Ctrl-C: brokers end and disks are unmounted on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if options.names:
        drawn = [draw(*map(int, name.split("/"))) for name in options.names]
    else:
        drawn = [draw(options.seed, number) for number in range(options.schedules)]
    with tempfile.TemporaryDirectory(prefix="evswap-chaos-") as scratch:
        folder = options.keep or Path(scratch)
        outcomes = asyncio.run(run(drawn, folder, plant=options.plant, at_once=options.at_once, say=print))
    return int(not all(map(Outcome.is_good, outcomes)))


if __name__ == "__main__":
    sys.exit(main())
