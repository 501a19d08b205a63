"""Frames, many at once: a column for each thing that they have, so that what is asked of all of them is asked
in one go. An object for each frame would cost more than all that is done with it."""

import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Final

REMOTE: Final = 0x4000_0000
ERROR: Final = 0x2000_0000
"""Bits of a frame's identifier, beside the one of 29-bit ones: a request for a frame, and what the controller
reports."""
ROOM: Final = 8
"""Bytes of the longest frame."""

Frame = tuple[int, bytes, float]
"""One by itself: the identifier as in the kernel, with its bits for length and kind; the data; and the
moment at which it came."""


@dataclass(slots=True)
class Frames:
    """In the order in which they came. ``rows`` has the data of each in eight bytes, of which ``lengths``
    says how many there are; the others are 0."""

    identifiers: list[int] = field(default_factory=list)
    rows: bytes = b""
    lengths: bytes = b""
    came_at: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, several: Iterable[Frame]) -> "Frames":
        """What was got one by one. What is longer than a frame is cut off."""
        identifiers, data, came_at = [[*column] for column in zip(*several, strict=True)] or ([], [], [])
        rows = [each[:ROOM] for each in data]
        return cls(
            identifiers, b"".join([row.ljust(ROOM, b"\0") for row in rows]), bytes(map(len, rows)), came_at
        )

    def __len__(self) -> int:
        return len(self.identifiers)

    def __iter__(self) -> Iterator[Frame]:
        for index, (identifier, length, at) in enumerate(
            zip(self.identifiers, self.lengths, self.came_at, strict=True)
        ):
            yield identifier, self.rows[ROOM * index : ROOM * index + length], at

    def words(self) -> Sequence[int]:
        """The data of each as a little-endian number."""
        words = array("Q", self.rows)
        if sys.byteorder == "big":
            words.byteswap()
        return words

    def only(self, wanted: Sequence[object]) -> "Frames":
        """Those whose ``wanted`` is true."""
        return Frames.of(compress(self, wanted))

    def __add__(self, behind: "Frames") -> "Frames":
        return Frames(
            self.identifiers + behind.identifiers,
            self.rows + behind.rows,
            self.lengths + behind.lengths,
            self.came_at + behind.came_at,
        )
