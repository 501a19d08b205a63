"""A climate sensor on Modbus: RTU on a serial port (RS-485), or TCP.

The pattern for a driver: settings with their constraints; what the wire says into values, without any I/O
(``decoding``); the I/O and its faults (``line``); and a class, small enough to be read at a glance, that puts
them behind a protocol of the HAL.
"""

from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct

from evswap_edge.documents import NameOrFile
from evswap_edge.drivers import DriverKind, Role, SettingRefused, Surroundings
from evswap_edge.drivers.modbus.decoding import Contents, NotMeasured, blocks, contents, decode
from evswap_edge.drivers.modbus.line import Line, SerialAddress, TcpAddress
from evswap_edge.hal import Climate
from evswap_edge.registers import (
    Baudrate,
    ClimateMap,
    Parity,
    Quantity,
    StopBits,
    Unit,
    UnknownMap,
    read_climate_map,
)


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the sensor is, and what it is. What is left out is as the register map has it from the
    factory."""

    registers: NameOrFile
    port: Path | None = None
    tcp: Annotated[str, Meta(pattern=r"^[^\s:]+:\d{1,5}\Z")] | None = None
    unit: Unit | None = None
    baudrate: Baudrate | None = None
    parity: Parity | None = None
    stop_bits: StopBits | None = None
    timeout_s: Annotated[float, Meta(ge=0.01, le=10)] = 0.5

    def __post_init__(self) -> None:
        if (self.port is None) == (self.tcp is None):
            raise ValueError("needs port (/dev/ttyUSB0) or tcp (host:502), and not both")
        if self.tcp and not 0 < int(self.tcp.rpartition(":")[2]) < 0x1_0000:
            raise ValueError("tcp has to name a port from 1 to 65535")
        if self.tcp and (self.baudrate or self.parity or self.stop_bits):
            raise ValueError("baudrate, parity and stop_bits belong to port, not to tcp")

    def address(self, layout: ClimateMap) -> SerialAddress | TcpAddress:
        """Where to ask."""
        if self.tcp:
            host, _, port = self.tcp.rpartition(":")
            return TcpAddress(host=host, port=int(port))
        return SerialAddress(
            port=str(self.port),
            baudrate=self.baudrate or layout.factory.baudrate,
            parity=self.parity or layout.factory.parity,
            stop_bits=self.stop_bits or layout.factory.stop_bits,
        )


class ModbusClimate:
    """A ``ClimateSensor``."""

    def __init__(self, line: Line, layout: ClimateMap, *, unit: int) -> None:
        self._line = line
        self._layout = layout
        self._unit = unit
        self._blocks = blocks((layout.temperature, layout.humidity))

    async def read_climate(self) -> Climate:
        registers: Contents = {}
        for block in self._blocks:
            registers = {**registers, **contents(block, await self._line.read(self._unit, block))}
        return Climate(
            temperature=self._value(self._layout.temperature, registers, name="temperature"),
            humidity=self._value(self._layout.humidity, registers, name="humidity"),
        )

    async def aclose(self) -> None:
        self._line.close()

    def _value(self, quantity: Quantity, registers: Contents, *, name: str) -> float:
        try:
            return decode(quantity, registers)
        except NotMeasured as error:
            raise self._line.failure(self._unit, f"{name}: {error}") from error


def check_modbus(settings: Settings) -> None:
    """Look at the register map. Raises ``SettingRefused``, or ``ConfigurationError`` about the map's own
    file."""
    try:
        read_climate_map(settings.registers)
    except UnknownMap as error:
        raise SettingRefused("registers", str(error), nearest=error.nearest) from error


async def open_modbus(settings: Settings, _: Surroundings) -> ModbusClimate:
    """Open the port. Whether a sensor answers there shows with the first reading."""
    layout = read_climate_map(settings.registers)
    line = Line(settings.address(layout), timeout_s=settings.timeout_s)
    await line.connect()
    return ModbusClimate(line, layout, unit=settings.unit or layout.factory.unit)


KIND: Final = DriverKind(
    settings=Settings, open=open_modbus, check=check_modbus, provides=frozenset({Role.CLIMATE})
)
