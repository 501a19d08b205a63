"""The commands of ``evswap-hil``: one module each, and the table that the command line is made of."""

import argparse
from dataclasses import dataclass
from types import ModuleType
from typing import Final

from evswap_hil.commands import benches, check, run, validate


@dataclass(frozen=True)
class Command:
    """A row of the table: what `--help` says in a line, and the module that has the arguments and does it."""

    help: str
    module: ModuleType

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        self.module.add_arguments(parser)

    def run(self, options: argparse.Namespace) -> int:
        """Returns the exit code. Raises Unusable."""
        return int(self.module.run(options))


COMMANDS: Final = {
    "check": Command("acceptance check of a running stack", check),
    "run": Command("drive a station on a bench through the suites, and report", run),
    "validate": Command("look at a bench's description, without the hardware", validate),
    "benches": Command("the benches that are shipped", benches),
}
