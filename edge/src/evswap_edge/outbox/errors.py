"""What an outbox raises.

OutboxError             path
├── OutboxInUse         another process has it open                  holder
├── OutboxUnwritable    the disk takes nothing at the moment         kind
│   ├── OutboxFull      there is no room on it
│   └── OutboxReadOnly
├── OutboxDamaged       not a database, or a broken one
├── OutboxTooNew        written by a later version of this program   version
├── OutboxOutdated      written by an earlier one                    version
├── OutboxRefused       this one thing cannot be stored
├── OutboxClosed        it was closed before
└── OutboxStale         nothing was written for too long (asked from outside, by a health check)
"""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Final

from evswap_edge.outbox.records import TroubleKind


class OutboxError(Exception):
    """The root of everything that an outbox raises. ``path`` is its file."""

    def __init__(self, path: Path, message: str) -> None:
        self.path = path
        super().__init__(f"outbox {path}: {message}")


class OutboxInUse(OutboxError):
    """Another process works with the file; two would send every sample twice. ``holder`` is its process id,
    if known."""

    def __init__(self, path: Path, holder: str) -> None:
        self.holder = holder
        who = f"process {holder}" if holder else "another process"
        super().__init__(path, f"in use by {who}; stop that one, or give this station a file of its own")


class OutboxUnwritable(OutboxError):
    """Nothing can be written: the disk fails, or is what a subclass says. What is stored is safe."""

    kind: ClassVar[TroubleKind] = TroubleKind.FAILING


class OutboxFull(OutboxUnwritable):
    """There is no room on the disk."""

    kind = TroubleKind.FULL


class OutboxReadOnly(OutboxUnwritable):
    """The disk is read-only, perhaps since the kernel found a fault in it."""

    kind = TroubleKind.READ_ONLY


class OutboxDamaged(OutboxError):
    """The file is not a database or is broken. Whoever opens it next salvages it."""


class OutboxTooNew(OutboxError):
    """A later version of this program wrote the file. ``version`` is its schema's."""

    def __init__(self, path: Path, version: int, *, known: int) -> None:
        self.version = version
        super().__init__(path, f"has schema {version}, and this program knows {known}; update the program")


class OutboxOutdated(OutboxError):
    """An earlier version of this program wrote the file; it is moved on. ``version`` is its schema's."""

    def __init__(self, path: Path, version: int) -> None:
        self.version = version
        super().__init__(path, f"has schema {version}, of an earlier program; the next start moves it on")


class OutboxRefused(OutboxError):
    """This one thing cannot be stored; those beside it are."""


class OutboxClosed(OutboxError):
    """The outbox was closed before."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "was closed")


class OutboxStale(OutboxError):
    """The last sample was written ``age_s`` seconds ago, or never; at most ``limit_s`` are in order."""

    def __init__(self, path: Path, *, age_s: float, limit_s: float) -> None:
        self.age_s = age_s
        self.limit_s = limit_s
        super().__init__(path, f"not written for {age_s:.0f} s (limit {limit_s:.0f} s): is the station up?")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's errors as ours. Misuse of the library (a closed connection) stays what it is."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code is None:
            raise
        meaning = _MEANING.get(code & 0xFF, OutboxError)
        if meaning is OutboxUnwritable:
            meaning = _why_unwritable(path)
        raise meaning(path, f"{error} ({error.sqlite_errorname})") from error


_MEANING: Final[dict[int, type[OutboxError]]] = {
    sqlite3.SQLITE_FULL: OutboxFull,
    sqlite3.SQLITE_READONLY: OutboxReadOnly,
    sqlite3.SQLITE_CANTOPEN: OutboxUnwritable,
    sqlite3.SQLITE_IOERR: OutboxUnwritable,
    sqlite3.SQLITE_CORRUPT: OutboxDamaged,
    sqlite3.SQLITE_NOTADB: OutboxDamaged,
}
"""By SQLite's primary result code, the low byte (https://sqlite.org/rescode.html)."""

_ERRNO: Final[dict[int | None, type[OutboxUnwritable]]] = {
    errno.ENOSPC: OutboxFull,
    errno.EDQUOT: OutboxFull,
    errno.EROFS: OutboxReadOnly,
    errno.EIO: OutboxUnwritable,
}


def meaning_of(error: OSError) -> type[OutboxError]:
    """An error of the file system as one of ours. One that does not pass by itself (a folder that nobody may
    write) is no ``OutboxUnwritable``."""
    return _ERRNO.get(error.errno, OutboxError)


def _why_unwritable(path: Path) -> type[OutboxUnwritable]:
    """What the file system says of itself; SQLite does not tell."""
    try:
        state = os.statvfs(path.parent)
    except OSError:
        return OutboxUnwritable
    if state.f_flag & os.ST_RDONLY:
        return OutboxReadOnly
    return OutboxUnwritable if state.f_bavail * state.f_frsize >= _A_LITTLE else OutboxFull


_A_LITTLE: Final = 64 * 1024
"""Less is no room for what SQLite has to make beside a database."""
