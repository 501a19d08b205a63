"""The chargers of some bays on Modbus."""

from collections.abc import Sequence

from evswap_edge.drivers.modbus.bank import Bank, Device, Pace, Registers
from evswap_edge.drivers.modbus.decoding import charger_decoder
from evswap_edge.drivers.modbus.line import LineDown, Manners
from evswap_edge.drivers.modbus.lines import Share
from evswap_edge.drivers.modbus.seats import Seat
from evswap_edge.hal import ActionRefused, ActuatorError, ByBay, Charger, SensorError
from evswap_edge.registers import ChargerMap


class ModbusChargers:
    """A ``ChargerBank``."""

    def __init__(
        self, share: Share, seats: Sequence[Seat[ChargerMap]], *, manners: Manners, pace: Pace
    ) -> None:
        self._bank: Bank[ChargerMap, Charger] = Bank(share, seats, manners, pace, _ask, charger_decoder)

    async def read_chargers(self) -> ByBay[Charger]:
        return await self._bank.read()

    async def set_charging(self, bay: int, *, enabled: bool) -> None:
        device = self._bank.devices.get(bay)
        if device is None:
            raise ActionRefused(bay=bay, reason="this line has no charger of it")
        switch = device.seat.layout.switch
        if switch is None:
            raise ActionRefused(bay=bay, reason="its register map names no switch")
        word = switch.writes_on if enabled else switch.writes_off
        try:
            await device.line.write(device.seat.unit, switch.address, word, device.manners)
        except LineDown as error:
            raise ActionRefused(bay=bay, reason=str(error)) from error
        except SensorError as error:
            raise ActuatorError(bay=bay, reason=str(error)) from error

    async def aclose(self) -> None:
        await self._bank.aclose()


async def _ask(device: Device[ChargerMap, Charger], registers: Registers) -> Charger:
    return await device.read(registers)
