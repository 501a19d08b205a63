"""``python -m tests.cost``: measures the profile that ``evswap cost`` makes its bills with, and writes it."""

import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from itertools import chain, islice
from pathlib import Path

import msgspec

from evswap_local.cost import profile as profiles
from evswap_local.cost.profile import Profile
from tests.cost.measure import RECORDED, measured, requests, seed_message, together

COMMAND = "python -m tests.cost"


def main() -> None:
    """Some ten seconds of a core for each shift, of which there are four a recording."""
    with ProcessPoolExecutor() as pool:
        works = iter(list(pool.map(measured, chain.from_iterable(RECORDED))))
    recordings = [together(list(islice(works, len(shifts)))) for shifts in RECORDED]
    profile = Profile(
        command=COMMAND,
        measured_on=date.today().isoformat(),  # noqa: DTZ011 - of whoever measures
        call_cpu_s=_call_cpu_s(),
        seed_bytes=len(seed_message()),
        requests=requests(),
        recordings=recordings,
    )
    file = Path(profiles.__file__).with_name(profiles.FILE)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(profile)) + b"\n")


def _call_cpu_s() -> float:
    command = [sys.executable, "-m", "tests.cost.calls"]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
