"""Registers into values, without any I/O: which registers to ask for, and what their contents mean.

NotMeasured   the registers arrived, and hold no measurement
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pymodbus.client.mixin import ModbusClientMixin

from evswap_edge.registers import Encoding, Quantity, Table, WordOrder

_DIGITS: Final = 4
"""Behind the point: finer than any climate sensor resolves, coarse enough to hide binary fractions."""
_TYPES: Final[Mapping[Encoding, ModbusClientMixin.DATATYPE]] = {
    Encoding.INT16: ModbusClientMixin.DATATYPE.INT16,
    Encoding.UINT16: ModbusClientMixin.DATATYPE.UINT16,
    Encoding.INT32: ModbusClientMixin.DATATYPE.INT32,
    Encoding.UINT32: ModbusClientMixin.DATATYPE.UINT32,
    Encoding.FLOAT32: ModbusClientMixin.DATATYPE.FLOAT32,
}


class NotMeasured(Exception):
    """What the registers hold is no measurement; ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring registers that one request reads."""

    table: Table
    address: int
    count: int


Contents = Mapping[tuple[Table, int], int]
"""What each register holds, by table and address."""


def blocks(quantities: Sequence[Quantity]) -> tuple[Block, ...]:
    """The fewest requests that read all ``quantities`` and no register that none of them needs.

    A device may answer a request for a register that it does not have with an exception, so gaps are not
    read across.
    """
    found: list[Block] = []
    spans = sorted((each.table, each.address, each.address + each.encoding.words) for each in quantities)
    for table, start, end in spans:
        last = found[-1] if found else None
        if last and last.table is table and start <= last.address + last.count:
            found[-1] = Block(table, last.address, max(end - last.address, last.count))
        else:
            found.append(Block(table, start, end - start))
    return tuple(found)


def contents(block: Block, words: Sequence[int]) -> Contents:
    """The answer to the request for ``block``, by table and address."""
    return {(block.table, address): word for address, word in enumerate(words, start=block.address)}


def decode(quantity: Quantity, registers: Contents) -> float:
    """The value of ``quantity`` in its own unit. Raises ``NotMeasured``."""
    addresses = range(quantity.address, quantity.address + quantity.encoding.words)
    words = [registers[quantity.table, address] for address in addresses]
    if quantity.word_order is WordOrder.LOW_FIRST:
        words.reverse()
    if _pattern(words) in quantity.unavailable:
        raise NotMeasured(f"the device has no value ({_pattern(words):#06x})")
    number = ModbusClientMixin.convert_from_registers(words, _TYPES[quantity.encoding])
    return _measured(quantity, float(number))  # type: ignore[arg-type]  # a list only for several values


def _pattern(words: Sequence[int]) -> int:
    """The words as they lie there, most significant first."""
    return sum(word << 16 * place for place, word in enumerate(reversed(words)))


def _measured(quantity: Quantity, number: float) -> float:
    if not math.isfinite(number):
        raise NotMeasured(f"the device has no value ({number})")
    value = round(number * quantity.scale + quantity.offset, _DIGITS)
    if not quantity.minimum <= value <= quantity.maximum:
        raise NotMeasured(f"{value:g} is out of range, {quantity.minimum:g} to {quantity.maximum:g}")
    return value
