"""How a device keeps its values in 16-bit registers: the words that a register map is written in.

Each place has ``table``, ``address`` and ``words``, so that whoever reads a device can find out what to ask
for; and ``at(position, apart)``, the same place for the n-th bay of a device that keeps several.
"""

from enum import StrEnum
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

LAST_UNIT: Final = 247
"""Of a serial line (Modbus over serial line 1.02, section 2.2)."""

_LAST: Final = 0xFFFF
_BITS: Final = 16
_MOST_TEXT: Final = 25
"""Registers of the longest serial number that the contract takes, 50 characters."""


class Table(StrEnum):
    """Which of a device's tables of 16-bit registers: read with function 4 (input) or 3 (holding)."""

    INPUT = "input"
    HOLDING = "holding"

    __hash__ = str.__hash__
    """It is part of what every question is found by, and that of enumerations is ten times as slow."""


class Encoding(StrEnum):
    """How a number lies in registers; each of them holds its more significant byte first."""

    __hash__ = str.__hash__

    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    FLOAT32 = "float32"

    @property
    def words(self) -> int:
        """Registers that it takes."""
        return 1 if self in {Encoding.INT16, Encoding.UINT16} else 2


class WordOrder(StrEnum):
    """Which half of a 32-bit number has the lower address."""

    HIGH_FIRST = "high-first"
    LOW_FIRST = "low-first"


class ByteOrder(StrEnum):
    """Which character of a text a register has in its more significant byte: the first of its two, or the
    second."""

    HIGH_FIRST = "high-first"
    LOW_FIRST = "low-first"


class Parity(StrEnum):
    """The parity bit of each character on a serial line."""

    NONE = "none"
    EVEN = "even"
    ODD = "odd"


Unit = Annotated[int, Meta(ge=1, le=LAST_UNIT)]
"""A device's address on its line."""
Baudrate = Annotated[int, Meta(ge=1_200, le=115_200)]
StopBits = Annotated[int, Meta(ge=1, le=2)]
Address = Annotated[int, Meta(ge=0, le=_LAST)]
"""Counts from 0, as on the wire; a manual's "register 1" or "30001" is mostly address 0."""
Word = Annotated[int, Meta(ge=0, le=0xFFFF)]

PlaceT = TypeVar("PlaceT", bound="Place")


class Factory(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the device talks as it comes out of its box. ``pause_ms`` is what it needs between its answer and
    the next question on its line."""

    baudrate: Baudrate
    parity: Parity
    stop_bits: StopBits
    unit: Unit
    pause_ms: Annotated[int, Meta(ge=0, le=1_000)] = 0


class Place(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Some registers of a table."""

    table: Table
    address: Address

    def __post_init__(self) -> None:
        if self.address + self.words > _LAST + 1:
            raise ValueError(f"lies behind the last register, {_LAST}")

    @property
    def words(self) -> int:
        """Registers that it takes."""
        return 1

    def at(self: PlaceT, position: int, apart: int) -> PlaceT:
        """The same for the bay at ``position``, counted from 0, of a device whose bays lie ``apart``
        registers. Raises ``ValueError`` for what lies behind the last register."""
        return msgspec.structs.replace(self, address=self.address + position * apart)


class Quantity(Place, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where one measured value lies and how it is read: ``number in the registers * scale + offset``.

    ``unavailable`` are register contents (unsigned) by which the device says that it has no value; a float
    that is not finite always means that. ``minimum`` and ``maximum`` are what the device can measure, in the
    unit of the value: beyond them it is no measurement.
    """

    encoding: Encoding
    minimum: float
    maximum: float
    word_order: WordOrder = WordOrder.HIGH_FIRST
    scale: float = 1.0
    offset: float = 0.0
    unavailable: tuple[Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)], ...] = ()

    def __post_init__(self) -> None:
        if self.scale == 0:
            raise ValueError("scale cannot be 0")
        if self.minimum >= self.maximum:
            raise ValueError("minimum has to be less than maximum")
        super().__post_init__()

    @property
    def words(self) -> int:
        return self.encoding.words


class Text(Place, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """ASCII text, two characters a register; what is behind a NUL does not belong to it."""

    registers: Annotated[int, Meta(ge=1, le=_MOST_TEXT)]
    byte_order: ByteOrder = ByteOrder.HIGH_FIRST

    @property
    def words(self) -> int:
        return self.registers


class Flag(Place, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One bit that says yes or no; ``name`` is what it says in the manual's words, ``means_yes`` the bit for
    yes.

    With ``bits_apart`` the bays of a device share registers: each has its bit so many behind the one
    before.
    """

    name: Annotated[str, Meta(min_length=1, max_length=40)]
    bit: Annotated[int, Meta(ge=0, lt=_BITS)]
    means_yes: Annotated[int, Meta(ge=0, le=1)] = 1
    bits_apart: Annotated[int, Meta(ge=0, le=_BITS)] = 0

    def at(self, position: int, apart: int) -> "Flag":
        if not self.bits_apart:
            return super().at(position, apart)
        registers, bit = divmod(self.bit + position * self.bits_apart, _BITS)
        return msgspec.structs.replace(self, address=self.address + registers, bit=bit)


class Heartbeat(Place, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A counter that the device moves on by itself, at least once in ``moves_within_s`` seconds: one that
    stands still repeats what it measured long ago."""

    moves_within_s: Annotated[float, Meta(ge=1, le=3600)]


class Switch(Place, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A holding register that is written with function 6 to let something work, or not."""

    writes_on: Word
    writes_off: Word

    def __post_init__(self) -> None:
        if self.table is not Table.HOLDING:
            raise ValueError("only holding registers can be written")
        if self.writes_on == self.writes_off:
            raise ValueError("writes_on and writes_off cannot be the same")
        super().__post_init__()


class Several(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One device keeps ``bays`` bays, each as the first, ``apart`` registers further on."""

    bays: Annotated[int, Meta(ge=2, le=250)]
    apart: Annotated[int, Meta(ge=1, le=0x4000)]
