"""One contract, every driver: it does what it declares, in values that the contract allows, and may be
interrupted.

A new driver gets a row in ``DRIVERS``: how its hardware is had, and the settings that find it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Final

import msgspec
import pytest

from evswap_edge.documents import NameOrFile
from evswap_edge.drivers import BUILTINS, DriverKind, Role, Surroundings, load_driver
from evswap_edge.drivers.gpio.settings import Settings as GpioSettings
from evswap_edge.drivers.merging import battery_problem
from evswap_edge.drivers.sht3x import Settings as Sht3xSettings
from evswap_edge.drivers.simulated import Settings as SimulatedSettings
from evswap_edge.hal import (
    ActionRefused,
    BatteryBank,
    BayActuators,
    BayBank,
    Charger,
    ChargerBank,
    ClimateSensor,
    Hardware,
    LockBank,
    Safety,
    SafetyInputs,
    SensorError,
    TokenReader,
    Unread,
)
from evswap_edge.testing import ManualTime
from evswap_schema import Bay, Lock
from evswap_schema.fields import Celsius, Percent
from tests.edge.can_bus import spoken_on
from tests.edge.climate import RTU, TCP, plugged_in
from tests.edge.i2c import machine
from tests.edge.modbus_wires import CHARGERS, batteries, chargers, wired
from tests.edge.pins import board

Have = Callable[[], AbstractAsyncContextManager[Any]]
PROTOCOLS: Final = {
    Role.CLIMATE: ClimateSensor,
    Role.BAYS: BayBank,
    Role.BATTERIES: BatteryBank,
    Role.LOCKS: LockBank,
    Role.CHARGERS: ChargerBank,
    Role.SAFETY: SafetyInputs,
    Role.READER: TokenReader,
}


@asynccontextmanager
async def simulated() -> AsyncIterator[Any]:
    yield SimulatedSettings(bays=8)


@asynccontextmanager
async def modbus_rtu() -> AsyncIterator[Any]:
    async with plugged_in(RTU) as plugged:
        yield plugged.settings()


@asynccontextmanager
async def modbus_tcp() -> AsyncIterator[Any]:
    async with plugged_in(TCP) as plugged:
        yield plugged.settings()


@asynccontextmanager
async def modbus_batteries() -> AsyncIterator[Any]:
    async with wired(RTU, batteries()) as wired_up:
        yield wired_up.settings()


@asynccontextmanager
async def modbus_chargers() -> AsyncIterator[Any]:
    async with wired(TCP, chargers()) as wired_up:
        yield wired_up.settings(registers=NameOrFile(CHARGERS))


@asynccontextmanager
async def gpio_locks() -> AsyncIterator[Any]:
    with board():
        yield GpioSettings(bays="1-2", locks=(17, 18), feedback=(22, 23), pulse_s=0.01)


@asynccontextmanager
async def gpio_safety() -> AsyncIterator[Any]:
    with board():
        yield GpioSettings(smoke=5, bays=(3, 4), doors=(6, 12))


@asynccontextmanager
async def sht3x() -> AsyncIterator[Any]:
    with machine():
        yield Sht3xSettings()


@asynccontextmanager
async def can_batteries() -> AsyncIterator[Any]:
    async with spoken_on() as bus:
        yield bus.settings()


DRIVERS: Final[dict[str, tuple[str, Have]]] = {
    "simulated": ("simulated", simulated),
    "modbus-rtu": ("modbus", modbus_rtu),
    "modbus-tcp": ("modbus", modbus_tcp),
    "modbus-batteries": ("modbus", modbus_batteries),
    "modbus-chargers": ("modbus", modbus_chargers),
    "gpio-locks": ("gpio", gpio_locks),
    "gpio-safety": ("gpio", gpio_safety),
    "sht3x": ("sht3x", sht3x),
    "can": ("can", can_batteries),
}
every_driver = pytest.mark.parametrize(("name", "have"), DRIVERS.values(), ids=DRIVERS)


def roles(kind: DriverKind[Any], settings: Any) -> frozenset[Role]:
    """What the driver does with these settings."""
    return kind.meant_for(settings) if kind.meant_for else kind.provides


def reads(hardware: Hardware) -> list[Callable[[], Any]]:
    """What can be read of ``hardware``; a reader of tokens waits for somebody."""
    names = ("read_climate", "read_bays", "read_batteries", "read_locks", "read_chargers", "read_safety")
    return [getattr(hardware, name) for name in names if hasattr(hardware, name)]


@asynccontextmanager
async def opened(name: str, have: Have) -> AsyncIterator[tuple[frozenset[Role], Hardware]]:
    kind = load_driver(name)
    async with have() as settings:
        kind.check(settings)
        surroundings = Surroundings(station_id="station-01", time=ManualTime())
        hardware = await kind.open(settings, surroundings)
        try:
            yield roles(kind, settings), hardware
        finally:
            await hardware.aclose()


def test_every_driver_of_ours_is_held_to_it() -> None:
    assert {name for name, _ in DRIVERS.values()} == set(BUILTINS)


@every_driver
async def test_it_has_the_protocol_of_each_role_that_it_declares(name: str, have: Have) -> None:
    async with opened(name, have) as (meant_for, hardware):
        assert meant_for
        assert meant_for <= load_driver(name).provides
        for role, protocol in PROTOCOLS.items():
            assert isinstance(hardware, protocol) is (role in meant_for)


@every_driver
async def test_it_reports_the_bays_that_its_settings_speak_of(name: str, have: Have) -> None:
    kind = load_driver(name)
    async with opened(name, have) as (_, hardware), have() as settings:
        bays = kind.bays(settings)
        for read in reads(hardware):
            if isinstance(said := await eventually_reads(read), Mapping):
                assert sorted(said) == sorted(bays)
        if isinstance(hardware, BayBank):
            assert [bay.bay for bay in await hardware.read_bays()] == sorted(bays)


@every_driver
async def test_what_it_says_of_a_bay_is_of_its_kind(name: str, have: Have) -> None:
    async with opened(name, have) as (_, hardware):
        if isinstance(hardware, BatteryBank):
            for battery in (await eventually_reads(hardware.read_batteries)).values():
                assert isinstance(battery, Unread) or battery_problem(battery) is None
        if isinstance(hardware, LockBank):
            for lock in (await eventually_reads(hardware.read_locks)).values():
                assert isinstance(lock, Lock | Unread)
        if isinstance(hardware, ChargerBank):
            for charger in (await eventually_reads(hardware.read_chargers)).values():
                assert isinstance(charger, Charger | Unread)
        if isinstance(hardware, SafetyInputs):
            assert isinstance(await hardware.read_safety(), Safety)


@every_driver
async def test_an_action_on_a_bay_that_it_does_not_have_is_refused(name: str, have: Have) -> None:
    async with opened(name, have) as (_, hardware):
        if isinstance(hardware, LockBank):
            with pytest.raises(ActionRefused):
                await hardware.unlock(249)
        if isinstance(hardware, ChargerBank):
            with pytest.raises(ActionRefused):
                await hardware.set_charging(249, enabled=False)


@every_driver
async def test_what_it_reads_is_what_the_contract_allows(name: str, have: Have) -> None:
    async with opened(name, have) as (_, hardware):
        if isinstance(hardware, ClimateSensor):
            climate = await hardware.read_climate()
            msgspec.convert(climate.temperature, Celsius)
            msgspec.convert(climate.humidity, Percent)
        if isinstance(hardware, BayBank):
            bays = tuple(await hardware.read_bays())
            msgspec.convert(msgspec.to_builtins(bays), tuple[Bay, ...])
            assert [bay.bay for bay in bays] == sorted({bay.bay for bay in bays})


@every_driver
async def test_a_reading_may_be_given_up_at_any_moment_and_asked_for_again(name: str, have: Have) -> None:
    async with opened(name, have) as (_, hardware):
        for read in reads(hardware):
            for turns in range(12):
                asked = asyncio.ensure_future(read())
                for _ in range(turns):
                    await asyncio.sleep(0)
                asked.cancel()
                with suppress(asyncio.CancelledError, SensorError):
                    await asked
            await eventually_reads(read)


@every_driver
async def test_what_it_does_to_a_bay_is_seen_on_the_bay(name: str, have: Have) -> None:
    async with opened(name, have) as (_, hardware):
        if not (isinstance(hardware, BayActuators) and isinstance(hardware, BayBank)):
            return
        bays = await hardware.read_bays()
        await hardware.unlock(bays[0].bay)
        assert [bay.lock is Lock.UNLOCKED for bay in await hardware.read_bays()] == [
            bay.bay == bays[0].bay for bay in bays
        ]
        with pytest.raises(ActionRefused):
            await hardware.unlock(bays[-1].bay + 1)


@every_driver
async def test_two_who_ask_at_once_both_get_their_answer(name: str, have: Have) -> None:
    async with opened(name, have) as (_, hardware):
        for read in reads(hardware):
            await asyncio.gather(*(read() for _ in range(5)))


@every_driver
async def test_it_can_be_closed_twice_and_opened_again(name: str, have: Have) -> None:
    kind = load_driver(name)
    surroundings = Surroundings(station_id="station-01", time=ManualTime())
    async with have() as settings:
        for _ in range(2):
            hardware = await kind.open(settings, surroundings)
            for read in reads(hardware):
                await read()
            await hardware.aclose()
            await hardware.aclose()


@every_driver
def test_its_settings_are_frozen_and_know_their_keys(name: str, have: Have) -> None:
    config = load_driver(name).settings.__struct_config__
    assert config.frozen
    assert config.forbid_unknown_fields


async def eventually_reads(read: Callable[[], Any]) -> Any:
    """A wire may have to settle after what was given up."""
    async with asyncio.timeout(20):
        while True:
            with suppress(SensorError):
                return await read()
            await asyncio.sleep(0.01)
