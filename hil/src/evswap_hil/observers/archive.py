"""A reader of the archive, through `evswap archive list`: the bench has no AWS library of its own."""

import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from evswap_schema import format_timestamp

LIST_WITHIN_S: Final = 60.0


class ArchiveUnreadable(Exception):
    """The archive could not be listed; `cause` is the program's word for it."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"the archive cannot be listed: {cause}")
        self.cause = cause


class Archived(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the archive's list."""

    station_id: str
    stream_id: str | None
    sequence: int | None
    timestamp: datetime
    quality: dict[str, str] | None = None


@dataclass(frozen=True)
class Account:
    """What the archive holds of a station's samples, told by their numbers."""

    readings: tuple[Archived, ...]

    @property
    def streams(self) -> set[str | None]:
        return {reading.stream_id for reading in self.readings}

    @property
    def numbers(self) -> list[int]:
        """The numbers of the samples, in order; one that is archived twice stands there twice."""
        return sorted(reading.sequence for reading in self.readings if reading.sequence is not None)

    def lost(self, first: int, last: int) -> int:
        """How many of the numbers from `first` to `last` are missing."""
        return len(set(range(first, last + 1)) - set(self.numbers))

    @property
    def twice(self) -> int:
        """Readings beyond the first of each number."""
        return len(self.numbers) - len(set(self.numbers))

    @property
    def newest(self) -> int:
        """The last number; 0 where there is none."""
        return max(self.numbers, default=0)


class ArchiveObserver:
    """Lists the archive of the stack whose state is in the folder of `stack_file`."""

    def __init__(self, program: Path, stack_file: Path) -> None:
        self._program = program
        self._state_dir = stack_file.absolute().parent

    def account(self, station_id: str, *, since: datetime) -> Account:
        """What a station sampled since then. Raises ArchiveUnreadable."""
        lines = self._list("--station", station_id, "--since", format_timestamp(since))
        try:
            return Account(tuple(msgspec.json.decode(line, type=Archived) for line in lines.splitlines()))
        except msgspec.DecodeError as error:
            raise ArchiveUnreadable(f"{self._program} printed what is no list: {error}") from error

    def _list(self, *options: str) -> str:
        command: list[str | Path] = [
            self._program,
            "archive",
            "list",
            "--state-dir",
            self._state_dir,
            *options,
        ]
        try:
            # `evswap` looks for its checkout around the current folder, and is itself installed in one.
            answer = subprocess.run(
                command,
                cwd=self._program.parent,
                capture_output=True,
                text=True,
                timeout=LIST_WITHIN_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ArchiveUnreadable(str(error)) from error
        if answer.returncode != 0:
            raise ArchiveUnreadable(answer.stderr.strip() or f"exit status {answer.returncode}")
        return answer.stdout
