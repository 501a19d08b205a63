"""Certificate and key: two files that are replaced as one.

The successors lie beside them (``.next``) until they have shown that they work. Then the key is renamed first
and the certificate second; whoever finds the certificate's successor without the key's knows that he only has
to rename that one, too. So after a kill at any point there is one pair that works, and never half of each.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evswap_edge.files import make_durable, remove, remove_drafts

_NEXT: Final = ".next"
_REPLACED: Final = ".replaced"


@dataclass(frozen=True, slots=True)
class Pair:
    """Where a certificate and its key lie. The methods raise ``OSError``."""

    certificate_file: Path
    key_file: Path

    @property
    def successor(self) -> "Pair":
        """Where the pair lies that is to take this one's place."""
        return Pair(_beside(self.certificate_file, _NEXT), _beside(self.key_file, _NEXT))

    @property
    def is_replacement_to_be_told(self) -> bool:
        """Whether the cloud has still to be told that this pair has taken another's place."""
        return _beside(self.certificate_file, _REPLACED).exists()

    @property
    def has_successor(self) -> bool:
        """Whether the successor is complete: a certificate that was written is one for the key beside it."""
        return self.successor.certificate_file.exists() and self.successor.key_file.exists()

    def finish_replacement(self) -> None:
        """Rename the second file of a replacement that was interrupted after the first."""
        after = self.successor
        if after.certificate_file.exists() and not after.key_file.exists():
            _rename(after.certificate_file, self.certificate_file)

    def tidy(self) -> None:
        """Leave nothing of a key that was never used, nor of a certificate: what a kill has left half
        written."""
        for path in (self.successor.key_file, self.successor.certificate_file):
            remove_drafts(path)

    def replace_by_successor(self) -> None:
        """From here on this pair is what its successor was, and the cloud has to be told."""
        mark = _beside(self.certificate_file, _REPLACED)
        mark.touch(mode=0o600)
        make_durable(mark)
        _rename(self.successor.key_file, self.key_file)
        _rename(self.successor.certificate_file, self.certificate_file)

    def note_told(self) -> None:
        """The cloud knows."""
        remove(_beside(self.certificate_file, _REPLACED))

    def discard_successor(self) -> None:
        """In this order, or half of it would look like a replacement that was interrupted."""
        remove(self.successor.certificate_file)
        remove(self.successor.key_file)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _rename(old: Path, new: Path) -> None:
    old.replace(new)
    make_durable(new)
