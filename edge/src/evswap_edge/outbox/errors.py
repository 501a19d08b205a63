"""What an outbox raises.

OutboxError             path
├── OutboxInUse         another process has it open
├── OutboxFull          no room on the disk, or it became read-only
├── OutboxDamaged       not a database, or a broken one
├── OutboxTooNew        written by a later version of this program
└── OutboxStale         nothing was written for too long (asked from outside, by a health check)
"""

from pathlib import Path


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


class OutboxFull(OutboxError):
    """Nothing can be written: the disk is full or read-only. What is stored is safe."""


class OutboxDamaged(OutboxError):
    """The file is not a database or is broken. ``on_this_machine`` salvages it."""


class OutboxTooNew(OutboxError):
    """A later version of this program wrote the file. ``version`` is its schema's."""

    def __init__(self, path: Path, version: int, *, known: int) -> None:
        self.version = version
        super().__init__(path, f"has schema {version}, and this program knows {known}; update the program")


class OutboxStale(OutboxError):
    """The last sample was written ``age_s`` seconds ago, or never; at most ``limit_s`` are in order."""

    def __init__(self, path: Path, *, age_s: float, limit_s: float) -> None:
        self.age_s = age_s
        self.limit_s = limit_s
        super().__init__(path, f"not written for {age_s:.0f} s (limit {limit_s:.0f} s): is the station up?")
