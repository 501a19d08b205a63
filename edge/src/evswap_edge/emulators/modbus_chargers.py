"""Chargers on Modbus that are not there: one unit for each bay, or one for many."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from evswap_edge.emulators.encoding import encode
from evswap_edge.emulators.modbus_bays import BAY_FAULTS, BayPlaces, EmulatedBays, at_place
from evswap_edge.emulators.modbus_line import number
from evswap_edge.registers import ChargerMap, Flag, Table

DISOBEYS: Final = "disobeys"
_IMPOSSIBLE: Final = 10_000.0
"""Amperes; a register that cannot hold them shows the most that it can."""


@dataclass(slots=True)
class EmulatedCharger:
    """What it does, and what it was last ordered to do. ``current`` flows as long as the output is on;
    ``flags`` are the names of the faults that it has."""

    enabled: bool = True
    ordered: bool = True
    current: float = 0.0
    flags: set[str] = field(default_factory=set)


class ChargersEmulator(EmulatedBays[ChargerMap]):
    """A charger for each bay, that obeys the orders on its wire."""

    def __init__(self, layout: ChargerMap, places: BayPlaces) -> None:
        self.chargers = {bay: EmulatedCharger() for bay in range(1, places.bays + 1)}
        super().__init__(layout, places)
        self._commands = {
            "current": self._for_bay(self._set_current),
            "output": self._for_bay(self._set_output),
            "flag": self._for_bay(self._set_flag),
            "fault": self._for_bay(self._set_fault),
            "status": self._for_bay(self._status),
        }

    def _told(self, bay: int, *, impossible: bool) -> Iterable[tuple[Table, int, int]]:
        charger, layout = self.chargers[bay], self._layout
        yield from self._beat(layout.heartbeat)
        if layout.current:
            flowing = charger.current if charger.enabled else 0.0
            yield from at_place(
                layout.current, encode(layout.current, _IMPOSSIBLE if impossible else flowing)
            )
        if layout.switch:
            order = layout.switch.writes_on if charger.ordered else layout.switch.writes_off
            yield layout.switch.table, layout.switch.address, order

    def _flags(self, bay: int) -> Iterable[tuple[Flag, bool]]:
        charger = self.chargers[bay]
        yield self._layout.enabled, charger.enabled
        yield from ((flag, flag.name in charger.flags) for flag in self._layout.faults)

    def _write(self, index: int, address: int, word: int) -> bool | None:
        switch = self._layout.switch
        for bay in self._bays_of(index):
            if switch and address == switch.address + self._position(bay) * self._apart:
                orders = {switch.writes_on: True, switch.writes_off: False}
                return word in orders and self._order(bay, enabled=orders[word])
        return None

    def _order(self, bay: int, *, enabled: bool) -> bool:
        self._orders += 1
        charger = self.chargers[bay]
        charger.ordered = enabled
        if self._faults[bay] != DISOBEYS:
            charger.enabled = enabled
        return True

    # --- commands -----------------------------------------------------------------------------------------

    def _known_faults(self) -> tuple[str, ...]:
        return (*BAY_FAULTS, DISOBEYS)

    def _set_current(self, bay: int, text: str) -> str:
        self.chargers[bay].current = number(text)
        return "ok"

    def _set_output(self, bay: int, text: str) -> str:
        if text not in {"on", "off"}:
            raise ValueError(f"{text!r} is neither on nor off")
        self.chargers[bay].enabled = text == "on"
        return "ok"

    def _settable(self, bay: int) -> tuple[Iterable[Flag], set[str]]:
        return self._layout.faults, self.chargers[bay].flags

    def _status(self, bay: int, _: str) -> str:
        charger, device = self.chargers[bay], self.device_of(bay)
        output = "on" if charger.enabled else "off"
        return (
            f"ok output {output} current {charger.current:g} fault {self._faults[bay]} "
            f"requests {device.requests}"
        )
