"""``evswap down``: stops the stations, then AWS. What was written stays."""

import argparse
import shutil
import sys

from evswap_local import emulator, fleet
from evswap_local.context import Context
from evswap_local.lock import exclusive
from evswap_local.progress import Progress
from evswap_local.terraform import child as terraform


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has none of its own."""


def run(context: Context, _options: argparse.Namespace) -> int:
    """Stops everything; also where nothing runs."""
    if not context.state.path.is_dir():
        sys.stdout.write("nothing runs\n")
        return 0
    context.state.make()
    progress = Progress()
    with exclusive(context.state.lock):
        stopped = [
            name for name in (fleet.NAME, terraform.NAME, emulator.NAME) if _stop(context, name, progress)
        ]
        shutil.rmtree(context.state.temporary, ignore_errors=True)
        for note in context.state.run.iterdir():
            note.unlink()
    sys.stdout.write(f"stopped {' and '.join(stopped)}\n" if stopped else "nothing runs\n")
    return 0


def _stop(context: Context, name: str, progress: Progress) -> bool:
    if context.processes.find(name) is None:
        return False
    progress.step(f"stopping {name}")
    return context.processes.stop(name)
