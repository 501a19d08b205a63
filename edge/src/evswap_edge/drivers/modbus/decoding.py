"""Registers into values, without any I/O: which registers to ask for, and what their contents mean.

NotMeasured   the registers arrived, and hold no measurement
└── NoValue   the device says itself that it has none
"""

import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Final, NamedTuple

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


class Block(NamedTuple):
    """Neighbouring registers that one request reads. It is what answers are found by, so it is a tuple, which
    is found by quickly."""

    table: Table
    address: int
    count: int  # type: ignore[assignment]  # hides a method of tuples that nobody needs

    @property
    def end(self) -> int:
        return self.address + self.count

    def holds(self, other: "Block") -> bool:
        """Whether it has all of ``other``."""
        return self.table is other.table and self.address <= other.address and other.end <= self.end


Contents = Mapping[int, int]
"""What each register holds, by its reference number."""
_REFERENCES: Final = {Table.INPUT: 300_001, Table.HOLDING: 400_001}
"""Of the first register of each table, as people number them: 30001 and 40001, with room for all 65,536."""


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


def reference(table: Table, address: int) -> int:
    """The reference number of a register."""
    return _REFERENCES[table] + address


def contents(block: Block, words: Sequence[int]) -> Contents:
    """The answer to the request for ``block``, by reference number."""
    return dict(enumerate(words, reference(block.table, block.address)))


# --- one place ------------------------------------------------------------------------------------------


def decoder(quantity: Quantity) -> Callable[[Contents], float]:
    """What finds out the value of ``quantity`` in its own unit, and raises ``NotMeasured``."""
    references = _references(quantity)
    if quantity.word_order is WordOrder.LOW_FIRST:
        references = references[::-1]
    first, last, is_one = references[0], references[-1], len(references) == 1
    number_of, scale, offset = _NUMBERS[quantity.encoding], quantity.scale, quantity.offset
    may_be_none = quantity.encoding is Encoding.FLOAT32
    unavailable, minimum, maximum = quantity.unavailable, quantity.minimum, quantity.maximum

    def decode(registers: Contents) -> float:
        pattern = registers[last] if is_one else registers[first] << 16 | registers[last]
        if pattern in unavailable:
            raise NoValue(f"the device has no value ({pattern:#06x})")
        number = number_of(pattern)
        if may_be_none and not math.isfinite(number):
            raise NoValue(f"the device has no value ({number})")
        value = round(number * scale + offset, _DIGITS)
        if not minimum <= value <= maximum:
            raise NotMeasured(f"{value:g} is out of range, {minimum:g} to {maximum:g}")
        return value

    return decode


def text_decoder(text: Text) -> Callable[[Contents], str]:
    """What finds out the text, without what pads it, and raises ``NotMeasured`` when there is none, or it is
    no text."""
    references = _references(text)
    words_of = itemgetter(references[0], *references)

    def decode_text(registers: Contents) -> str:
        return _text(text.byte_order, words_of(registers)[1:])

    return decode_text


@lru_cache(maxsize=1_000)
def _text(byte_order: ByteOrder, words: tuple[int, ...]) -> str:
    """Raises ``NotMeasured``. A serial number is the same in one round after the other."""
    order = ">" if byte_order is ByteOrder.HIGH_FIRST else "<"
    told = struct.pack(f"{order}{len(words)}H", *words).partition(b"\0")[0].strip(_PADDING)
    if not told:
        raise NoValue("the device has none")
    if not (told.isascii() and told.decode("ascii").isprintable()):
        raise NotMeasured(f"is no text ({told.hex(' ')})")
    return told.decode("ascii")


def yes_decoder(flag: Flag) -> Callable[[Contents], bool]:
    """What finds out whether the bit says yes."""
    number, mask = reference(flag.table, flag.address), 1 << flag.bit
    yes = mask if flag.means_yes else 0
    return lambda registers: registers[number] & mask == yes


def hottest_decoder(quantities: Sequence[Quantity]) -> Callable[[Contents], float]:
    """What finds out the greatest of the values that the device has, and raises ``NotMeasured`` when it has
    none, or one of them cannot be."""
    decoders = [decoder(each) for each in quantities]

    def hottest(registers: Contents) -> float:
        values: list[float] = []
        missing: NoValue | None = None
        for decode in decoders:
            try:
                values.append(decode(registers))
            except NoValue as error:
                missing = error
        if missing and not values:
            raise missing
        return max(values)

    return hottest


def _references(place: Place) -> list[int]:
    first = reference(place.table, place.address)
    return list(range(first, first + place.words))


# --- a whole device -------------------------------------------------------------------------------------


def battery_decoder(layout: BatteryMap) -> Callable[[Contents], Battery | None]:
    """What finds out the battery, None where there is none, and raises ``NotMeasured``, which names the
    field: of a battery all is known, or it is not known. Made once for each bay, since each has registers of
    its own."""
    is_present = yes_decoder(layout.present) if layout.present else None
    doubts_of = _sayings(layout.unreliable)
    cycles = decoder(layout.cycles)
    fields: list[tuple[str, Callable[[Contents], float | str]]] = [
        *((name, decoder(getattr(layout, name))) for name in _SIMPLE_FIELDS),
        ("temperature", hottest_decoder(layout.temperature)),
        ("cycles", lambda registers: round(cycles(registers))),
        ("serial_number", text_decoder(layout.serial_number)),
    ]

    def decode_battery(registers: Contents) -> Battery | None:
        if is_present and not is_present(registers):
            return None
        if doubts := doubts_of(registers):
            raise NotMeasured(f"the device says: {doubts}")
        values: dict[str, float | str] = {}
        for name, decode in fields:
            try:
                values[name] = decode(registers)
            except NotMeasured as error:
                raise NotMeasured(f"{name}: {error}") from error
        try:
            return msgspec.convert(values, Battery)
        except msgspec.ValidationError as error:
            raise NotMeasured(f"is no battery that the contract knows: {error}") from error

    return decode_battery


def charger_decoder(layout: ChargerMap) -> Callable[[Contents], Charger]:
    """What finds out what the charger does, and raises ``NotMeasured``, which names the field."""
    current_of = decoder(layout.current) if layout.current else None
    is_enabled, faults_of = yes_decoder(layout.enabled), _sayings(layout.faults)

    def decode_charger(registers: Contents) -> Charger:
        try:
            current = current_of(registers) if current_of else None
        except NotMeasured as error:
            raise NotMeasured(f"current: {error}") from error
        return Charger(enabled=is_enabled(registers), current=current, fault=faults_of(registers) or None)

    return decode_charger


def _sayings(flags: Sequence[Flag]) -> Callable[[Contents], str]:
    """The names of those that say yes."""
    named = [(flag.name, yes_decoder(flag)) for flag in flags]
    return lambda registers: ", ".join([name for name, says_yes in named if says_yes(registers)])
