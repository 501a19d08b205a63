"""What is locked out, in a small file beside the outbox: a power cut leaves it locked out.

Two lines: what it says, and the checksum of that. Whatever is not just that is damaged, and means that
everything may have been locked out.
"""

import zlib
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from evswap_edge.files import write_private
from evswap_edge.safety.deciding import Cause


class Kept(Struct, frozen=True, forbid_unknown_fields=True):
    """``latched``: causes with what was seen, by place. ``restore``: bays that were released, and whose
    chargers have yet to be told that they may charge again."""

    latched: dict[int, dict[Cause, str]] = {}
    restore: tuple[int, ...] = ()


NOTHING: Final = Kept()


class LatchDamaged(Exception):
    """The file at ``path`` does not tell what is locked out. ``reason`` says why."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


def latch_beside(outbox: Path) -> Path:
    """Where it is written down what is locked out."""
    return outbox.with_name(f"{outbox.name}.safety")


def read_latch(path: Path) -> Kept:
    """What was written last; nothing, where nothing ever was. Raises ``LatchDamaged``."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return NOTHING
    except OSError as error:
        raise LatchDamaged(path, str(error)) from error
    said, _, checksum = content.partition(b"\n")
    if checksum != _checksum(said):
        raise LatchDamaged(path, "its checksum is wrong")
    try:
        return msgspec.json.decode(said, type=Kept)
    except msgspec.MsgspecError as error:
        raise LatchDamaged(path, str(error)) from error


def write_latch(path: Path, kept: Kept) -> None:
    """Durable when this returns. Raises ``OSError``."""
    write_private(path, sealed(kept), replace=True)


def sealed(kept: Kept) -> bytes:
    """What it says, and the checksum of that."""
    said = msgspec.json.encode(kept)
    return said + b"\n" + _checksum(said)


def _checksum(said: bytes) -> bytes:
    return b"%08x\n" % zlib.crc32(said)
