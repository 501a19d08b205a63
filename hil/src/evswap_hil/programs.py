"""The programs of the product, found and used as black boxes: by their command line alone."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path


class ProgramMissing(Exception):
    """`program` was looked for in `places` and is in none of them."""

    def __init__(self, program: "Program", places: list[str]) -> None:
        super().__init__(
            f"{program.name} is not there; looked for in: {', '.join(places)}. Install it, put it on the "
            f"PATH, or name it by {program.option} or {program.variable}"
        )
        self.program = program
        self.places = places


@dataclass(frozen=True)
class Program:
    """A command: its name, and the environment variable and the option of ours that name its file."""

    name: str
    variable: str
    option: str

    def find(self, named: Path | str | None = None) -> Path:
        """The program's file: as `named`, else by the variable, else beside this Python, else on the PATH.

        A file that somebody named is never replaced by another. Raises ProgramMissing.
        """
        chosen = named or os.environ.get(self.variable)
        if chosen:
            return self._demand(str(chosen))
        beside = Path(sys.executable).with_name(self.name)
        found = shutil.which(beside) or shutil.which(self.name)
        if found is None:
            raise ProgramMissing(self, [str(beside), "PATH"])
        return Path(found)

    def _demand(self, named: str) -> Path:
        found = shutil.which(named)
        if found is None:
            raise ProgramMissing(self, [named])
        return Path(found).absolute()


EDGE = Program("evswap-edge", variable="EVSWAP_EDGE", option="--edge")
LOCAL = Program("evswap", variable="EVSWAP", option="--evswap")
