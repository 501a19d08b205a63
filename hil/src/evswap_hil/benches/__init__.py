"""The benches that are shipped, and how one is found by its name."""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
SUFFIX: Final = ".yaml"


class NoSuchBench(Exception):
    """There is neither a shipped bench nor a file of that name; `nearest` is what may be meant."""

    def __init__(self, name: str, nearest: str | None) -> None:
        hint = (
            f"; did you mean {nearest}?" if nearest else f"; there are {', '.join(shipped())}, or name a file"
        )
        super().__init__(f"no bench {name!r}{hint}")
        self.name = name
        self.nearest = nearest


def shipped() -> dict[str, Path]:
    """The shipped benches: name and file."""
    return {file.stem: file for file in sorted(HERE.glob(f"*{SUFFIX}"))}


def find_bench(name: str) -> Path:
    """The file of a shipped bench, or the file `name` itself. Raises NoSuchBench."""
    if (file := shipped().get(name)) is not None:
        return file
    if (file := Path(name)).is_file():
        return file.absolute()
    nearest = difflib.get_close_matches(name, shipped(), n=1)
    raise NoSuchBench(name, nearest[0] if nearest else None)


def about(file: Path) -> str:
    """What the comment at the top of a bench's file says, as one line."""
    return " ".join(_comment(file))


def _comment(file: Path) -> Iterator[str]:
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            return
        yield line.removeprefix("#").strip()
