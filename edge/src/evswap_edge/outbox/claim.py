"""The right to use an outbox's file."""

import fcntl
import os
from pathlib import Path
from typing import Final

from evswap_edge.outbox.errors import OutboxInUse, meaning_of

_MODE: Final = 0o644
_MORE_THAN_A_PID: Final = 64


class Claim:
    """The right to use the file, held until closed or until the process ends, however it ends (flock(2)).

    The file has the process id of its holder in it until that ends in good order. It stands beside the
    database: opening the database itself a second time and closing it
    again would drop SQLite's own locks (https://sqlite.org/howtocorrupt.html, 2.2).
    """

    def __init__(self, path: Path) -> None:
        """Raises ``OutboxInUse``, and ``OutboxUnwritable`` where nothing can be written."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: int | None = os.open(lock_path(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        except OSError as error:
            raise meaning_of(error)(path, f"cannot write beside it: {error}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            holder = os.pread(self._file, _MORE_THAN_A_PID, 0)
            self.was_left_open = bool(holder)
            _overwrite(self._file, str(os.getpid()).encode())
        except BlockingIOError:
            holder = os.pread(self._file, _MORE_THAN_A_PID, 0)
            self.close()
            raise OutboxInUse(path, holder.decode(errors="replace").strip()) from None
        except OSError as error:
            self.close()
            raise meaning_of(error)(path, f"cannot write beside it: {error}") from error

    def end_in_good_order(self) -> None:
        """There is nothing to be looked through by the next one."""
        if self._file is not None:
            os.ftruncate(self._file, 0)

    def close(self) -> None:
        """Let go of it. Safe to call twice."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def lock_path(path: Path) -> Path:
    """The file that stands for the right to use the one at ``path``."""
    return path.with_name(f"{path.name}.lock")


def holder_of(path: Path) -> int | None:
    """The process that has the file at ``path``, as far as that can be told without asking for the right."""
    try:
        holder = int(lock_path(path).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return holder if _runs(holder) else None


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _overwrite(file: int, content: bytes) -> None:
    """In this order, a full disk leaves what was there."""
    os.pwrite(file, content, 0)
    os.ftruncate(file, len(content))
