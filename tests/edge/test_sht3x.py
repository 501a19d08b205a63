"""The SHT3x on I2C: what its bytes mean, and what is said when they are wrong or do not come."""

import asyncio
import errno
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evswap_edge.drivers import Surroundings, load_driver
from evswap_edge.drivers.probing import Found, Hindered
from evswap_edge.drivers.sht3x import Settings, Sht3xClimate, open_sht3x, probing
from evswap_edge.drivers.sht3x.decoding import NotMeasured, Repeatability, checksum, decode
from evswap_edge.hal import Climate, DriverUnavailable, SensorError
from evswap_edge.testing import ManualTime
from tests.edge.i2c import HEATER_OFF, Buses, FakeSht3x, answer, crc8, machine, raw_of
from tests.edge.refused import refusal

SURROUNDINGS = Surroundings(station_id="station-01", time=ManualTime())


async def opened(**settings: object) -> Sht3xClimate:
    return await open_sht3x(Settings(**settings), SURROUNDINGS)  # type: ignore[arg-type]


# --- bytes ------------------------------------------------------------------------------------------------


def test_the_checksum_is_that_of_the_data_sheets_example() -> None:
    assert checksum(bytes.fromhex("beef")) == 0x92


@given(st.binary(min_size=2, max_size=2))
def test_the_checksum_is_a_division_of_polynomials(word: bytes) -> None:
    assert checksum(word) == crc8(word)


@pytest.mark.parametrize(
    ("raw", "climate"),
    [
        ((0x6666, 0x8000), Climate(temperature=25.0, humidity=50.0)),
        ((0x0750, 0x0000), Climate(temperature=-40.0, humidity=0.0)),
        ((0xF8AE, 0xFFFF), Climate(temperature=125.0, humidity=100.0)),
    ],
)
def test_bytes_are_values_by_the_data_sheets_formulas(raw: tuple[int, int], climate: Climate) -> None:
    assert decode(answer(*raw)) == climate


@given(st.floats(-39.9, 124.9), st.floats(0, 100))
def test_what_a_sensor_measures_arrives_within_its_resolution(celsius: float, percent: float) -> None:
    climate = decode(raw_of(celsius, percent))
    assert climate.temperature == pytest.approx(celsius, abs=0.01)
    assert climate.humidity == pytest.approx(percent, abs=0.01)


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 47))
def test_a_bit_that_was_turned_over_is_never_a_value(temperature: int, humidity: int, bit: int) -> None:
    spoilt = int.from_bytes(answer(temperature, humidity), "big") ^ 1 << bit
    with pytest.raises(NotMeasured, match="a wrong checksum"):
        decode(spoilt.to_bytes(6, "big"))


@pytest.mark.parametrize(
    ("bytes_", "said"),
    [
        (b"", "an answer of the wrong length: 0 bytes for 6"),
        (bytes(6), "temperature: a wrong checksum"),
        (b"\xff" * 6, "temperature: a wrong checksum"),
        (answer(0x8000, 0x8000)[:5] + b"\x00", "humidity: a wrong checksum"),
        (answer(0xFFFF, 0x8000), "130.0 degrees is out of range, -40 to 125"),
        (answer(0x0000, 0x8000), "-45.0 degrees is out of range"),
    ],
)
def test_what_is_no_measurement_is_refused(bytes_: bytes, said: str) -> None:
    with pytest.raises(NotMeasured, match=said):
        decode(bytes_)


# --- the bus ----------------------------------------------------------------------------------------------


async def test_it_measures_without_its_heater() -> None:
    with machine() as buses:
        climate = await opened()
        for _ in range(2):
            assert await climate.read_climate() == Climate(temperature=21.5, humidity=40.0)
        await climate.aclose()
    assert buses.buses[1][0x44].commands == [HEATER_OFF, b"\x24\x00", b"\x24\x00"]
    assert buses.open_now == 0


@pytest.mark.parametrize(
    ("repeatability", "command"),
    [
        (Repeatability.HIGH, b"\x24\x00"),
        (Repeatability.MEDIUM, b"\x24\x0b"),
        (Repeatability.LOW, b"\x24\x16"),
    ],
)
async def test_it_is_asked_for_the_repeatability_that_is_wanted(
    repeatability: Repeatability, command: bytes
) -> None:
    with machine() as buses:
        climate = await opened(repeatability=repeatability)
        await climate.read_climate()
        await climate.aclose()
    assert buses.buses[1][0x44].commands[-1] == command


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EREMOTEIO, r"/dev/i2c-1 address 0x44: no acknowledgement; look at its power"),
        (errno.ENXIO, "no acknowledgement"),
        (errno.EIO, "the bus reports an error"),
        (errno.ETIMEDOUT, "the bus hangs"),
        (errno.EBUSY, "in use by a driver of the kernel"),
        (errno.ENODEV, "was the adapter pulled out"),
        (errno.EPROTO, "Protocol error"),
    ],
)
async def test_a_sensor_that_does_not_answer_fails_with_what_to_look_at_and_works_again(
    number: int, said: str
) -> None:
    with machine() as buses:
        sensor = buses.buses[1][0x44]
        climate = await opened()
        sensor.deaf = number
        for _ in range(2):
            with pytest.raises(SensorError, match=said):
                await climate.read_climate()
        sensor.deaf = None
        assert (await climate.read_climate()).temperature == 21.5
        await climate.aclose()
    assert sensor.commands[0] == HEATER_OFF
    assert buses.open_now == 0


async def test_a_wrong_checksum_is_no_value() -> None:
    with machine(Buses({1: {0x44: FakeSht3x(says=raw_of(21.5, 40.0)[:5] + b"\x00")}})):
        climate = await opened()
        with pytest.raises(SensorError, match="0x44: humidity: a wrong checksum"):
            await climate.read_climate()
        await climate.aclose()


@pytest.mark.parametrize(
    ("buses", "said"),
    [
        (Buses({}), "/dev/i2c-1: does not exist; switch I2C on with"),
        (Buses({1: {}}, refuses=errno.EACCES), "usermod -aG i2c"),
        (Buses({1: {}}, refuses=errno.ENODEV), "no hardware behind it"),
        (Buses({1: {}}, refuses=errno.EMFILE), "Too many open files"),
    ],
)
async def test_a_bus_that_cannot_be_opened_says_what_to_do(buses: Buses, said: str) -> None:
    with machine(buses), pytest.raises(DriverUnavailable, match=said):
        await opened()


async def test_a_bus_that_goes_and_comes_is_opened_again() -> None:
    with machine() as buses:
        climate = await opened()
        await climate.read_climate()
        devices = buses.buses.pop(1)
        devices[0x44].deaf = errno.ENODEV
        with pytest.raises(SensorError, match="was the adapter pulled out"):
            await climate.read_climate()
        with pytest.raises(SensorError, match="does not exist"):
            await climate.read_climate()
        devices[0x44].deaf = None
        buses.buses[1] = devices
        assert (await climate.read_climate()).temperature == 21.5
        await climate.aclose()


async def test_a_measurement_that_was_given_up_is_waited_for_and_thrown_away() -> None:
    with machine() as buses:
        sensor = buses.buses[1][0x44]
        sensor.gate = threading.Event()
        climate = await opened()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(climate.read_climate(), 0.05)
        asked = asyncio.create_task(climate.read_climate())
        sensor.says = raw_of(30.0, 50.0)
        await asyncio.sleep(0)
        assert sensor.commands.count(b"\x24\x00") == 1
        sensor.gate.set()
        assert (await asked).temperature == 30.0
        assert sensor.commands.count(b"\x24\x00") == 2
        await climate.aclose()


# --- settings and probing ---------------------------------------------------------------------------------


def test_an_address_that_the_sensor_cannot_have_is_refused(tmp_path: Path) -> None:
    text = """\
station_id: station-01
driver:
  climate: {name: sht3x, address: 0x46}
  bays: {name: simulated, bays: 2}
outbox: {path: outbox.sqlite}
transport: {name: memory}
"""
    error = refusal(tmp_path / "station.yaml", text)
    assert (error.line, error.key) == (3, "driver.climate.address")


def test_each_sensor_has_one_user() -> None:
    kind = load_driver("sht3x")
    assert kind.claims(Settings()) == {"address": "/dev/i2c-1 address 0x44"}


async def test_probing_finds_sensors_and_says_how_to_name_them(tmp_path: Path, monkeypatch) -> None:
    for bus in (0, 1):
        (tmp_path / f"i2c-{bus}").touch()
    monkeypatch.setattr(probing, "_DEVICES", tmp_path)
    with machine(Buses({0: {}, 1: {0x45: FakeSht3x(), 0x44: FakeSht3x(says=bytes(6))}})) as buses:
        nothing, found = await probing.scan(probing.ScanSettings())
    assert nothing == Found(place="/dev/i2c-0", what="no SHT3x at 0x44 or 0x45")
    assert found == Found(
        place="/dev/i2c-1",
        what="an SHT3x at 0x45: 21.5 °C, 40 %",
        configure="climate: {name: sht3x, bus: 1, address: 0x45}",
    )
    assert buses.open_now == 0


async def test_probing_without_a_bus_says_how_to_have_one(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(probing, "_DEVICES", tmp_path)
    (finding,) = await probing.scan(probing.ScanSettings())
    assert isinstance(finding, Hindered)
    assert "raspi-config nonint do_i2c 0" in str(finding)
    with machine(Buses({})):
        (finding,) = await probing.scan(probing.ScanSettings(bus=7))
    assert str(finding).startswith("/dev/i2c-7: does not exist")
