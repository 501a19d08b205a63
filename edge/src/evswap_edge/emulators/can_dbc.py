"""A DBC file as an emulator reads it: frames, their fields, and values into bits. The driver leaves all of
this to a library, so the two agree on nothing but the file."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evswap_edge.emulators import EmulatorError

_EXTENDED: Final = 0x8000_0000
_FRAME: Final = re.compile(r"^BO_ (?P<identifier>\d+) (?P<name>\w+) ?: (?P<length>\d+) ")
_FIELD: Final = re.compile(
    r"^\s*SG_ (?P<name>\w+) (?:(?P<multiplex>M|m\d+) )?: (?P<start>\d+)\|(?P<length>\d+)@(?P<order>[01])"
    r"(?P<sign>[+-]) \((?P<scale>[^,]+),(?P<offset>[^)]+)\)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A signal. ``part`` is the multiplexer's value for the frames that hold it; None: all do."""

    name: str
    start: int
    length: int
    little_endian: bool
    signed: bool
    scale: float
    offset: float
    is_multiplexer: bool
    part: int | None

    def raw(self, value: float) -> int:
        """The number that says ``value``: the nearest that the field can hold."""
        least, greatest = (
            (-(1 << self.length - 1), (1 << self.length - 1) - 1) if self.signed else (0, self.full)
        )
        return min(max(round((value - self.offset) / self.scale), least), greatest)

    @property
    def full(self) -> int:
        """All bits set."""
        return (1 << self.length) - 1

    def places(self) -> Iterator[tuple[int, int]]:
        """Byte and bit of each of its bits, from the least significant one. In a big-endian field the start
        is the most significant bit, and behind a byte's bit 0 comes the next byte's bit 7."""
        if self.little_endian:
            yield from (divmod(self.start + n, 8) for n in range(self.length))
            return
        walk = [divmod(self.start, 8)]
        while len(walk) < self.length:
            byte, bit = walk[-1]
            walk.append((byte, bit - 1) if bit else (byte + 1, 7))
        yield from reversed(walk)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A message of the DBC file."""

    name: str
    identifier: int
    extended: bool
    length: int
    fields: Mapping[str, Field]

    @property
    def multiplexer(self) -> Field | None:
        return next((field for field in self.fields.values() if field.is_multiplexer), None)

    @property
    def parts(self) -> tuple[int, ...]:
        """The values of the multiplexer, in turn; none where there is no multiplexer."""
        return tuple(sorted({field.part for field in self.fields.values() if field.part is not None}))

    def pack(self, raw: Mapping[str, int]) -> bytearray:
        """The frame that holds the numbers ``raw`` by the names of their fields, and 0 elsewhere."""
        data = bytearray(self.length)
        for name, number in raw.items():
            for n, (byte, bit) in enumerate(self.fields[name].places()):
                data[byte] |= (number >> n & 1) << bit
        return data


def read_frames(file: Path) -> Mapping[str, Frame]:
    """The messages of ``file`` by name. Raises ``EmulatorError``."""
    try:
        lines = file.read_text(encoding="cp1252").splitlines()
    except OSError as error:
        raise EmulatorError(f"{file}: cannot be read: {error.strerror}") from error
    found: dict[str, tuple[re.Match[str], dict[str, Field]]] = {}
    fields: dict[str, Field] = {}
    for line in lines:
        if match := _FRAME.match(line):
            fields = {}
            found[match["name"]] = (match, fields)
        elif match := _FIELD.match(line):
            fields[match["name"]] = _field(match)
    return {name: _frame(match, fields) for name, (match, fields) in found.items()}


def _frame(match: re.Match[str], fields: Mapping[str, Field]) -> Frame:
    identifier = int(match["identifier"])
    return Frame(
        name=match["name"],
        identifier=identifier & ~_EXTENDED,
        extended=bool(identifier & _EXTENDED),
        length=int(match["length"]),
        fields=fields,
    )


def _field(match: re.Match[str]) -> Field:
    multiplex = match["multiplex"] or ""
    return Field(
        name=match["name"],
        start=int(match["start"]),
        length=int(match["length"]),
        little_endian=match["order"] == "1",
        signed=match["sign"] == "-",
        scale=float(match["scale"]),
        offset=float(match["offset"]),
        is_multiplexer=multiplex == "M",
        part=int(multiplex[1:]) if multiplex.startswith("m") else None,
    )
