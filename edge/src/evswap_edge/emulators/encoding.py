"""Values into registers, as a device's firmware does it. The driver reads them with arithmetic of its own."""

import struct
from collections.abc import Mapping
from typing import Final

from evswap_edge.registers import ByteOrder, Encoding, Quantity, Text, WordOrder

_INTEGERS: Final[Mapping[Encoding, tuple[str, int, int]]] = {
    Encoding.INT16: (">h", -(2**15), 2**15 - 1),
    Encoding.UINT16: (">H", 0, 2**16 - 1),
    Encoding.INT32: (">i", -(2**31), 2**31 - 1),
    Encoding.UINT32: (">I", 0, 2**32 - 1),
}
"""Layout, least and greatest number."""


def encode(quantity: Quantity, value: float) -> dict[int, int]:
    """The registers, by address, that say ``value``; the nearest that they can say when it does not fit."""
    number = (value - quantity.offset) / quantity.scale
    words = list(struct.unpack(f">{quantity.encoding.words}H", _packed(quantity.encoding, number)))
    if quantity.word_order is WordOrder.LOW_FIRST:
        words.reverse()
    return dict(enumerate(words, start=quantity.address))


def encode_text(text: Text, told: str) -> dict[int, int]:
    """The registers, by address, that say ``told``, padded with NULs; as much of it as there is room for."""
    room = 2 * text.registers
    characters = told.encode("ascii", errors="replace")[:room].ljust(room, b"\0")
    layout = ">" if text.byte_order is ByteOrder.HIGH_FIRST else "<"
    words = struct.unpack(f"{layout}{text.registers}H", characters)
    return dict(enumerate(words, start=text.address))


def _packed(encoding: Encoding, number: float) -> bytes:
    if encoding is Encoding.FLOAT32:
        return struct.pack(">f", number)
    layout, least, greatest = _INTEGERS[encoding]
    return struct.pack(layout, min(max(round(number), least), greatest))
