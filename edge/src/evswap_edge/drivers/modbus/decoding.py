"""Registers into values, without any I/O: which registers to ask for, and what their contents mean.

NotMeasured   the registers arrived, and hold no measurement
└── NoValue   the device says itself that it has none
"""

import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from evswap_edge.hal import Charger
from evswap_edge.registers import (
    BatteryMap,
    ByteOrder,
    ChargerMap,
    Encoding,
    Flag,
    Place,
    Quantity,
    Table,
    Text,
    WordOrder,
)
from evswap_schema import Battery

_DIGITS: Final = 4
"""Behind the point: finer than any sensor resolves, coarse enough to hide binary fractions."""
MOST_REGISTERS: Final = 125
"""That one request reads (Modbus application protocol 1.1b3, sections 6.3 and 6.4)."""
_SIMPLE_FIELDS: Final = ("soc", "soh", "voltage", "current")
"""Of a battery: one number each."""
_PADDING: Final = b"\xff \t"
_FLOAT: Final = struct.Struct(">f")
_NUMBERS: Final[Mapping[Encoding, Callable[[int], float]]] = {
    Encoding.INT16: lambda pattern: (pattern ^ 0x8000) - 0x8000,
    Encoding.UINT16: lambda pattern: pattern,
    Encoding.INT32: lambda pattern: (pattern ^ 0x8000_0000) - 0x8000_0000,
    Encoding.UINT32: lambda pattern: pattern,
    Encoding.FLOAT32: lambda pattern: float(_FLOAT.unpack(pattern.to_bytes(4))[0]),
}
"""What the bits of a number say, the most significant first."""


class NotMeasured(Exception):
    """What the registers hold is no measurement; ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class NoValue(NotMeasured):
    """The device says that it has no value."""


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring registers that one request reads."""

    table: Table
    address: int
    count: int

    @property
    def end(self) -> int:
        return self.address + self.count

    def holds(self, other: "Block") -> bool:
        """Whether it has all of ``other``."""
        return self.table is other.table and self.address <= other.address and other.end <= self.end


Contents = Mapping[tuple[Table, int], int]
"""What each register holds, by table and address."""


def blocks(places: Sequence[Place], *, read_across: int = 0) -> tuple[Block, ...]:
    """The fewest requests that read all ``places``, and between them at most ``read_across`` registers that
    none of them needs.

    A device may answer a request for a register that it does not have with an exception, so gaps are only
    read across where its map says that there is something.
    """
    return joined([Block(each.table, each.address, each.words) for each in places], read_across=read_across)


def joined(
    several: Iterable[Block], *, read_across: int = 0, most: int = MOST_REGISTERS
) -> tuple[Block, ...]:
    """The fewest requests that read all of ``several``, none of them torn, and each of at most ``most``
    registers, where there is not one that has more by itself."""
    found: list[Block] = []
    for one in sorted(set(several), key=_in_order):
        last = found[-1] if found else None
        if last and _joins(last, one, read_across, most):
            found[-1] = Block(last.table, last.address, max(one.end, last.end) - last.address)
        else:
            found.append(one)
    return tuple(found)


def _in_order(block: Block) -> tuple[Table, int, int]:
    return block.table, block.address, block.end


def _joins(last: Block, one: Block, read_across: int, most: int) -> bool:
    together = max(one.end, last.end) - last.address
    return (
        last.table is one.table
        and one.address <= last.end + read_across
        and (together <= most or one.end <= last.end)
    )


def contents(block: Block, words: Sequence[int]) -> Contents:
    """The answer to the request for ``block``, by table and address."""
    return {(block.table, address): word for address, word in enumerate(words, start=block.address)}


# --- one place ------------------------------------------------------------------------------------------


def decode(quantity: Quantity, registers: Contents) -> float:
    """The value of ``quantity`` in its own unit. Raises ``NotMeasured``."""
    words = _words(quantity, registers)
    if quantity.word_order is WordOrder.LOW_FIRST:
        words.reverse()
    pattern = words[0] if len(words) == 1 else words[0] << 16 | words[1]
    if pattern in quantity.unavailable:
        raise NoValue(f"the device has no value ({pattern:#06x})")
    return _measured(quantity, _NUMBERS[quantity.encoding](pattern))


def decode_text(text: Text, registers: Contents) -> str:
    """The text, without what pads it. Raises ``NotMeasured`` when there is none, or it is no text."""
    order: Literal["big", "little"] = "big" if text.byte_order is ByteOrder.HIGH_FIRST else "little"
    told = b"".join(word.to_bytes(2, order) for word in _words(text, registers))
    told = told.partition(b"\0")[0].strip(_PADDING)
    if not told:
        raise NoValue("the device has none")
    if not (told.isascii() and told.decode("ascii").isprintable()):
        raise NotMeasured(f"is no text ({told.hex(' ')})")
    return told.decode("ascii")


def says_yes(flag: Flag, registers: Contents) -> bool:
    """What the bit says."""
    return registers[flag.table, flag.address] >> flag.bit & 1 == flag.means_yes


def hottest(quantities: Sequence[Quantity], registers: Contents) -> float:
    """The greatest of the values that the device has. Raises ``NotMeasured`` when it has none, or one of them
    cannot be."""
    values: list[float] = []
    missing: NoValue | None = None
    for quantity in quantities:
        try:
            values.append(decode(quantity, registers))
        except NoValue as error:
            missing = error
    if missing and not values:
        raise missing
    return max(values)


def _words(place: Place, registers: Contents) -> list[int]:
    return [registers[place.table, place.address + offset] for offset in range(place.words)]


def _measured(quantity: Quantity, number: float) -> float:
    if not math.isfinite(number):
        raise NoValue(f"the device has no value ({number})")
    value = round(number * quantity.scale + quantity.offset, _DIGITS)
    if not quantity.minimum <= value <= quantity.maximum:
        raise NotMeasured(f"{value:g} is out of range, {quantity.minimum:g} to {quantity.maximum:g}")
    return value


# --- a whole device -------------------------------------------------------------------------------------


def decode_battery(layout: BatteryMap, registers: Contents) -> Battery | None:
    """The battery; None: there is none. Raises ``NotMeasured``, which names the field: of a battery all is
    known, or it is not known."""
    if layout.present and not says_yes(layout.present, registers):
        return None
    if doubts := _said(layout.unreliable, registers):
        raise NotMeasured(f"the device says: {doubts}")
    values: dict[str, float | str] = {}
    name = ""
    try:
        for name in _SIMPLE_FIELDS:
            values[name] = decode(getattr(layout, name), registers)
        name = "temperature"
        values[name] = hottest(layout.temperature, registers)
        name = "cycles"
        values[name] = round(decode(layout.cycles, registers))
        name = "serial_number"
        values[name] = decode_text(layout.serial_number, registers)
    except NotMeasured as error:
        raise NotMeasured(f"{name}: {error}") from error
    try:
        return msgspec.convert(values, Battery)
    except msgspec.ValidationError as error:
        raise NotMeasured(f"is no battery that the contract knows: {error}") from error


def decode_charger(layout: ChargerMap, registers: Contents) -> Charger:
    """The charger. Raises ``NotMeasured``, which names the field."""
    try:
        current = decode(layout.current, registers) if layout.current else None
    except NotMeasured as error:
        raise NotMeasured(f"current: {error}") from error
    return Charger(
        enabled=says_yes(layout.enabled, registers),
        current=current,
        fault=_said(layout.faults, registers) or None,
    )


def _said(flags: Sequence[Flag], registers: Contents) -> str:
    return ", ".join(flag.name for flag in flags if says_yes(flag, registers))
