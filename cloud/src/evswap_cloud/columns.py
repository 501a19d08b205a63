"""Integers and texts in few bytes: columns of numbers that lie close together, and a reader of untrusted
bytes."""

import zlib
from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")

_BITS_A_BYTE: Final = 8
_BITS_OF_A_VARINT: Final = 7
_MORE: Final = 1 << _BITS_OF_A_VARINT
_MOST_VARINT_BYTES: Final = 10
_MOST_WIDTH: Final = 64
_RAW: Final = -zlib.MAX_WBITS


def integer(value: int) -> bytes:
    """``value`` as a varint, zigzag: a byte for what lies between -64 and 63."""
    rest = value << 1 if value >= 0 else (-value << 1) - 1
    written = bytearray()
    while rest >= _MORE:
        written.append(rest % _MORE | _MORE)
        rest >>= _BITS_OF_A_VARINT
    written.append(rest)
    return bytes(written)


def text(value: str) -> bytes:
    """``value`` in UTF-8 behind its length."""
    encoded = value.encode()
    return integer(len(encoded)) + encoded


def column(values: Sequence[int]) -> bytes:
    """The least of ``values``, how many bits lie above it, and so many for each; nothing of no values."""
    if not values:
        return b""
    least = min(values)
    width = (max(values) - least).bit_length()
    bits = "".join(f"{value - least:0{width}b}" for value in values) if width else ""
    body = int(bits, 2).to_bytes(_bytes_of(len(bits))) if bits else b""
    return integer(least) + integer(width) + body


def deflated(value: str) -> bytes:
    """``value`` in UTF-8, raw deflate, behind its length."""
    deflating = zlib.compressobj(zlib.Z_BEST_COMPRESSION, zlib.DEFLATED, _RAW)
    body = deflating.compress(value.encode()) + deflating.flush()
    return integer(len(body)) + body


def _bytes_of(bits: int) -> int:
    return -(-bits // _BITS_A_BYTE)


class Reader:
    """Reads from its beginning what the functions above have written. All that it is asked for raises
    ``ValueError`` or ``zlib.error`` where that does not stand there."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self._at = 0

    def integer(self, *, least: int | None = None, most: int | None = None) -> int:
        """A number from ``least`` to ``most``."""
        rest = 0
        for number in range(_MOST_VARINT_BYTES):
            [byte] = self._take(1)
            rest |= byte % _MORE << number * _BITS_OF_A_VARINT
            if byte < _MORE:
                value = -(rest + 1 >> 1) if rest & 1 else rest >> 1
                return _demand_within(value, least, most)
        raise ValueError("a number has no end")

    def text(self) -> str:
        """A text."""
        return self._take(self.integer(least=0)).decode()

    def column(self, count: int, *, least: int | None = None, most: int | None = None) -> list[int]:
        """``count`` numbers from ``least`` to ``most``."""
        if not count:
            return []
        lowest, width = self.integer(), self.integer(least=0, most=_MOST_WIDTH)
        if not width:
            return [_demand_within(lowest, least, most)] * count
        bits = width * count
        body = int.from_bytes(self._take(_bytes_of(bits)))
        digits = f"{body:0{bits}b}"
        if len(digits) > bits:
            raise ValueError("a column is wider than its numbers")
        values = [lowest + int(digits[at : at + width], 2) for at in range(0, bits, width)]
        _demand_within(min(values), least, None)
        _demand_within(max(values), None, most)
        return values

    def members(self, count: int, known: Sequence[T]) -> list[T]:
        """``count`` of ``known``, by their places in it."""
        return [known[place] for place in self.column(count, least=0, most=len(known) - 1)]

    def inflated(self, *, most: int) -> str:
        """A text of at most ``most`` bytes."""
        inflating = zlib.decompressobj(_RAW)
        body = inflating.decompress(self._take(self.integer(least=0)), most)
        if not inflating.eof or inflating.unused_data:
            raise ValueError("a text is cut off, too long, or goes on")
        return body.decode()

    def demand_end(self) -> None:
        """That nothing follows."""
        if self._at != len(self._packed):
            raise ValueError(f"{len(self._packed) - self._at} bytes are left over")

    def _take(self, count: int) -> bytes:
        taken = self._packed[self._at : self._at + count]
        if len(taken) < count:
            raise ValueError("it is cut off")
        self._at += count
        return taken


def _demand_within(value: int, least: int | None, most: int | None) -> int:
    if (least is not None and value < least) or (most is not None and value > most):
        raise ValueError(f"{value} is not between {least} and {most}")
    return value
