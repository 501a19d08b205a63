"""Frames into a battery, without any I/O.

NotMeasured   the frames arrived, and hold no battery that can be believed
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import msgspec

from evswap_edge.dbc import SerialEncoding
from evswap_edge.drivers.can.layout import Layout, Place, Slot, Text
from evswap_schema import Battery

_DIGITS: Final = 4
"""Behind the point: finer than any battery management system measures, coarse enough to hide binary
fractions."""
_SERIALS_KEPT: Final = 250
"""More than a station has bays."""
_FILLING: Final = b"\x00\xff "
"""What stands behind a serial number that is shorter than its room."""

Frames = Mapping[Slot, bytes]
"""The data of the newest good frame in each slot."""


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


def is_present(layout: Layout, frames: Frames) -> bool:
    """Whether there is a battery. Raises ``NotMeasured`` when the signal says neither."""
    if layout.presence is None:
        return True
    slot, bits, presence = layout.presence
    said = bits.of(frames[slot])
    if said in presence.empty:
        return False
    if said in presence.occupied:
        return True
    raise NotMeasured(f"{presence.signal} is {said}, which is neither occupied nor empty")


def decode(layout: Layout, frames: Frames) -> Report:
    """What all ``frames`` together say. Raises ``NotMeasured``."""
    fields: dict[str, object] = {"serial_number": _serial_number(layout, frames)}
    for name, (measured, places) in layout.measured.items():
        scale, offset = measured.scale, measured.offset
        highest = max([_value(place, frames, name) * scale + offset for place in places])
        fields[name] = round(highest) if name == "cycles" else round(highest, _DIGITS)
    return Report(_battery(fields), _faults(layout, frames))


def _faults(layout: Layout, frames: Frames) -> tuple[str, ...]:
    """All is well where all their bits are 0, which they mostly are."""
    masks = layout.fault_masks
    if masks is not None:
        for slot, mask in masks.items():
            if int.from_bytes(frames[slot], "little") & mask:
                break
        else:
            return ()
    return tuple(place.signal.name for place in layout.faults if _value(place, frames, "faults"))


def _value(place: Place, frames: Frames, name: str) -> float:
    """The signal's value, within the limits that the DBC file gives it."""
    value = place.read(frames[place.slot])
    if place.least <= value <= place.greatest and math.isfinite(value):
        return value
    if not (math.isfinite(value) and place.least <= round(value, _DIGITS) <= place.greatest):
        said = f"{place.name} is {round(value, _DIGITS):g}"
        limits = f"{place.least:g} to {place.greatest:g}"
        raise NotMeasured(f"{name}: {said}, out of the range of its DBC file, {limits}")
    return value


def _battery(fields: Mapping[str, object]) -> Battery:
    """Within the limits of the contract, too."""
    try:
        return msgspec.convert(fields, Battery)
    except msgspec.ValidationError as error:
        name = str(error).rpartition("$.")[2].rstrip("`")
        raise NotMeasured(f"{name}: {fields.get(name)} is out of the range of the contract") from error


# --- serial numbers ---------------------------------------------------------------------------------------


def _serial_number(layout: Layout, frames: Frames) -> str:
    return _written(
        layout.encoding, layout.serial, tuple([text.bits.of(frames[text.slot]) for text in layout.serial])
    )


@lru_cache(maxsize=_SERIALS_KEPT)
def _written(encoding: SerialEncoding, serial: tuple[Text, ...], raws: tuple[int, ...]) -> str:
    """As long as a battery is in its bay, it is the same one. Raises ``NotMeasured``."""
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
