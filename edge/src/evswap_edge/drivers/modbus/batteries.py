"""The batteries of some bays, each with a management system on Modbus."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from evswap_edge.drivers.modbus.bank import Bank, Device, Pace, Registers
from evswap_edge.drivers.modbus.decoding import battery_decoder
from evswap_edge.drivers.modbus.line import Manners, Silence
from evswap_edge.drivers.modbus.lines import Share
from evswap_edge.drivers.modbus.seats import Seat
from evswap_edge.drivers.modbus.settings import Silent
from evswap_edge.hal import ByBay, Unread
from evswap_edge.registers import BatteryMap
from evswap_schema import Battery

_SILENT_TO_BE_EMPTY: Final = 3
"""Rounds in a row in which a device has to say nothing at all: a lost answer is no missing battery."""


class ModbusBatteries:
    """A ``BatteryBank``."""

    def __init__(
        self,
        share: Share,
        seats: Sequence[Seat[BatteryMap]],
        *,
        manners: Manners,
        pace: Pace,
        silent: Silent = Silent.FAILED,
    ) -> None:
        self._bank: Bank[BatteryMap, Battery | None] = Bank(
            share, seats, manners, pace, self._ask, battery_decoder
        )
        self._silent_is_empty = silent is Silent.EMPTY
        self._silences: Counter[int] = Counter()

    async def read_batteries(self) -> ByBay[Battery | None]:
        return await self._bank.read()

    async def aclose(self) -> None:
        await self._bank.aclose()

    async def _ask(
        self, device: Device[BatteryMap, Battery | None], registers: Registers
    ) -> Battery | Unread | None:
        bay = device.seat.bay
        try:
            battery = await device.read(registers)
        except Silence as error:
            self._silences[bay] += 1
            if self._silent_is_empty and self._silences[bay] >= _SILENT_TO_BE_EMPTY:
                return None
            return Unread(str(error))
        self._silences[bay] = 0
        return battery
