"""The bays of a station in some hundred bytes, so that they fit into its item beside its state.

A bay has little in common with its neighbour, but much with it in each of its fields: most bays are locked,
most states of health lie within a few percent. So the bays are written field by field, each as a column that
has as many bits a bay as its values lie apart. Serial numbers mostly begin alike and end in a number: the
beginnings are written once each, and the numbers as a column.
"""

import re
import zlib
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Final

from evswap_cloud.bays import TENTHS, BatteryState, Bays, BayState
from evswap_cloud.columns import Reader, column, deflated, integer, text
from evswap_cloud.errors import DamagedBays
from evswap_cloud.order import Place
from evswap_schema import Charge, Health, Lock, Occupancy, Reservation
from evswap_schema.limits import MAX_BAYS, MAX_SEQUENCE
from evswap_schema.timestamps import epoch_microseconds, from_epoch_microseconds

VERSION: Final = 1
"""Stands first. Another layout has another."""

OCCUPANCIES: Final = (Occupancy.EMPTY, Occupancy.OCCUPIED, Occupancy.UNKNOWN)
CHARGES: Final = (Charge.NONE, Charge.WAITING, Charge.CHARGING, Charge.CHARGED)
LOCKS: Final = (Lock.LOCKED, Lock.UNLOCKED, Lock.UNKNOWN)
RESERVATIONS: Final = (Reservation.FREE, Reservation.RESERVED)
HEALTHS: Final = (Health.HEALTHY, Health.QUARANTINED, Health.FAULT)
"""A state is written as its place in these, so a new one goes to the end."""

_MOST_SERIAL_CHARACTERS: Final = 50
_MOST_CYCLES: Final = 100_000
_PERCENT: Final = 100 * TENTHS
_COLDEST: Final = -60 * TENTHS
_HOTTEST: Final = 200 * TENTHS
"""The contract's limits of a battery."""

_UTF_8: Final = 4
"""Bytes of a character, at most."""

_MOST_DIGITS: Final = 18
_ENDING: Final = re.compile(rf"[0-9]{{0,{_MOST_DIGITS}}}\Z")
"""The digits at the end, as many as a column takes."""


def pack(bays: Bays) -> bytes:
    """Write ``bays``, of which there is at least one, as ``bays_of`` makes them; the same ones always
    alike."""
    return b"".join(_written(bays))


def unpack(packed: bytes) -> Bays:
    """The reverse of ``pack``; raises ``DamagedBays``."""
    try:
        return _read(Reader(packed))
    except (ValueError, OverflowError, zlib.error) as error:
        raise DamagedBays(problem=str(error), size=len(packed)) from error


def _written(told: Bays) -> Iterator[bytes]:
    place, bays = told.place, told.bays
    yield integer(VERSION)
    yield integer(epoch_microseconds(place.observed_at))
    yield text(place.stream_id or "")
    yield integer(place.sequence or 0)
    yield integer(len(bays))
    yield column([bay.bay - number for number, bay in enumerate(bays)])
    yield column([epoch_microseconds(bay.timestamp) for bay in bays])
    yield column([OCCUPANCIES.index(bay.occupancy) for bay in bays])
    yield column([CHARGES.index(bay.charge) for bay in bays])
    yield column([LOCKS.index(bay.lock) for bay in bays])
    yield column([RESERVATIONS.index(bay.reservation) for bay in bays])
    yield column([HEALTHS.index(bay.health) for bay in bays])
    yield column([bay.battery is not None for bay in bays])
    batteries = [bay.battery for bay in bays if bay.battery is not None]
    yield column([round(battery.soc * TENTHS) for battery in batteries])
    yield column([round(battery.soh * TENTHS) for battery in batteries])
    yield column([round(battery.temperature * TENTHS) for battery in batteries])
    yield column([battery.cycles for battery in batteries])
    yield from _written_serial_numbers([battery.serial_number for battery in batteries])


def _written_serial_numbers(serial_numbers: Sequence[str]) -> Iterator[bytes]:
    endings = [_ENDING.search(one) for one in serial_numbers]
    parts = [(one.string[: one.start()], one[0]) for one in endings if one is not None]
    beginnings = list(dict.fromkeys(beginning for beginning, _ in parts))
    yield integer(len(beginnings))
    yield column([len(beginning) for beginning in beginnings])
    yield deflated("".join(beginnings))
    yield column([beginnings.index(beginning) for beginning, _ in parts])
    yield column([len(digits) for _, digits in parts])
    yield column([int(digits or "0") for _, digits in parts])


def _read(reader: Reader) -> Bays:
    reader.integer(least=VERSION, most=VERSION)
    place = _place(reader)
    count = reader.integer(least=1, most=MAX_BAYS)
    numbers = [number + gap for number, gap in enumerate(reader.column(count, least=1, most=MAX_BAYS))]
    if numbers[-1] > MAX_BAYS or any(after <= before for before, after in pairwise(numbers)):
        raise ValueError("the bays are not in the order of their numbers")
    moments = [from_epoch_microseconds(moment) for moment in reader.column(count)]
    occupancies = reader.members(count, OCCUPANCIES)
    charges = reader.members(count, CHARGES)
    locks = reader.members(count, LOCKS)
    reservations = reader.members(count, RESERVATIONS)
    healths = reader.members(count, HEALTHS)
    holds = reader.column(count, least=0, most=1)
    batteries = iter(_batteries(reader, sum(holds)))
    reader.demand_end()
    return Bays(
        place=place,
        bays=tuple(
            BayState(
                bay=numbers[at],
                occupancy=occupancies[at],
                charge=charges[at],
                lock=locks[at],
                reservation=reservations[at],
                health=healths[at],
                battery=next(batteries) if holds[at] else None,
                timestamp=moments[at],
            )
            for at in range(count)
        ),
    )


def _place(reader: Reader) -> Place:
    observed_at = from_epoch_microseconds(reader.integer())
    stream_id, sequence = reader.text(), reader.integer(least=0, most=MAX_SEQUENCE)
    if not stream_id:
        return Place(observed_at=observed_at)
    return Place(observed_at=observed_at, stream_id=stream_id, sequence=sequence)


def _batteries(reader: Reader, count: int) -> list[BatteryState]:
    charges = reader.column(count, least=0, most=_PERCENT)
    healths = reader.column(count, least=0, most=_PERCENT)
    temperatures = reader.column(count, least=_COLDEST, most=_HOTTEST)
    cycles = reader.column(count, least=0, most=_MOST_CYCLES)
    serial_numbers = _serial_numbers(reader, count)
    return [
        BatteryState(
            serial_number=serial_numbers[at],
            soc=charges[at] / TENTHS,
            soh=healths[at] / TENTHS,
            temperature=temperatures[at] / TENTHS,
            cycles=cycles[at],
        )
        for at in range(count)
    ]


def _serial_numbers(reader: Reader, count: int) -> list[str]:
    distinct = reader.integer(least=0, most=count)
    lengths = reader.column(distinct, least=0, most=_MOST_SERIAL_CHARACTERS)
    joined = reader.inflated(most=_MOST_SERIAL_CHARACTERS * _UTF_8 * MAX_BAYS)
    if len(joined) != sum(lengths):
        raise ValueError("the serial numbers have other lengths than is said")
    ends = accumulate(lengths)
    beginnings = [joined[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    of_each = reader.members(count, beginnings)
    widths = reader.column(count, least=0, most=_MOST_DIGITS)
    numbers = reader.column(count, least=0)
    return [
        beginning + _digits(number, width)
        for beginning, number, width in zip(of_each, numbers, widths, strict=True)
    ]


def _digits(number: int, width: int) -> str:
    digits = f"{number:0{width}}" if width else ""
    if number >= 10**width:
        raise ValueError(f"{number} has more than {width} digits")
    return digits
