"""What is about to be cut, noted before the order goes out and until the latch's file is durable.

The order does not wait for a disk, so a process may be killed between the two; and a cause that has gone by
then would be forgotten, with the charger off and nobody who knows why. This note is in memory that outlives
the process and never waits for a disk. It does not outlive the power.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Final

from evswap_edge.safety.deciding import Cause
from evswap_edge.safety.latch import NOTHING, Kept, LatchDamaged, read_latch, sealed

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - whose file it is, is looked at
_DIGEST_BYTES: Final = 16


class Intent:
    """The note of the station whose outbox is at ``outbox``. Where there is no such memory, nothing is
    noted."""

    def __init__(self, outbox: Path, *, memory: Path = MEMORY) -> None:
        station = blake2b(os.fsencode(outbox.absolute()), digest_size=_DIGEST_BYTES).hexdigest()
        self._path = memory / f"evswap-safety-{os.geteuid()}-{station}"
        self._draft = self._path.with_name(f"{self._path.name}.draft")

    def note(self, kept: Kept) -> None:
        """This is locked out from now on."""
        with suppress(OSError):
            self._draft.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(self._draft, flags, mode=0o600)
            try:
                os.write(descriptor, sealed(kept))
            finally:
                os.close(descriptor)
            self._draft.replace(self._path)

    def left(self) -> Mapping[int, Mapping[Cause, str]]:
        """What a process that was killed had locked out and perhaps not written down."""
        try:
            is_ours = self._path.lstat().st_uid == os.geteuid()
            return (read_latch(self._path) if is_ours else NOTHING).latched
        except (OSError, LatchDamaged):
            return {}

    def forget(self) -> None:
        """All of it is durable elsewhere."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
