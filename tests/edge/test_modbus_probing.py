"""What a look at a Modbus line brings to light."""

from collections.abc import Sequence

import pytest

from evswap_edge.documents import GivenDocument, NameOrFile
from evswap_edge.drivers.modbus.probing import ScanSettings, everywhere, scan
from evswap_edge.drivers.probing import Found, Hindered
from evswap_edge.emulators.modbus_climate import ClimateEmulator
from evswap_edge.emulators.modbus_line import EmulatedLine
from evswap_edge.hal import DriverUnavailable
from evswap_edge.registers import read_climate_map
from tests.edge.climate import RTU, TCP
from tests.edge.modbus_wires import WIRES, BayWire, batteries, chargers, wired


def asked(wired_up: BayWire, **more: object) -> ScanSettings:
    given = {"timeout_s": "0.1", **{key: str(value) for key, value in {**wired_up.setting, **more}.items()}}
    return GivenDocument(given, source="probe modbus").convert(given, ScanSettings)


def mixed() -> EmulatedLine:
    """A battery at 1, another at 3, a climate sensor at 5, a charger at 128."""
    packs, layout = batteries(bays=2, units_apart=2), read_climate_map(NameOrFile("sht20"))
    sensor = ClimateEmulator(layout, unit=5, temperature=21.5, humidity=40, slow_s=1)
    return EmulatedLine([*packs.devices, *sensor.devices, *chargers(bays=1).devices], layout.factory)


@pytest.mark.parametrize("wire", WIRES)
async def test_who_answers_is_named_with_the_map_that_fits(wire: str) -> None:
    more = {"baudrate": 9600} if wire == RTU else {}
    async with wired(wire, mixed()) as wired_up:
        found = await scan(asked(wired_up, **more))
    place = f"{wired_up.place} 9600 8N1" if wire == RTU else wired_up.place
    assert units(found) == [f"{place} unit {unit}" for unit in (1, 3, 5, 128)]
    said = [str(each) for each in found]
    assert "seplos-v3: the battery PACK-0001, 60 % at 52 V" in said[0]
    assert "registers: seplos-v3, unit: 3, bays: 1}" in said[1]
    assert "sht20: 21.5 degrees Celsius, 40 % humidity" in said[2]
    assert "hep-2300: a charger whose output is on" in said[3]
    settings = "port: " if wire == RTU else "tcp: "
    assert all(f"{{name: modbus, {settings}{wired_up.place}" in line for line in said)


async def test_a_serial_line_is_tried_with_the_characters_of_each_known_device() -> None:
    """A pseudo-terminal has no speed: whoever is there answers at each."""
    async with wired(RTU, batteries(bays=1)) as wired_up:
        found = await scan(asked(wired_up, first=1))
    places = {each.place.split()[1] for each in found}
    assert {"4800", "9600", "19200", "115200"} <= places


@pytest.mark.parametrize("fault", ["crc", "cut", "exception 4"])
async def test_somebody_who_answers_nonsense_is_there_too(fault: str) -> None:
    devices = batteries(bays=1)
    devices.obey(f"fault 1 {fault}")
    async with wired(RTU, devices) as wired_up:
        (found,) = await scan(asked(wired_up, first=1, baudrate=9600))
    assert "answers, and no known register map fits" in str(found)


@pytest.mark.parametrize("wire", WIRES)
async def test_a_line_on_which_nobody_answers_says_what_to_look_at(wire: str) -> None:
    async with wired(wire, batteries(bays=1)) as wired_up:
        (found,) = await scan(asked(wired_up, first=7, last=8, **({"baudrate": 9600} if wire == RTU else {})))
    assert isinstance(found, Hindered)
    assert "nobody of units 7 to 8 answers; look at power, at A and B" in str(found)


async def test_a_port_that_is_not_there_cannot_be_looked_at() -> None:
    async with wired(TCP, batteries(bays=1)) as wired_up:
        settings = asked(wired_up)
    with pytest.raises(DriverUnavailable, match="no connection"):
        await scan(settings)


async def test_nothing_is_written() -> None:
    devices = chargers(bays=1)
    devices.obey("output 1 off")
    async with wired(TCP, devices) as wired_up:
        await scan(asked(wired_up, first=128, last=128))
    assert not devices.chargers[1].enabled
    assert devices.chargers[1].ordered


def test_the_adapters_of_a_machine_are_named_as_settings() -> None:
    for settings in everywhere():
        GivenDocument(settings, source="probe modbus").convert(settings, ScanSettings)


def units(found: Sequence[object]) -> list[str]:
    assert all(isinstance(each, Found) for each in found)
    return [each.place for each in found if isinstance(each, Found)]
