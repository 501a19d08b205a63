"""The files that an outbox consists of."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

LOG: Final = "-wal"
SUFFIXES: Final = ("", LOG, "-shm")
"""The database, and what SQLite keeps beside it in WAL mode; they belong together."""


def parts_of(path: Path) -> Iterator[Path]:
    """All of them, be they there or not."""
    return (path.with_name(path.name + suffix) for suffix in SUFFIXES)


def log_of(path: Path) -> Path:
    """Where commits are written first."""
    return path.with_name(path.name + LOG)


def bytes_of(path: Path) -> int:
    """What they take together."""
    return sum(map(size_of, parts_of(path)))


def size_of(file: Path) -> int:
    """0 for a file that is not there."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
