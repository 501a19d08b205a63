"""A climate sensor on Modbus that is not there: RTU on a pseudo-terminal or an adapter, or TCP.

What it measures and what is wrong with it is told while it runs, by ``obey``.
"""

from typing import Final

from evswap_edge.emulators.encoding import encode
from evswap_edge.emulators.modbus_device import ModbusDevice, Registers, WireFault
from evswap_edge.emulators.modbus_line import FROZEN, OUT_OF_RANGE, EmulatedLine, number
from evswap_edge.registers import ClimateMap, Table

FAULTS: Final = (*WireFault, FROZEN, OUT_OF_RANGE)

_IMPOSSIBLE: Final = 850.0
"""Degrees or percent; a register that cannot hold it shows the most that it can."""


class ClimateEmulator(EmulatedLine):
    """The sensor, whatever wire it hangs on."""

    def __init__(
        self, layout: ClimateMap, *, unit: int, temperature: float, humidity: float, slow_s: float
    ) -> None:
        self._layout = layout
        self.temperature = temperature
        self.humidity = humidity
        self._fault: str = WireFault.NONE
        self._frozen: Registers | None = None
        self._device = ModbusDevice(unit=unit, registers=self._registers, slow_s=slow_s)
        super().__init__([self._device], layout.factory)
        self._commands = {
            "temperature": self._set_temperature,
            "humidity": self._set_humidity,
            "fault": self._set_fault,
            "status": self._status,
        }

    def _registers(self) -> Registers:
        return self._frozen or self._measured()

    def _measured(self) -> Registers:
        impossible = self._fault == OUT_OF_RANGE
        tables: dict[Table, dict[int, int]] = {table: {} for table in Table}
        for quantity, value in (
            (self._layout.temperature, self.temperature),
            (self._layout.humidity, self.humidity),
        ):
            tables[quantity.table] |= encode(quantity, _IMPOSSIBLE if impossible else value)
        return tables

    # --- commands -----------------------------------------------------------------------------------------

    def _set_temperature(self, text: str) -> str:
        self.temperature = number(text)
        return "ok"

    def _set_humidity(self, text: str) -> str:
        self.humidity = number(text)
        return "ok"

    def _set_fault(self, text: str) -> str:
        name, _, code = text.partition(" ")
        if name not in FAULTS:
            raise ValueError(f"no fault {name!r}; known are {', '.join(FAULTS)}")
        self._set_wire_fault(self._device, name, code.strip())
        self._fault = name
        self._frozen = self._measured() if name == FROZEN else None
        return "ok"

    def _status(self, _: str) -> str:
        return (
            f"ok temperature {self.temperature:g} humidity {self.humidity:g} "
            f"fault {self._fault} requests {self._device.requests}"
        )
