"""Batteries with a management system on Modbus that are not there: one unit for each bay, or one for many."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from evswap_edge.emulators.encoding import encode, encode_text
from evswap_edge.emulators.modbus_bays import BayPlaces, EmulatedBays, at_place
from evswap_edge.emulators.modbus_line import number
from evswap_edge.registers import BatteryMap, Flag, Table

_IMPOSSIBLE: Final = 850.0
"""Degrees, percent or volts; a register that cannot hold it shows the most that it can."""
_NUMBERS: Final = ("soc", "soh", "voltage", "current", "temperature", "cycles")


@dataclass(slots=True)
class EmulatedBattery:
    """What the management system says. ``flags`` are the names of the bits that say yes."""

    serial_number: str
    soc: float = 60.0
    soh: float = 98.0
    voltage: float = 52.0
    current: float = 0.0
    temperature: float = 25.0
    cycles: float = 100
    there: bool = True
    flags: set[str] = field(default_factory=set)


class BatteriesEmulator(EmulatedBays[BatteryMap]):
    """A battery in each bay. One that is taken out takes its unit along, unless the device stays and says
    so."""

    def __init__(self, layout: BatteryMap, places: BayPlaces) -> None:
        self.batteries = {bay: EmulatedBattery(f"PACK-{bay:04d}") for bay in range(1, places.bays + 1)}
        super().__init__(layout, places)
        self._commands = {
            "set": self._for_bay(self._set),
            "remove": self._for_bay(self._remove),
            "insert": self._for_bay(self._insert),
            "flag": self._for_bay(self._set_flag),
            "fault": self._for_bay(self._set_fault),
            "status": self._for_bay(self._status),
        }

    def _told(self, bay: int, *, impossible: bool) -> Iterable[tuple[Table, int, int]]:
        battery, layout = self.batteries[bay], self._layout
        yield from self._beat(layout.heartbeat)
        for name in ("soc", "soh", "voltage", "current", "cycles"):
            yield from at_place(getattr(layout, name), encode(getattr(layout, name), getattr(battery, name)))
        # The first place is the hottest; what is impossible is what it measures.
        for cooler, quantity in enumerate(layout.temperature):
            degrees = _IMPOSSIBLE if impossible else battery.temperature - cooler
            yield from at_place(quantity, encode(quantity, degrees))
        yield from at_place(layout.serial_number, encode_text(layout.serial_number, battery.serial_number))

    def _flags(self, bay: int) -> Iterable[tuple[Flag, bool]]:
        battery, layout = self.batteries[bay], self._layout
        if layout.present:
            yield layout.present, battery.there
        yield from ((flag, flag.name in battery.flags) for flag in layout.unreliable)

    # --- commands -----------------------------------------------------------------------------------------

    def _set(self, bay: int, text: str) -> str:
        name, _, value = text.partition(" ")
        if name not in _NUMBERS:
            raise ValueError(f"no {name!r}; known are {', '.join(_NUMBERS)}")
        setattr(self.batteries[bay], name, number(value.strip()))
        return "ok"

    def _remove(self, bay: int, _: str) -> str:
        self.batteries[bay].there = False
        self.device_of(bay).there = self._layout.present is not None
        return "ok"

    def _insert(self, bay: int, serial_number: str) -> str:
        if not serial_number or not serial_number.isascii():
            raise ValueError("a battery has a serial number in ASCII, such as PACK-0042")
        self.batteries[bay] = EmulatedBattery(serial_number)
        self.device_of(bay).there = True
        return "ok"

    def _settable(self, bay: int) -> tuple[Iterable[Flag], set[str]]:
        return self._layout.unreliable, self.batteries[bay].flags

    def _status(self, bay: int, _: str) -> str:
        battery, device = self.batteries[bay], self.device_of(bay)
        values = " ".join(f"{name} {getattr(battery, name):g}" for name in _NUMBERS)
        there = battery.serial_number if battery.there else "nothing"
        return f"ok {there} {values} fault {self._faults[bay]} requests {device.requests}"
