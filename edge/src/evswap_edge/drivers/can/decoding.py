"""Frames into a battery, without any I/O.

NotMeasured   the frames arrived, and hold no battery that can be believed
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import msgspec

from evswap_edge.dbc import Measured, SerialEncoding
from evswap_edge.drivers.can.layout import Layout, Place, Text
from evswap_schema import Battery

_DIGITS: Final = 4
"""Behind the point: finer than any battery management system measures, coarse enough to hide binary
fractions."""
_LARGEST: Final = sys.float_info.max
"""Beyond is no number."""
_SERIALS_KEPT: Final = 250
"""More than a station has bays."""
_FILLING: Final = b"\x00\xff "
"""What stands behind a serial number that is shorter than its room."""

Words = list[int]
"""The newest good frame in each slot of a bay, in the order of the layout, as little-endian numbers."""


class NotMeasured(Exception):
    """The frames hold no such battery; ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Report:
    """What a battery's management system says: its values, and the names of the faults that it sees."""

    battery: Battery
    faults: tuple[str, ...] = ()


def is_present(layout: Layout, data: bytes) -> bool:
    """Whether there is a battery, by the frame that says so, which is that of the first slot. Raises
    ``NotMeasured`` when the signal says neither."""
    if layout.presence is None:
        return True
    _, bits, presence = layout.presence
    said = bits.of(data)
    if said in presence.empty:
        return False
    if said in presence.occupied:
        return True
    raise NotMeasured(f"{presence.signal} is {said}, which is neither occupied nor empty")


def decode(layout: Layout, bays: Sequence[Words]) -> list[Report | NotMeasured]:
    """What each of ``bays`` says, or why that is no battery."""
    return _Decoding(layout, bays).outcomes() if bays else []


class _Decoding:
    """Bays side by side: a column for each slot and each field. What is wrong with a bay is noted, and 0
    stands where a value of it is none."""

    def __init__(self, layout: Layout, bays: Sequence[Words]) -> None:
        self._layout = layout
        self._count = len(bays)
        self._said = dict(zip(layout.slots, zip(*bays, strict=True), strict=True))
        self._problems: dict[int, NotMeasured] = {}

    def outcomes(self) -> list[Report | NotMeasured]:
        columns: dict[str, Sequence[object]] = {"serial_number": self._serial_numbers()}
        for name, (measured, places) in self._layout.measured.items():
            columns[name] = self._measured(name, measured, places)
        batteries = self._batteries(columns)
        faults = self._faults()
        if not self._problems:
            return [*map(Report, batteries, faults)]
        reports = zip(batteries, faults, strict=True)
        return [self._problems.get(bay) or Report(*report) for bay, report in enumerate(reports)]

    # --- fields -------------------------------------------------------------------------------------------

    def _measured(self, name: str, measured: Measured, places: Sequence[Place]) -> list[float]:
        scale, offset = measured.scale, measured.offset
        digits = None if name == "cycles" else _DIGITS
        several = [self._values(place, name) for place in places]
        if len(several) == 1:
            return [round(value * scale + offset, digits) for value in several[0]]
        return [
            round(max([value * scale + offset for value in row]), digits)
            for row in zip(*several, strict=True)
        ]

    def _values(self, place: Place, name: str) -> list[float]:
        """The signal's values, within the limits that the DBC file gives it."""
        values = place.read(self._said[place.slot])
        least, greatest = max(place.least, -_LARGEST), min(place.greatest, _LARGEST)
        for bay in [bay for bay, value in enumerate(values) if not least <= value <= greatest]:
            if problem := _problem_of(values[bay], place):
                self._has(bay, f"{name}: {problem}")
                values[bay] = 0
        return values

    def _serial_numbers(self) -> list[str]:
        raws = zip(*[text.read(self._said[text.slot]) for text in self._layout.serial], strict=True)
        numbers = []
        for bay, each in enumerate(raws):
            try:
                numbers.append(_written(self._layout, each))
            except NotMeasured as error:
                self._has(bay, error.reason)
                numbers.append("")
        return numbers

    def _faults(self) -> list[tuple[str, ...]]:
        """All is well where all their bits are 0, which they mostly are."""
        masks = self._layout.fault_masks
        if masks is None:
            looked_at = set(range(self._count))
        else:
            looked_at = {
                bay
                for slot, mask in masks.items()
                for bay, word in enumerate(self._said[slot])
                if word & mask
            }
        faults: list[tuple[str, ...]] = [()] * self._count
        if looked_at:
            columns = [(place.signal.name, self._values(place, "faults")) for place in self._layout.faults]
            for bay in looked_at:
                faults[bay] = tuple([name for name, values in columns if values[bay]])
        return faults

    # --- batteries ----------------------------------------------------------------------------------------

    def _batteries(self, columns: Mapping[str, Sequence[object]]) -> Sequence[Battery]:
        """Within the limits of the contract, too."""
        bays = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        if not self._problems:
            try:
                return msgspec.convert(bays, list[Battery])
            except msgspec.ValidationError:
                pass  # one by one, it shows which
        return [self._battery(bay, fields) for bay, fields in enumerate(bays)]

    def _battery(self, bay: int, fields: Mapping[str, object]) -> Battery:
        """With a problem noted, whatever the fields are."""
        try:
            return msgspec.convert(fields, Battery)
        except msgspec.ValidationError as error:
            name = str(error).rpartition("$.")[2].rstrip("`")
            self._has(bay, f"{name}: {fields.get(name)} is out of the range of the contract")
            return Battery(**fields)  # type: ignore[arg-type]

    def _has(self, bay: int, problem: str) -> None:
        """The first problem of a bay is the one that is told."""
        self._problems.setdefault(bay, NotMeasured(problem))


def _problem_of(value: float, place: Place) -> str | None:
    """A limit is meant in decimals, whatever the binary fraction beside it."""
    if math.isfinite(value) and place.least <= round(value, _DIGITS) <= place.greatest:
        return None
    limits = f"{place.least:g} to {place.greatest:g}"
    return f"{place.name} is {round(value, _DIGITS):g}, out of the range of its DBC file, {limits}"


# --- serial numbers ---------------------------------------------------------------------------------------


@lru_cache(maxsize=_SERIALS_KEPT)
def _written(layout: Layout, raws: tuple[int, ...]) -> str:
    """As long as a battery is in its bay, it is the same one. Raises ``NotMeasured``."""
    serial, encoding = layout.serial, layout.encoding
    parts = list(zip(serial, raws, strict=True))
    if encoding is SerialEncoding.ASCII:
        return _characters(b"".join(_bytes(text, raw) for text, raw in parts))
    number = 0
    for text, raw in parts:
        number = number << text.width | raw
    if encoding is SerialEncoding.DECIMAL:
        return str(number)
    return f"{number:0{math.ceil(sum(text.width for text in serial) / 4)}X}"


def _bytes(text: Text, raw: int) -> bytes:
    return raw.to_bytes(text.width // 8, text.bits.order)


def _characters(data: bytes) -> str:
    try:
        text = data.rstrip(_FILLING).decode("ascii")
    except UnicodeDecodeError:
        text = ""
    if not (text and text.isprintable()):
        raise NotMeasured(f"serial_number: {data.hex(' ')} is no text")
    return text
