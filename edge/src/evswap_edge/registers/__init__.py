"""Register maps: what a Modbus device keeps where, as data.

A map is a YAML file that names the manufacturer's document it was taken from. Those in this folder are known
by their file's name; a station may name a file of its own. The driver reads devices by them, and the
emulator lays out its registers by them; each has its own arithmetic, so that a mistake in one shows.
"""

from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct

from evswap_edge.documents import Document, NameOrFile

_FOLDER: Final = Path(__file__).parent
_SUFFIX: Final = ".yaml"


class Table(StrEnum):
    """Which of a device's tables of 16-bit registers: read with function 4 (input) or 3 (holding)."""

    INPUT = "input"
    HOLDING = "holding"


class Encoding(StrEnum):
    """How a number lies in registers; each of them holds its more significant byte first."""

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


class Parity(StrEnum):
    """The parity bit of each character on a serial line."""

    NONE = "none"
    EVEN = "even"
    ODD = "odd"


Unit = Annotated[int, Meta(ge=1, le=247)]
"""A device's address on its line (Modbus over serial line 1.02, section 2.2)."""
Baudrate = Annotated[int, Meta(ge=1_200, le=115_200)]
StopBits = Annotated[int, Meta(ge=1, le=2)]


class Factory(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the device talks as it comes out of its box."""

    baudrate: Baudrate
    parity: Parity
    stop_bits: StopBits
    unit: Unit


class Quantity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where one measured value lies and how it is read: ``number in the registers * scale + offset``.

    ``address`` counts from 0, as on the wire; a manual's "register 1" or "30001" is mostly address 0.
    ``unavailable`` are register contents (unsigned) by which the device says that it has no value; a float
    that is not finite always means that. ``minimum`` and ``maximum`` are what the device can measure, in the
    unit of the value: beyond them it is no measurement.
    """

    table: Table
    address: Annotated[int, Meta(ge=0, le=0xFFFF)]
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
        if self.address + self.encoding.words > 0x1_0000:
            raise ValueError("lies behind the last register, 65535")


class ClimateMap(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A climate sensor: degrees Celsius and percent relative humidity. ``document`` is the source of it
    all."""

    title: str
    document: str
    factory: Factory
    temperature: Quantity
    humidity: Quantity


class UnknownMap(Exception):
    """No map of ours has this name; ``nearest`` may be what was meant."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nearest = next(iter(get_close_matches(name, names(), n=1)), None)
        super().__init__(
            f"no register map is called {name!r}; known are {', '.join(names())}, "
            f"or name a file: ./{name}{_SUFFIX}"
        )


def names() -> tuple[str, ...]:
    """The maps that come with the program."""
    return tuple(sorted(file.stem for file in _FOLDER.glob(f"*{_SUFFIX}")))


def read_climate_map(choice: NameOrFile) -> ClimateMap:
    """Read the map. Raises ``UnknownMap``, or ``ConfigurationError`` for what is wrong inside the file."""
    if choice.file is None and choice.name not in names():
        raise UnknownMap(choice.name)
    document = Document(choice.file or _FOLDER / f"{choice.name}{_SUFFIX}")
    return document.convert(document.data, ClimateMap)
