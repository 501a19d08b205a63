"""Locks, smoke and doors on the pins of a Raspberry Pi."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from gpiozero import Device, OutputDevice  # type: ignore[import-untyped]

from evswap_edge.drivers import Role, SettingRefused, Surroundings, load_driver
from evswap_edge.drivers.gpio import open_gpio, probing
from evswap_edge.drivers.gpio.locks import GpioLocks
from evswap_edge.drivers.gpio.safety import GpioSafety
from evswap_edge.drivers.gpio.settings import Active, Closed, Settings, check, roles_of
from evswap_edge.drivers.probing import Hindered
from evswap_edge.hal import ActionRefused, ActuatorError, DriverUnavailable, Safety, SensorError, Unread
from evswap_edge.testing import ManualTime
from evswap_schema import Lock
from tests.edge.conftest import Eventually
from tests.edge.pins import Pins, board

LOCKS = Settings(bays="1-2", locks=(17, 18), feedback=(22, 23), pulse_s=0.05, feedback_within_s=0.1)
SAFETY = Settings(smoke=5, bays=(1, 2), doors=(6, 12), blocked_after_s=60)


@pytest.fixture
def pins() -> Any:
    with board() as wired:
        yield wired


@asynccontextmanager
async def locks(settings: Settings = LOCKS) -> AsyncIterator[GpioLocks]:
    opened = await open_gpio(settings, Surroundings(station_id="station-01", time=ManualTime()))
    assert isinstance(opened, GpioLocks)
    try:
        yield opened
    finally:
        await opened.aclose()


@asynccontextmanager
async def safety(settings: Settings = SAFETY, time: ManualTime | None = None) -> AsyncIterator[GpioSafety]:
    opened = await open_gpio(settings, Surroundings(station_id="station-01", time=time or ManualTime()))
    assert isinstance(opened, GpioSafety)
    try:
        yield opened
    finally:
        await opened.aclose()


# --- locks ------------------------------------------------------------------------------------------------


async def test_a_pulse_opens_the_lock_and_ends(pins: Pins) -> None:
    pins.wire_lock(17, 22)
    async with locks() as bank:
        pins.close_switch(22, 23)
        assert await bank.read_locks() == {1: Lock.LOCKED, 2: Lock.LOCKED}
        await bank.unlock(1)
        assert pins.levels(17) == [False, True, False]
        assert pins.levels(18) == [False]
        assert await bank.read_locks() == {1: Lock.LOCKED, 2: Lock.LOCKED}


async def test_a_lock_that_stays_open_is_shown_open(pins: Pins) -> None:
    async with locks() as bank:
        pins.close_switch(22, 23)
        unlocking = asyncio.create_task(bank.unlock(2))
        await asyncio.sleep(0)
        pins.open_switch(23)
        await unlocking
        assert await bank.read_locks() == {1: Lock.LOCKED, 2: Lock.UNLOCKED}


async def test_a_lock_whose_feedback_contradicts_is_an_error_and_its_coil_is_off(pins: Pins) -> None:
    async with locks() as bank:
        pins.close_switch(22, 23)
        with pytest.raises(
            ActuatorError, match=r"bay 2: its lock had a pulse of 0.05 s, and .* jammed"
        ) as seen:
            await bank.unlock(2)
        assert not isinstance(seen.value, ActionRefused)
        assert pins.levels(18) == [False, True, False]


async def test_the_pulse_ends_when_nobody_waits_for_it_any_more(pins: Pins, eventually: Eventually) -> None:
    async with locks(Settings(bays=1, locks=(17,), pulse_s=10)) as bank:
        unlocking = asyncio.create_task(bank.unlock(1))
        await eventually(lambda: pins.level(17))
        unlocking.cancel()
        with suppress(asyncio.CancelledError):
            await unlocking
        assert not pins.level(17)


async def test_one_lock_at_a_time_has_its_pulse(pins: Pins) -> None:
    pins.wire_lock(17, 22)
    pins.wire_lock(18, 23)
    both: list[bool] = []
    async with locks() as bank:
        pins.close_switch(22, 23)
        unlocking = asyncio.gather(bank.unlock(1), bank.unlock(2))
        while not unlocking.done():
            both.append(pins.level(17) and pins.level(18))
            await asyncio.sleep(0)
    assert not any(both)
    assert pins.levels(18)[:3] == [False, True, False]


async def test_an_active_low_lock_rests_high(pins: Pins) -> None:
    async with locks(Settings(bays=3, locks=(17,), pulse_s=0.01, active=Active.LOW)) as bank:
        assert pins.level(17)
        await bank.unlock(3)
        assert pins.level(17)
        assert False in pins.levels(17)


async def test_without_feedback_nothing_is_known_of_a_lock(pins: Pins) -> None:
    async with locks(Settings(bays=1, locks=(17,), pulse_s=0.01)) as bank:
        await bank.unlock(1)
        assert await bank.read_locks() == {1: Lock.UNKNOWN}


async def test_a_switch_may_be_closed_by_an_open_lock(pins: Pins) -> None:
    settings = Settings(bays=1, locks=(17,), feedback=(22,), closed=Closed.UNLOCKED)
    async with locks(settings) as bank:
        assert await bank.read_locks() == {1: Lock.LOCKED}
        pins.close_switch(22)
        assert await bank.read_locks() == {1: Lock.UNLOCKED}


async def test_a_bay_without_a_pin_is_refused(pins: Pins) -> None:
    async with locks() as bank:
        with pytest.raises(ActionRefused, match="bay 3: no pin has its lock"):
            await bank.unlock(3)


async def test_a_pin_that_cannot_be_read_costs_its_own_bay(pins: Pins, monkeypatch: Any) -> None:
    async with locks() as bank:
        pins.close_switch(22, 23)

        def fails() -> bool:
            raise SensorError(sensor="GPIO22", reason="unreadable")

        monkeypatch.setattr(bank._feedback[1], "is_closed", fails)
        assert await bank.read_locks() == {1: Unread("GPIO22: unreadable"), 2: Lock.LOCKED}


# --- safety -----------------------------------------------------------------------------------------------


async def test_closed_contacts_are_safe(pins: Pins) -> None:
    async with safety() as inputs:
        pins.close_switch(5, 6, 12)
        assert await inputs.read_safety() == Safety(smoke=False)


async def test_an_open_contact_is_smoke_and_so_is_a_cut_wire(pins: Pins) -> None:
    async with safety() as inputs:
        assert (await inputs.read_safety()).smoke
        pins.close_switch(5)
        assert not (await inputs.read_safety()).smoke
        pins.open_switch(5)
        assert (await inputs.read_safety()).smoke


async def test_a_door_that_stays_open_is_blocked_until_it_closes(pins: Pins) -> None:
    time = ManualTime()
    async with safety(time=time) as inputs:
        pins.close_switch(5, 6)
        assert (await inputs.read_safety()).blocked_doors == frozenset()
        await time.advance(59)
        assert (await inputs.read_safety()).blocked_doors == frozenset()
        await time.advance(1)
        assert (await inputs.read_safety()).blocked_doors == {2}
        pins.close_switch(12)
        assert (await inputs.read_safety()).blocked_doors == frozenset()
        pins.open_switch(12)
        await inputs.read_safety()
        await time.advance(59)
        assert (await inputs.read_safety()).blocked_doors == frozenset()


# --- settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "key", "said"),
    [
        (Settings(bays="1-3", locks=(17, 18)), "locks", "there are 2 pins for 3 bays"),
        (Settings(locks=(17,)), "locks", "there are 1 pins for 0 bays"),
        (
            Settings(bays=1, locks=(17,), feedback=(17,)),
            "feedback[0]",
            r"GPIO17 is already used by locks\[0\]",
        ),
        (Settings(bays="1-2", locks=(17, 17)), "locks[1]", r"GPIO17 is already used by locks\[0\]"),
        (Settings(smoke=5, bays=1, doors=(5,)), "smoke", r"GPIO5 is already used by doors\[0\]"),
        (Settings(bays=1, feedback=(17,)), "bays", "has no pins: name locks, or doors"),
        (Settings(bays=1, feedback=(17,), doors=(5,)), "feedback", "needs locks too"),
        (Settings(bays=1, locks=(17,), smoke=5), "smoke", "stands in driver.safety"),
        (Settings(bays=1, locks=(17,), doors=(5,)), "doors", "stands in driver.safety"),
    ],
)
def test_pins_that_make_no_sense_are_refused(settings: Settings, key: str, said: str) -> None:
    with pytest.raises(SettingRefused, match=said) as refused:
        check(settings)
    assert refused.value.setting == key


def test_the_settings_say_what_they_are_for() -> None:
    assert roles_of(LOCKS) == {Role.LOCKS}
    assert roles_of(SAFETY) == roles_of(Settings(smoke=0)) == {Role.SAFETY}
    assert roles_of(Settings()) == frozenset()
    assert load_driver("gpio").claims(Settings(smoke=5, chip=1)) == {"smoke": "GPIO5 of gpiochip1"}


# --- where there are no pins ------------------------------------------------------------------------------


async def test_a_pin_that_the_board_does_not_have_is_named_as_such(pins: Pins) -> None:
    many = Settings(bays="1-29", locks=tuple(range(29)))
    with pytest.raises(DriverUnavailable, match="GPIO pin GPIO28: this board has no such pin"):
        async with locks(many):
            pass
    assert not pins.is_output(0)


async def test_a_pin_that_somebody_has_is_named_and_all_others_are_given_back(pins: Pins) -> None:
    somebody = OutputDevice(18)
    with pytest.raises(DriverUnavailable, match=r"GPIO pin GPIO18: .* used by another program"):
        async with locks():
            pass
    somebody.close()
    async with locks() as bank:
        assert pins.is_output(18)
        await bank.aclose()


async def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Device, "pin_factory", None)
    monkeypatch.setitem(sys.modules, "lgpio", None)
    monkeypatch.delitem(sys.modules, "gpiozero.pins.lgpio", raising=False)
    monkeypatch.delenv("GPIOZERO_PIN_FACTORY", raising=False)
    for settings in (LOCKS, Settings(smoke=5, chip=0)):
        with pytest.raises(DriverUnavailable, match="needs lgpio: `sudo apt install python3-lgpio`"):
            await open_gpio(settings, Surroundings(station_id="station-01", time=ManualTime()))


async def test_gpiozeros_own_variable_chooses_another_way_to_the_pins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Device, "pin_factory", None)
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    async with safety() as inputs:
        assert (await inputs.read_safety()).smoke
    monkeypatch.setattr(Device, "pin_factory", None)
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "none-such")
    with pytest.raises(DriverUnavailable, match="Unable to find pin factory 'none-such'"):
        await open_gpio(SAFETY, Surroundings(station_id="station-01", time=ManualTime()))


async def test_probing_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "_DEVICES", tmp_path)
    monkeypatch.setattr(probing, "find_spec", lambda _: None)
    findings = await probing.scan(probing.ScanSettings())
    assert all(isinstance(finding, Hindered) for finding in findings)
    assert "there is no GPIO chip" in str(findings[0])
    assert "python3-lgpio" in str(findings[1])


async def test_probing_tells_a_chip_from_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gpiochip0").touch()
    monkeypatch.setattr(probing, "_DEVICES", tmp_path)
    monkeypatch.setattr(probing, "find_spec", lambda _: object())
    (finding,) = await probing.scan(probing.ScanSettings())
    assert str(finding) == f"{tmp_path}/gpiochip0: Inappropriate ioctl for device"
    info = b"gpiochip0".ljust(32, b"\0") + b"pinctrl-rp1".ljust(32, b"\0") + (54).to_bytes(4, sys.byteorder)
    monkeypatch.setattr("fcntl.ioctl", lambda *_: info)
    (finding,) = await probing.scan(probing.ScanSettings())
    assert str(finding) == f"{tmp_path}/gpiochip0: pinctrl-rp1, 54 lines"
