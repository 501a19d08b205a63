"""What happened at a station beside what it told of it: every battery that it says came or went did, and
stands where it says.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from evswap_edge.simulation.customers import What
from evswap_edge.simulation.world import Happening, World
from evswap_schema import (
    Event,
    InventoryBay,
    InventoryEvent,
    Occupancy,
    RefusalEvent,
    SwapEvent,
    SwappedBattery,
    SwapStep,
)

NAMELESS: Final = ""
"""In the place of a serial number: there is a battery that has not said which."""

_MOVED_BY: Final = {SwapStep.BATTERY_IN: What.PUTS, SwapStep.BATTERY_OUT: What.TAKES}


class Movement(NamedTuple):
    """A customer put the battery into the bay, or took it out."""

    what: What
    bay: int
    serial_number: str

    def __str__(self) -> str:
        return f"a customer {self.what} {self.serial_number} at bay {self.bay}"


class Book:
    """Holds what is told against what happened since ``start``, however late it is told. ``broken`` are the
    contradictions so far, in sentences."""

    def __init__(self, start: datetime) -> None:
        self.broken: list[str] = []
        self._start = start
        self._standing: dict[int, str | None] = {}
        self._untold: dict[int, list[tuple[datetime, Movement]]] = defaultdict(list)

    def note(self, happening: Happening) -> None:
        """A witness of the world."""
        if happening.what in _MOVED_BY.values():
            bay, serial_number = happening.particulars.split(" ", 1)
            moment = self._start + timedelta(seconds=happening.seconds)
            self._untold[int(bay)].append((moment, Movement(happening.what, int(bay), serial_number)))

    def take(self, event: Event) -> None:
        """The station told ``event``; to be called in the order of its events."""
        match event:
            case SwapEvent(step=step, batteries=batteries) if step in _MOVED_BY:
                for battery in batteries:
                    self._moved(event, _MOVED_BY[step], battery)
            case RefusalEvent(battery=battery) if battery is not None:
                self._moved(event, What.PUTS, battery)
            case InventoryEvent(bays=bays):
                for bay in bays:
                    self._listed(bay, event.timestamp)
                self._demand_one_place(event)

    def differences(self, world: World) -> list[str]:
        """What is told otherwise than it is in ``world``; while something moves, there may be some."""
        there = {slot.number: slot.pack.serial_number if slot.pack else None for slot in world.slots}
        wrong = [
            f"bay {bay} holds {serial or 'nothing'} and is told to hold {_named(self._standing.get(bay))}"
            for bay, serial in there.items()
            if not _agrees(self._standing.get(bay), serial)
        ]
        return [*wrong, *(f"nobody was told that {one}" for bay in there for one in self._never_told(bay))]

    def _moved(self, event: Event, what: What, battery: SwappedBattery) -> None:
        movement = Movement(what, battery.bay, battery.serial_number)
        untold = self._untold[battery.bay]
        found = next((one for one in untold if one[0] <= event.timestamp and one[1] == movement), None)
        if found is None:
            self._break(event, f"that {movement} did not happen by then, or was told before")
        else:
            untold.remove(found)
        self._standing[battery.bay] = battery.serial_number if what is What.PUTS else None
        self._demand_one_place(event)

    def _listed(self, bay: InventoryBay, moment: datetime) -> None:
        """Whatever moved there until then is told by this."""
        if bay.occupancy is Occupancy.EMPTY:
            self._standing[bay.bay] = None
        elif bay.occupancy is Occupancy.OCCUPIED:
            self._standing[bay.bay] = bay.serial_number or NAMELESS
        self._untold[bay.bay] = [one for one in self._untold[bay.bay] if one[0] > moment]

    def _never_told(self, bay: int) -> list[Movement]:
        """Without what was put in and taken back before anybody could believe it."""
        left: list[Movement] = []
        for _, movement in self._untold[bay]:
            if left and left[-1].serial_number == movement.serial_number:
                left.pop()
            else:
                left.append(movement)
        return left

    def _demand_one_place(self, event: Event) -> None:
        for serial_number in _repeated(self._standing):
            bays = [bay for bay, stands in self._standing.items() if stands == serial_number]
            self._break(event, f"{serial_number} is said to be in the bays {bays}")

    def _break(self, event: Event, sentence: str) -> None:
        self.broken.append(f"event {event.sequence} at {event.timestamp.isoformat()}: {sentence}")


def misplaced(world: World) -> list[str]:
    """The network's batteries that are not in exactly one place of ``world``, by its own account."""
    places = Counter(slot.pack.serial_number for slot in world.slots if slot.pack is not None)
    for rider in (*world.riding, *world.visiting):
        places.update(pack.serial_number for pack in rider.packs)
    places.update(pack.serial_number for pack in world.retired)
    known = [pack.serial_number for pack in world.packs]
    return [f"{serial} is in {places[serial]} places" for serial in known if places[serial] != 1]


def _agrees(told: str | None, serial_number: str | None) -> bool:
    return told == serial_number or (told == NAMELESS and serial_number is not None)


def _named(told: str | None) -> str:
    return "a battery" if told == NAMELESS else told or "nothing"


def _repeated(standing: Mapping[int, str | None]) -> Iterator[str]:
    counted = Counter(serial_number for serial_number in standing.values() if serial_number)
    return (serial_number for serial_number, times in counted.items() if times > 1)
