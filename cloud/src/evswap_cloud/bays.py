"""The bays of a station as it told of them, and what becomes of them when it tells of some again.

They are kept in the station's own item (``latest``), packed (``packed_bays``), and move with its state: a bay
costs no write, no read and no item of its own.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from msgspec import Struct

from evswap_cloud.order import Place, Placed, place_of, supersedes
from evswap_schema import Battery, Bay, Charge, Health, Lock, Occupancy, Reservation

TENTHS: Final = 10
"""What is measured is kept in tenths of a percent and of a degree: no sensor of ours resolves more."""

KEPT: Final = timedelta(days=30)
"""How long a bay is shown that is told of no more, as the cabinet has fewer bays than it had."""


class BatteryState(Struct, frozen=True, kw_only=True):
    """The battery in a bay: states of charge and health in percent, its hottest cell in degrees Celsius."""

    serial_number: str
    soc: float
    soh: float
    temperature: float
    cycles: int


class BayState(Struct, frozen=True, kw_only=True):
    """A bay as a reading told of it; ``timestamp`` is the reading's own."""

    bay: int
    occupancy: Occupancy
    charge: Charge
    lock: Lock
    reservation: Reservation
    health: Health
    battery: BatteryState | None
    timestamp: datetime


class Bays(Struct, frozen=True, kw_only=True):
    """The bays of a station by their numbers, with the place of the newest reading that told of any."""

    place: Place
    bays: tuple[BayState, ...]

    @property
    def numbers(self) -> str:
        """Which they are: ``1-8,10``."""
        numbers = [bay.bay for bay in self.bays]
        starts = [number for before, number in pairwise([-1, *numbers]) if number != before + 1]
        ends = [number for number, after in pairwise([*numbers, -1]) if after != number + 1]
        return ",".join(
            str(start) if start == end else f"{start}-{end}" for start, end in zip(starts, ends, strict=True)
        )


def bays_of(place: Placed, timestamp: datetime, told: Iterable[Bay]) -> Bays:
    """What the reading of ``timestamp`` at ``place`` tells, as it is kept; of a bay that it names twice, what
    it says last."""
    by_number = {bay.bay: _bay_state(bay, timestamp) for bay in told}
    return Bays(place=place_of(place), bays=tuple(by_number[number] for number in sorted(by_number)))


def _bay_state(bay: Bay, timestamp: datetime) -> BayState:
    return BayState(
        bay=bay.bay,
        occupancy=bay.occupancy,
        charge=bay.charge,
        lock=bay.lock,
        reservation=bay.reservation,
        health=bay.health,
        battery=None if bay.battery is None else _battery_state(bay.battery),
        timestamp=timestamp,
    )


def _battery_state(battery: Battery) -> BatteryState:
    return BatteryState(
        serial_number=battery.serial_number,
        soc=_kept(battery.soc),
        soh=_kept(battery.soh),
        temperature=_kept(battery.temperature),
        cycles=battery.cycles,
    )


def _kept(value: float) -> float:
    return round(value * TENTHS) / TENTHS


def heard(stored: Bays | None, told: Bays) -> Bays | None:
    """What is to be stored now that a reading has ``told`` of bays; None where ``stored`` says it already, or
    a newer one did.

    A reading says nothing of a bay that it does not name, and may come in parts: such a bay stays as it is,
    for ``KEPT``.
    """
    if stored is None:
        return told
    if supersedes(stored.place, told.place):
        return None
    newest = max(bay.timestamp for bay in told.bays)
    known = {bay.bay: bay for bay in stored.bays if newest - bay.timestamp < KEPT}
    known |= {bay.bay: bay for bay in told.bays}
    both = Bays(place=told.place, bays=tuple(known[number] for number in sorted(known)))
    return None if both == stored else both
