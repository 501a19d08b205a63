"""Room on the disk that is kept for the day on which the disk is full."""

import os
from pathlib import Path


class Reserve:
    """A file that takes ``size`` bytes. Given up, it makes room for what has to be written on a full disk:
    that something was delivered."""

    def __init__(self, outbox: Path, *, size: int) -> None:
        self._outbox = outbox
        self._path = reserve_path(outbox)
        self._size = size

    def hold(self) -> bool:
        """Take the room, if it is there; whether it is held now."""
        try:
            if self._path.stat().st_size == self._size:
                return True
        except OSError:
            return self._make()
        return self._make()

    def give_up(self) -> bool:
        """Let others have the room; whether there was any."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def _make(self) -> bool:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError:
            return False
        try:
            os.posix_fallocate(descriptor, 0, self._size)
        except OSError:
            self.give_up()
            return False
        finally:
            os.close(descriptor)
        return True


def reserve_path(outbox: Path) -> Path:
    """The file beside the one at ``outbox``."""
    return outbox.with_name(f"{outbox.name}.reserve")
