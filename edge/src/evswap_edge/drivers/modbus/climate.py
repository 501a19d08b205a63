"""A climate sensor on Modbus."""

from collections.abc import Callable

from evswap_edge.drivers.modbus.decoding import Contents, NotMeasured, blocks, contents, decoder
from evswap_edge.drivers.modbus.line import Manners
from evswap_edge.drivers.modbus.lines import Share
from evswap_edge.hal import Climate
from evswap_edge.registers import ClimateMap


class ModbusClimate:
    """A ``ClimateSensor``."""

    def __init__(self, share: Share, layout: ClimateMap, *, unit: int, manners: Manners) -> None:
        self._share = share
        self._line = share.line
        self._temperature = decoder(layout.temperature)
        self._humidity = decoder(layout.humidity)
        self._unit = unit
        self._manners = manners
        self._blocks = blocks((layout.temperature, layout.humidity), read_across=layout.read_across)

    async def read_climate(self) -> Climate:
        registers: Contents = {}
        for block in self._blocks:
            words = await self._line.read(self._unit, block, self._manners)
            registers = {**registers, **contents(block, words)}
        return Climate(
            temperature=self._value(self._temperature, registers, name="temperature"),
            humidity=self._value(self._humidity, registers, name="humidity"),
        )

    async def aclose(self) -> None:
        self._share.give_back()

    def _value(self, decode: Callable[[Contents], float], registers: Contents, *, name: str) -> float:
        try:
            return decode(registers)
        except NotMeasured as error:
            raise self._line.failure(self._unit, f"{name}: {error}") from error
