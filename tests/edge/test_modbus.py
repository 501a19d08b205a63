"""The modbus driver on real wires, a pseudo-terminal and TCP: each fault has its reason, and each passes."""

import asyncio
import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from evswap_edge.documents import NameOrFile
from evswap_edge.drivers.modbus import ModbusClimate, Settings, ports
from evswap_edge.hal import Climate, DriverUnavailable, SensorError
from evswap_edge.registers import Parity
from tests.edge.climate import RTU, TCP, TIMEOUT_S, Wire, emulator, next_good, opened, plugged_in
from tests.edge.conftest import LONGEST_WAIT_S

WIRES = [RTU, TCP]
FAULTS = [
    (RTU, "silent", "no answer within 0.25 s"),
    (RTU, "crc", "an answer with a wrong checksum (9 bytes)"),
    (RTU, "cut", "an answer that was cut short: 6 bytes for 9"),
    (RTU, "wrong-length", "an answer of the wrong length: 1 registers for 2"),
    (RTU, "wrong-unit", "unit 2 answers in its place"),
    (RTU, "exception 6", "exception 6 (device busy); asked for 2 input registers from 0x0001"),
    (RTU, "out-of-range", "temperature: 850 is out of range, -40 to 125"),
    (RTU, "slow", "no answer within 0.25 s"),
    (TCP, "silent", "no answer within 0.25 s"),
    (TCP, "cut", "an answer that was cut short: 10 bytes for 13"),
    (TCP, "wrong-length", "an answer of the wrong length: 1 registers for 2"),
    (TCP, "wrong-unit", "unit 2 answers in its place"),
    (TCP, "exception 99", "exception 99 (unknown); asked for 2 input registers from 0x0001"),
    (TCP, "exception 11", "the gateway gets no answer from it"),
    (TCP, "out-of-range", "temperature: 850 is out of range, -40 to 125"),
    (TCP, "slow", "no answer within 0.25 s"),
]


@pytest.mark.parametrize("registers", ["sht20", "rs-ws-n01", "hmp110"])
@pytest.mark.parametrize("wire", WIRES)
async def test_every_map_of_ours_reads_what_its_sensor_measures(wire: str, registers: str) -> None:
    sensor = emulator(NameOrFile(registers), temperature=-20.5, humidity=54.6)
    async with (
        plugged_in(wire, sensor) as plugged,
        opened(plugged.settings(registers=NameOrFile(registers))) as driver,
    ):
        assert await driver.read_climate() == Climate(temperature=-20.5, humidity=54.6)
        plugged.emulator.obey("temperature 30.5")
        assert await driver.read_climate() == Climate(temperature=30.5, humidity=54.6)


@pytest.mark.parametrize(("wire", "fault", "reason"), FAULTS)
async def test_a_fault_on_the_wire_is_named_and_passes(wire: str, fault: str, reason: str) -> None:
    async with plugged_in(wire) as plugged, opened(plugged.settings()) as driver:
        assert (await driver.read_climate()).temperature == 21.5
        assert plugged.emulator.obey(f"fault {fault}") == "ok"
        with pytest.raises(SensorError) as failed:
            await driver.read_climate()
        assert failed.value.reason.endswith(reason)
        assert failed.value.sensor == f"{plugged.place} unit 1"
        plugged.emulator.obey("fault none")
        plugged.emulator.obey("temperature 22.5")
        assert await next_good(driver) == Climate(temperature=22.5, humidity=40.0)


@pytest.mark.parametrize("wire", WIRES)
async def test_a_late_answer_is_never_taken_for_the_next_one(wire: str) -> None:
    async with plugged_in(wire) as plugged, opened(plugged.settings()) as driver:
        for round_ in range(3):
            plugged.emulator.obey("fault slow")
            plugged.emulator.obey("temperature 10")
            with pytest.raises(SensorError):
                await driver.read_climate()
            plugged.emulator.obey(f"temperature {20 + round_}")
            plugged.emulator.obey("fault none")
            assert (await next_good(driver)).temperature == 20 + round_


async def ask_and_give_up(driver: ModbusClimate, plugged: Wire) -> None:
    """Cancel a reading after its question was heard."""
    asked = asyncio.create_task(driver.read_climate())
    await heard(plugged)
    asked.cancel()
    with suppress(asyncio.CancelledError):
        await asked


async def heard(plugged: Wire) -> None:
    """The first question has arrived at the sensor."""
    async with asyncio.timeout(LONGEST_WAIT_S):
        while "requests 1" not in plugged.emulator.obey("status"):
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("wire", WIRES)
async def test_the_answer_to_a_cancelled_read_is_never_taken_for_the_next_one(wire: str) -> None:
    async with plugged_in(wire) as plugged, opened(plugged.settings()) as driver:
        plugged.emulator.obey("fault slow")
        plugged.emulator.obey("temperature 10")
        await ask_and_give_up(driver, plugged)
        plugged.emulator.obey("fault none")
        plugged.emulator.obey("temperature 20")
        assert (await next_good(driver)).temperature == 20


async def test_a_late_answer_that_came_ends_the_wait_for_it() -> None:
    """The next question need not wait for as long as an answer that never comes."""
    async with plugged_in(RTU) as plugged, opened(plugged.settings(timeout_s=10)) as driver:
        plugged.emulator.obey("fault slow")
        await ask_and_give_up(driver, plugged)
        plugged.emulator.obey("fault none")
        with pytest.raises(SensorError, match="still owes the answer"):
            await driver.read_climate()
        async with asyncio.timeout(15):
            await next_good(driver)


async def test_noise_on_the_line_before_a_question_is_no_part_of_its_answer() -> None:
    async with plugged_in(RTU) as plugged, opened(plugged.settings()) as driver:
        await driver.read_climate()
        plugged.emulator.obey("fault cut")
        with pytest.raises(SensorError):
            await driver.read_climate()
        plugged.emulator.obey("fault none")
        for _ in range(3):
            assert (await next_good(driver)).temperature == 21.5


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("00 01 00 00 00 04 01 04 c8 00", "an answer that was cut short: 10 bytes for 13"),
        ("00 01 00 00 00 0e 01 04 c8 00 00 00 00 00 00 00 00 00 00 00", "an answer that makes no sense"),
        ("00 09 00 00 00 07 01 04 04 00 d7 01 90", "an answer that belongs to another question"),
        ("00 01 00 07 00 07 01 04 04 00 d7 01 90", "an answer that belongs to another question"),
        ("ff", "an answer that was cut short: 1 bytes for 13"),
    ],
)
async def test_nonsense_is_a_failed_reading_and_nothing_else(answer: str, reason: str) -> None:
    trouble: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: trouble.append(context))

    ended = asyncio.Queue[None]()

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(64):
            writer.write(bytes.fromhex(answer))
        writer.close()
        await writer.wait_closed()
        ended.put_nowait(None)

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        settings = Settings(registers=NameOrFile("sht20"), tcp=f"127.0.0.1:{port}", timeout_s=TIMEOUT_S)
        async with opened(settings) as driver:
            for _ in range(2):
                with pytest.raises(SensorError, match=reason):
                    await driver.read_climate()
        await ended.get()
    assert trouble == []


@pytest.mark.parametrize("wire", WIRES)
async def test_a_frozen_sensor_looks_well_and_says_the_same(wire: str) -> None:
    async with plugged_in(wire) as plugged, opened(plugged.settings()) as driver:
        plugged.emulator.obey("fault frozen")
        plugged.emulator.obey("temperature 35")
        assert (await driver.read_climate()).temperature == 21.5
        plugged.emulator.obey("fault none")
        assert (await driver.read_climate()).temperature == 35


@pytest.mark.parametrize("wire", WIRES)
async def test_a_device_that_refuses_says_why(wire: str) -> None:
    async with (
        plugged_in(wire) as plugged,
        opened(plugged.settings(registers=NameOrFile("rs-ws-n01"))) as driver,
    ):
        with pytest.raises(SensorError, match=r"exception 2 \(illegal address\); asked for 2 holding"):
            await driver.read_climate()


@pytest.mark.parametrize("wire", WIRES)
async def test_another_unit_does_not_answer(wire: str) -> None:
    async with plugged_in(wire) as plugged, opened(plugged.settings(unit=7)) as driver:
        with pytest.raises(SensorError, match=r"unit 7: no answer"):
            await driver.read_climate()


async def fails_with(driver: ModbusClimate, reason: str) -> None:
    """It fails again and again; what it says in the end is ``reason``."""
    for _ in range(2):
        with pytest.raises(SensorError):
            await driver.read_climate()
    with pytest.raises(SensorError, match=reason):
        await driver.read_climate()


@pytest.mark.parametrize("wire", WIRES)
async def test_hardware_that_is_pulled_out_and_plugged_in_again_is_read_again(
    wire: str, tmp_path: Path
) -> None:
    sensor = emulator()
    async with plugged_in(wire, sensor, at=str(tmp_path / "tty") if wire == RTU else None) as plugged:
        settings = plugged.settings()
        driver_context = opened(settings)
        driver = await driver_context.__aenter__()
        await driver.read_climate()
    try:
        reason = "is the adapter plugged in" if wire == RTU else "no connection"
        await fails_with(driver, reason)
        async with plugged_in(wire, emulator(temperature=23.0), at=plugged.place):
            assert (await next_good(driver)).temperature == 23.0
    finally:
        await driver_context.__aexit__(None, None, None)


@pytest.mark.parametrize("wire", WIRES)
async def test_hardware_that_is_pulled_out_during_a_question_fails_that_one(wire: str) -> None:
    async with plugged_in(wire) as plugged:
        driver_context = opened(plugged.settings())
        driver = await driver_context.__aenter__()
        plugged.emulator.obey("fault silent")
        asked = asyncio.create_task(driver.read_climate())
        await heard(plugged)
    with pytest.raises(SensorError, match=r"the port was lost|no answer"):
        await asked
    await driver_context.__aexit__(None, None, None)


@pytest.mark.parametrize("wire", WIRES)
async def test_the_loop_goes_on_while_a_sensor_is_waited_for(wire: str) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with plugged_in(wire) as plugged, opened(plugged.settings()) as driver:
        plugged.emulator.obey("fault silent")
        at_work = asyncio.create_task(others())
        with pytest.raises(SensorError):
            await driver.read_climate()
        at_work.cancel()
    assert turns > 100


# --- what cannot be opened --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lies_there", "reason"),
    [
        ("nothing", "does not exist; is the adapter plugged in?"),
        ("folder", "is a folder and no serial port"),
        ("file", "is no serial port"),
        ("busy", "is in use by another program"),
    ],
)
async def test_a_port_that_cannot_be_opened_is_named_with_what_to_look_at(
    lies_there: str, reason: str, tmp_path: Path
) -> None:
    async with plugged_in(RTU) as plugged:
        port = tmp_path / "port"
        match lies_there:
            case "folder":
                port.mkdir()
            case "file":
                port.touch()
            case "busy":
                port.symlink_to(plugged.place)
        user = os.open(port, os.O_RDWR | os.O_NOCTTY) if lies_there == "busy" else os.open(tmp_path, 0)
        fcntl.flock(user, fcntl.LOCK_EX)
        try:
            with pytest.raises(DriverUnavailable) as refused:
                async with opened(plugged.settings(port=port)):
                    pass
        finally:
            os.close(user)
    assert refused.value.device == str(port)
    assert reason in refused.value.reason


async def test_the_port_is_held_against_others_and_given_back_with_its_last_user() -> None:
    async with plugged_in(RTU) as plugged:
        async with opened(plugged.settings()) as driver:
            with pytest.raises(DriverUnavailable, match="in use by another program"):
                await asyncio.to_thread(ports.require_serial, plugged.place)
            async with opened(plugged.settings()) as other:
                assert await asyncio.gather(driver.read_climate(), other.read_climate())
            await driver.read_climate()
        await asyncio.to_thread(ports.require_serial, plugged.place)


@pytest.mark.parametrize("wire", WIRES)
async def test_a_line_is_shared_by_whatever_name_it_is_called(wire: str, tmp_path: Path) -> None:
    async with plugged_in(wire) as plugged, opened(plugged.settings()):
        again = plugged.settings()
        if wire == RTU:
            other_name = tmp_path / "by-id"
            other_name.symlink_to(plugged.place)
            again = plugged.settings(port=other_name)
        async with opened(again) as driver:
            assert (await driver.read_climate()).temperature == 21.5


async def test_all_on_one_line_have_to_talk_alike() -> None:
    async with plugged_in(RTU) as plugged, opened(plugged.settings()):
        with pytest.raises(DriverUnavailable, match=r"is used at 9600 8N1 for another role.* here 19200 8E1"):
            async with opened(plugged.settings(baudrate=19_200, parity=Parity.EVEN)):
                pass


def test_a_port_that_may_not_be_used_names_the_group_that_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    port = tmp_path / "tty"
    port.touch()
    group = port.group()
    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(DriverUnavailable, match=rf"group {group}: `sudo usermod -aG {group} \$USER`"):
        ports.require_serial(str(port))


async def test_a_port_that_does_not_take_the_settings_says_so() -> None:
    """A pseudo-terminal has no parity."""
    async with plugged_in(RTU) as plugged:
        with pytest.raises(DriverUnavailable, match="look at baudrate, parity and stop_bits"):
            async with opened(plugged.settings(parity=Parity.EVEN)):
                pass


async def test_an_address_where_nobody_listens_says_so() -> None:
    async with plugged_in(TCP) as plugged:
        settings = plugged.settings()
    with pytest.raises(DriverUnavailable, match=r"no connection \(Connection refused\); look at the address"):
        async with opened(settings):
            pass
    with pytest.raises(DriverUnavailable, match=r"the name is not known|no connection"):
        async with opened(plugged.settings(tcp="no-such-host.invalid:502")):
            pass


@pytest.mark.parametrize("wire", WIRES)
async def test_a_process_that_was_held_up_reads_the_answer_that_came_meanwhile(wire: str) -> None:
    """A card that is busy can hold up a station for longer than any device may take."""
    async with plugged_in(wire) as plugged, opened(plugged.settings()) as driver:
        await driver.read_climate()
        reading = asyncio.create_task(driver.read_climate())
        for _ in range(4):
            await asyncio.sleep(0)
        time.sleep(2 * TIMEOUT_S)
        assert (await reading).temperature == 21.5
