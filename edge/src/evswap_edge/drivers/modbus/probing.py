"""Who answers on a line, and which of the known register maps fits what they say. Nothing is written."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct

from evswap_edge.documents import NameOrFile
from evswap_edge.drivers.modbus.decoding import (
    Block,
    Contents,
    NotMeasured,
    battery_decoder,
    blocks,
    charger_decoder,
    contents,
    decoder,
)
from evswap_edge.drivers.modbus.line import Line, LineAddress, Manners, SerialAddress, Silence
from evswap_edge.drivers.modbus.lines import share_line
from evswap_edge.drivers.modbus.settings import address_of, require_one_wire
from evswap_edge.drivers.probing import Finding, Found, Hindered
from evswap_edge.hal import SensorError
from evswap_edge.registers import (
    AnyMap,
    BatteryMap,
    Baudrate,
    ChargerMap,
    ClimateMap,
    Parity,
    StopBits,
    Table,
    Unit,
    names,
    read_map,
)
from evswap_edge.registers.placing import places
from evswap_schema import Battery

NOWHERE: Final = "there is no serial adapter under /dev/serial/by-id; over TCP it is tcp=HOST:PORT"
"""What is said where ``everywhere`` finds nothing."""

_BY_ID: Final = Path("/dev/serial/by-id")
_FIRST_UNITS: Final = 16
"""Most devices are among them, or where their factory puts them."""
_WHO_IS_THERE: Final = tuple(Block(table, 0, 1) for table in (Table.HOLDING, Table.INPUT))
"""A device answers a question for a register that it does not have by refusing; some only know one table."""


class ScanSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which line, and whom to ask: units ``first`` to ``last``, or else 1 to 16 and those that the factories
    of the known devices give. ``registers`` is tried beside the maps that come with the program. A serial
    line is tried with the characters of each known device, unless they are named."""

    port: Path | None = None
    tcp: Annotated[str, Meta(pattern=r"^[^\s:]+:\d{1,5}\Z")] | None = None
    first: Unit | None = None
    last: Unit | None = None
    registers: NameOrFile | None = None
    baudrate: Baudrate | None = None
    parity: Parity = Parity.NONE
    stop_bits: StopBits = 1
    timeout_s: Annotated[float, Meta(ge=0.01, le=10)] = 0.2

    def __post_init__(self) -> None:
        require_one_wire(self.port, self.tcp)


def everywhere() -> Sequence[Mapping[str, str]]:
    """The serial adapters of this machine, in the words of ``ScanSettings``."""
    ports = sorted(_BY_ID.iterdir()) if _BY_ID.is_dir() else []
    return [{"port": str(port)} for port in ports]


async def scan(settings: ScanSettings) -> Sequence[Finding]:
    """What is on the line. Raises ``DriverUnavailable`` when its port cannot be opened,
    ``ConfigurationError`` or ``UnknownMap`` for ``registers``."""
    maps = _maps(settings.registers)
    units = _units(settings, maps)
    findings: list[Finding] = []
    for address in _addresses(settings, maps):
        findings += await _Look(address, settings, maps).at(units)
    if findings:
        return findings
    where = f"units {units[0]} to {units[-1]}" if len(units) > 1 else f"unit {units[0]}"
    reason = f"nobody of {where} answers; look at power, at A and B (swapped?), and at baudrate and parity"
    return [Hindered(place=str(settings.tcp or settings.port), reason=reason)]


class _Look:
    """One look at one line."""

    def __init__(self, address: LineAddress, settings: ScanSettings, maps: Mapping[str, AnyMap]) -> None:
        self._address = address
        self._manners = Manners(timeout_s=settings.timeout_s)
        self._maps = maps

    async def at(self, units: Sequence[int]) -> list[Finding]:
        """Those of ``units`` that answer. Raises ``DriverUnavailable``."""
        share = share_line(self._address)
        try:
            await share.line.connect(within_s=self._manners.timeout_s)
            there = await self._who_is_there(share.line, units)
            return [await self._what_is(share.line, unit) for unit in there]
        finally:
            share.give_back()

    async def _who_is_there(self, line: Line, units: Sequence[int]) -> list[int]:
        """Those that say something. All are asked before anybody is asked again: so who is silent has had
        its time by then."""
        there: set[int] = set()
        for block in _WHO_IS_THERE:
            there |= {unit for unit in units if unit not in there and await self._answers(line, unit, block)}
        return sorted(there)

    async def _answers(self, line: Line, unit: int, block: Block) -> bool:
        """Whatever it says, but nothing at all."""
        try:
            await self._read(line, unit, block)
        except Silence:
            return False
        except SensorError:
            return True
        return True

    async def _what_is(self, line: Line, unit: int) -> Finding:
        fits = [
            (name, what)
            for name, layout in self._maps.items()
            if (what := await self._fit(line, unit, layout))
        ]
        place = f"{self._place()} unit {unit}"
        if not fits:
            return Found(place=place, what="answers, and no known register map fits; write one of your own")
        what = "; ".join(f"{name}: {said}" for name, said in fits)
        return Found(place=place, what=what, configure=self._section(fits[0][0], unit))

    async def _fit(self, line: Line, unit: int, layout: AnyMap) -> str | None:
        """What the device says when it is read by ``layout``; None: it is another one's map."""
        registers: dict[int, int] = {}
        try:
            for block in blocks(places(layout), read_across=layout.read_across):
                registers |= contents(block, await self._read(line, unit, block))
            return _told(layout, registers)
        except (SensorError, NotMeasured):
            return None

    async def _read(self, line: Line, unit: int, block: Block) -> Sequence[int]:
        await line.until_nothing_is_owed(unit)
        return await line.read(unit, block, self._manners)

    def _place(self) -> str:
        if isinstance(self._address, SerialAddress):
            return f"{self._address} {self._address.characters}"
        return str(self._address)

    def _section(self, registers: str, unit: int) -> str:
        """As station.yaml has it; which bays they are, only people know."""
        bays = "" if isinstance(self._maps[registers], ClimateMap) else ", bays: 1"
        return f"{{name: modbus, {_wire(self._address)}, registers: {registers}, unit: {unit}{bays}}}"


def _told(layout: AnyMap, registers: Contents) -> str:
    """In words. Raises ``NotMeasured``."""
    match layout:
        case ClimateMap():
            temperature, humidity = (
                decoder(layout.temperature)(registers),
                decoder(layout.humidity)(registers),
            )
            return f"{temperature:g} degrees Celsius, {humidity:g} % humidity"
        case BatteryMap():
            return _battery_told(battery_decoder(layout)(registers))
        case ChargerMap():
            charger = charger_decoder(layout)(registers)
            output = "on" if charger.enabled else "off"
            return f"a charger whose output is {output}{f', {charger.fault}' if charger.fault else ''}"


def _battery_told(battery: Battery | None) -> str:
    if battery is None:
        return "a bay without a battery"
    return f"the battery {battery.serial_number}, {battery.soc:g} % at {battery.voltage:g} V"


def _wire(address: LineAddress) -> str:
    if not isinstance(address, SerialAddress):
        return f"tcp: {address}"
    return (
        f"port: {address}, baudrate: {address.baudrate}, parity: {address.parity}, "
        f"stop_bits: {address.stop_bits}"
    )


def _maps(own: NameOrFile | None) -> Mapping[str, AnyMap]:
    choices = [*([own] if own else []), *(NameOrFile(name) for name in names())]
    return {str(choice): read_map(choice) for choice in choices}


def _units(settings: ScanSettings, maps: Mapping[str, AnyMap]) -> Sequence[int]:
    if settings.first or settings.last:
        first = settings.first or 1
        return range(first, (settings.last or first) + 1)
    return sorted({*range(1, _FIRST_UNITS + 1), *(layout.factory.unit for layout in maps.values())})


def _addresses(settings: ScanSettings, maps: Mapping[str, AnyMap]) -> Iterator[LineAddress]:
    if settings.baudrate or settings.tcp:
        yield address_of(
            settings.port,
            settings.tcp,
            baudrate=settings.baudrate or 9_600,
            parity=settings.parity,
            stop_bits=settings.stop_bits,
        )
        return
    factories = {
        (layout.factory.baudrate, layout.factory.parity, layout.factory.stop_bits) for layout in maps.values()
    }
    for baudrate, parity, stop_bits in sorted(factories):
        yield address_of(settings.port, None, baudrate=baudrate, parity=parity, stop_bits=stop_bits)
