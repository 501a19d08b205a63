"""Registers into values, without any I/O: which registers to ask for, and what their contents mean.

NotMeasured   the registers arrived, and hold no measurement
└── NoValue   the device says itself that it has none
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
from pymodbus.client.mixin import ModbusClientMixin

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
_MOST_REGISTERS: Final = 125
"""That one request reads (Modbus application protocol 1.1b3, sections 6.3 and 6.4)."""
_SIMPLE_FIELDS: Final = ("soc", "soh", "voltage", "current")
"""Of a battery: one number each."""
_PADDING: Final = b"\xff \t"
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


Contents = Mapping[tuple[Table, int], int]
"""What each register holds, by table and address."""


def blocks(places: Sequence[Place], *, read_across: int = 0) -> tuple[Block, ...]:
    """The fewest requests that read all ``places``, and between them at most ``read_across`` registers that
    none of them needs.

    A device may answer a request for a register that it does not have with an exception, so gaps are only
    read across where its map says that there is something.
    """
    found: list[Block] = []
    for one in sorted({Block(each.table, each.address, each.words) for each in places}, key=_in_order):
        last = found[-1] if found else None
        if last and _joins(last, one, read_across):
            found[-1] = Block(last.table, last.address, max(one.end, last.end) - last.address)
        else:
            found.append(one)
    return tuple(found)


def _in_order(block: Block) -> tuple[Table, int, int]:
    return block.table, block.address, block.end


def _joins(last: Block, one: Block, read_across: int) -> bool:
    together = max(one.end, last.end) - last.address
    return (
        last.table is one.table
        and one.address <= last.end + read_across
        and (together <= _MOST_REGISTERS or one.end <= last.end)
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
    if _pattern(words) in quantity.unavailable:
        raise NoValue(f"the device has no value ({_pattern(words):#06x})")
    number = ModbusClientMixin.convert_from_registers(words, _TYPES[quantity.encoding])
    return _measured(quantity, float(number))  # type: ignore[arg-type]  # a list only for several values


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


def _pattern(words: Sequence[int]) -> int:
    """The words as they lie there, most significant first."""
    return sum(word << 16 * place for place, word in enumerate(reversed(words)))


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
    for name in _SIMPLE_FIELDS:
        with _named(name):
            values[name] = decode(getattr(layout, name), registers)
    with _named("temperature"):
        values["temperature"] = hottest(layout.temperature, registers)
    with _named("cycles"):
        values["cycles"] = round(decode(layout.cycles, registers))
    with _named("serial_number"):
        values["serial_number"] = decode_text(layout.serial_number, registers)
    try:
        return msgspec.convert(values, Battery)
    except msgspec.ValidationError as error:
        raise NotMeasured(f"is no battery that the contract knows: {error}") from error


def decode_charger(layout: ChargerMap, registers: Contents) -> Charger:
    """The charger. Raises ``NotMeasured``, which names the field."""
    with _named("current"):
        current = decode(layout.current, registers) if layout.current else None
    return Charger(
        enabled=says_yes(layout.enabled, registers),
        current=current,
        fault=_said(layout.faults, registers) or None,
    )


def _said(flags: Sequence[Flag], registers: Contents) -> str:
    return ", ".join(flag.name for flag in flags if says_yes(flag, registers))


@contextmanager
def _named(name: str) -> Iterator[None]:
    """What fails inside is ``name``."""
    try:
        yield
    except NotMeasured as error:
        raise NotMeasured(f"{name}: {error}") from error
