"""The can driver on buses that carry frames: each fault costs its own bay for its own time, and a bus that is
lost is found again."""

import asyncio
import errno
import itertools
import logging
from collections.abc import Callable

import can
import pytest

from evswap_edge.documents import NameOrFile
from evswap_edge.drivers import Surroundings
from evswap_edge.drivers.can import Settings, bus, open_can
from evswap_edge.drivers.can.bus import Address, Interface, identifier_of, key_of, open_bus
from evswap_edge.emulators.can_bms import Fault
from evswap_edge.hal import DriverUnavailable, Unread
from evswap_edge.testing import ManualTime
from evswap_schema import Battery
from tests.edge.can_bus import (
    OURS,
    UDP,
    VIRTUAL,
    multicast_fails,
    opened,
    speaking,
    spoken_on,
    threads,
    trouble,
    until,
    wired,
)
from tests.edge.can_profiles import theirs
from tests.edge.conftest import LONGEST_WAIT_S

__all__ = ["theirs"]

WIRES = [VIRTUAL, UDP]


@pytest.fixture(scope="session")
def multicast() -> str | None:
    return multicast_fails()


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest, multicast: str | None, skip_aloud: Callable[..., None]) -> str:
    """Each kind of bus that this machine has."""
    if request.param == UDP and multicast:
        skip_aloud(multicast, could_run=True)
    return str(request.param)


def good(*bays: int) -> Callable[[object], bool]:
    """These bays have a battery that was read."""
    return lambda found: all(isinstance(found[bay], Battery) for bay in bays)  # type: ignore[index]


def unread(bay: int, reason: str) -> Callable[[object], bool]:
    def is_so(found: dict[int, object]) -> bool:
        return isinstance(found[bay], Unread) and reason in str(found[bay])

    return is_so  # type: ignore[return-value]


async def test_it_reads_what_every_battery_says(wire: str) -> None:
    async with spoken_on(wire, bays=4) as spoken, opened(spoken.settings()) as driver:
        batteries = await driver.read_batteries()
        assert batteries[3] == Battery(
            serial_number="EVB-0003",
            soc=80.0,
            soh=97.5,
            voltage=52.4,
            current=0.0,
            temperature=25.0,
            cycles=120,
        )
        assert list(batteries) == [1, 2, 3, 4]
        spoken.obey("set 2 current -12.5")
        spoken.obey("set 2 temperature -3.5")
        spoken.obey("remove 4")
        later = await until(driver, lambda found: found[4] is None)
        assert isinstance(later[2], Battery)
        assert (later[2].current, later[2].temperature) == (-12.5, -3.5)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.SILENT, "BmsState is "),
        (Fault.WRONG_LENGTH, "it arrives with 7 bytes instead of 8"),
        (Fault.CRC, "it arrives with a wrong checksum"),
        (Fault.FROZEN, "it arrives with a counter that stands still at "),
        (Fault.OUT_OF_RANGE, "soc: BmsState.Soc is 655.35, out of the range of its DBC file, 0 to 100"),
        (Fault.SLOW, " s old"),
    ],
)
async def test_a_fault_costs_its_own_bay_for_its_own_time(wire: str, fault: Fault, reason: str) -> None:
    async with spoken_on(wire, slow_rounds=1_000) as spoken, opened(spoken.settings()) as driver:
        await until(driver, good(1, 2, 3))
        spoken.obey(f"fault 2 {fault}")
        failed = await until(driver, unread(2, reason))
        assert good(1, 3)(failed)
        spoken.obey("fault 2 none")
        spoken.obey("set 2 soc 33")
        found = (await until(driver, good(1, 2, 3)))[2]
        assert isinstance(found, Battery)
        assert found.soc == 33


async def test_nothing_but_what_a_battery_measured_is_published_whatever_goes_wrong(wire: str) -> None:
    """The state of charge says which bay it is of."""
    async with spoken_on(wire, bays=3, slow_rounds=30) as spoken, opened(spoken.settings()) as driver:
        for bay in (1, 2, 3):
            spoken.obey(f"set {bay} soc {bay * 11}")
        await until(driver, good(1, 2, 3))
        for fault in Fault:
            spoken.obey(f"fault 2 {fault}")
            for _ in range(20):
                for bay, battery in (await driver.read_batteries()).items():
                    assert bay == 2 or isinstance(battery, Battery)
                    if isinstance(battery, Battery):
                        assert (battery.soc, battery.serial_number) == (bay * 11, f"EVB-000{bay}")
                await asyncio.sleep(0.01)


async def test_a_bus_with_29_bit_identifiers_and_another_maker(wire: str, theirs: NameOrFile) -> None:
    async with spoken_on(wire, profile=theirs) as spoken:
        for bay in (1, 2, 3):
            spoken.obey(f"set {bay} serial {bay}00000000")
        spoken.obey("remove 3")
        async with opened(spoken.settings(profile=theirs)) as driver:
            found = await until(driver, lambda found: found[3] is None)
            assert isinstance(found[2], Battery)
            assert (found[2].serial_number, found[2].cycles) == ("200000000", 120)


async def test_our_own_profile_with_29_bit_identifiers_and_nodes_in_any_order(wire: str) -> None:
    async with spoken_on(wire, base=0x18FF_4000, stride=16) as spoken:
        settings = spoken.settings(base=0x18FF_4000, stride=16, bays=(7, 8), nodes=(2, 0))
        async with opened(settings) as driver:
            found = await driver.read_batteries()
            assert [battery.serial_number for battery in found.values() if isinstance(battery, Battery)] == [
                "EVB-0003",
                "EVB-0001",
            ]


# --- the bus itself ---------------------------------------------------------------------------------------


async def test_a_bus_that_is_off_is_said_and_comes_back(wire: str) -> None:
    async with spoken_on(wire) as spoken, opened(spoken.settings()) as driver:
        await until(driver, good(1, 2, 3))
        spoken.obey("bus off")
        assert "the controller is bus-off and hears nothing" in (await trouble(driver)).reason
        spoken.obey("bus on")
        await until(driver, good(1, 2, 3))


async def test_frames_after_a_bus_off_show_that_it_is_over(wire: str) -> None:
    """A controller that was restarted by hand does not announce it."""
    with wired(wire) as spoken:
        async with opened(spoken.settings()) as driver:
            spoken.obey("bus off")
            assert "bus-off" in (await trouble(driver)).reason
            spoken.emulator._is_off = False
            async with speaking(spoken):
                await until(driver, good(1, 2, 3))


async def test_a_silent_bus_is_a_fault_of_the_bus_even_where_silence_is_emptiness(
    wire: str, theirs: NameOrFile
) -> None:
    """A cable that was cut would look like a cabinet without batteries."""
    with wired(wire, profile=theirs) as spoken:
        async with opened(spoken.settings(profile=theirs)) as driver:
            failed = await trouble(driver)
            assert failed.sensor == spoken.channel
            assert failed.reason.startswith("no bay has been heard yet; look at the batteries' supply")
            spoken.obey("remove all")
            async with speaking(spoken):
                await until(driver, lambda found: set(found.values()) == {None})
            reason = (await trouble(driver)).reason
            assert reason.startswith("no bay has been heard for ")


async def test_what_the_controller_reports_stands_beside_the_silence(wire: str) -> None:
    with wired(wire) as spoken:
        async with opened(spoken.settings()) as driver:
            spoken.wire.send(can.Message(arbitration_id=0x20, is_error_frame=True, data=bytes(8)))
            assert "; the controller reports no acknowledgement; look at" in (await trouble(driver)).reason


async def test_a_bus_that_was_lost_is_opened_again(wire: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an adapter that is pulled out and put back: the first error is the kernel's, then there is nothing
    to open."""
    async with spoken_on(wire) as spoken, opened(spoken.settings()) as driver:
        await until(driver, good(1, 2, 3))

        def gone(*_: object) -> can.BusABC:
            raise DriverUnavailable(device=spoken.channel, reason="no such interface")

        def broken(*_: object) -> None:
            raise OSError(errno.ENETDOWN, "Network is down")

        with monkeypatch.context() as pulled_out:
            pulled_out.setattr(driver._listener._inlet, "take", broken)
            pulled_out.setattr("evswap_edge.drivers.can.listener.open_bus", gone)
            assert (await trouble(driver)).reason == "no such interface"
        await until(driver, good(1, 2, 3))


async def test_what_no_driver_of_ours_sent_is_not_looked_at(wire: str) -> None:
    async with spoken_on(wire) as spoken, opened(spoken.settings()) as driver:
        for identifier, extended in itertools.product((0x000, 0x100, 0x7FF), (False, True)):
            spoken.wire.send(
                can.Message(arbitration_id=identifier | 0x600, is_extended_id=extended, data=b"x")
            )
            remote = can.Message(arbitration_id=0x100, is_remote_frame=True, is_extended_id=False)
            spoken.wire.send(remote)
        spoken.wire.send(can.Message(arbitration_id=0x100, is_extended_id=True, data=bytes(8)))
        assert good(1, 2, 3)(await driver.read_batteries())


async def test_a_strangers_datagram_is_no_frame(
    multicast: str | None, skip_aloud: Callable[..., None]
) -> None:
    if multicast:
        skip_aloud(multicast, could_run=True)
    async with spoken_on(UDP) as spoken, opened(spoken.settings()) as driver:
        await until(driver, good(1, 2, 3))
        for nonsense in (b"", b"\xff" * 40, b"\x80"):
            spoken.wire._multicast.send(nonsense)  # type: ignore[attr-defined]
        spoken.obey("set 1 soc 12")
        await until(driver, lambda found: isinstance(found[1], Battery) and found[1].soc == 12)


async def test_it_needs_no_thread_and_leaves_none(wire: str) -> None:
    async with spoken_on(wire) as spoken:
        before = threads()
        for _ in range(3):
            async with opened(spoken.settings()) as driver:
                await driver.read_batteries()
                assert threads() == before
        assert threads() == before


async def test_what_waited_while_the_process_was_held_up_is_as_old_as_it_is() -> None:
    """Frames are dated by when they came, not by when somebody had time for them."""
    with wired() as spoken:
        time = ManualTime()
        async with opened(spoken.settings(), time) as driver:
            for _ in range(5):
                spoken.emulator.speak_once()
            await until(driver, good(1, 2, 3))
            before = driver._slates[1].heard_at
            queue = driver._listener._bus.queue  # type: ignore[union-attr]
            for message in spoken.emulator.frames():
                message.timestamp = 1.0
                queue.put(message)
            time.stall(5.0)
            async with asyncio.timeout(LONGEST_WAIT_S):
                while not queue.empty():
                    await asyncio.sleep(0.001)
            assert "no bay has been heard for 5.0 s" in (await trouble(driver)).reason
            assert driver._slates[1].heard_at == before


# --- what is said, and how often --------------------------------------------------------------------------


async def test_fault_bits_are_told_once_as_long_as_they_last(
    wire: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with spoken_on(wire) as spoken, opened(spoken.settings()) as driver:
        await until(driver, good(1, 2, 3))
        spoken.obey("report 2 OverTemperature InternalFault")
        while not (await driver.read_battery_faults())[2]:
            await asyncio.sleep(0.01)
        for _ in range(5):
            assert good(1, 2, 3)(await driver.read_batteries())
        assert await driver.read_battery_faults() == {1: (), 2: ("OverTemperature", "InternalFault"), 3: ()}
        spoken.obey("report 2 none")
        while (await driver.read_battery_faults())[2]:
            await asyncio.sleep(0.01)
        await driver.read_batteries()
    said = [record.getMessage() for record in caplog.records if "sensor bms" in record.getMessage()]
    assert said[0] == "sensor bms, bay 2: the battery reports OverTemperature, InternalFault"
    assert said[1].startswith("sensor bms, bay 2: works again after ")
    assert len(said) == 2


async def test_a_fault_of_a_battery_becomes_an_alarm() -> None:
    alarms: list[tuple[str, str | None, int | None]] = []
    time = ManualTime()
    with wired() as spoken:
        around = Surroundings("station-01", time, on_sensor=lambda *told: alarms.append(told))
        driver = await open_can(spoken.settings(), around)
        spoken.obey("report 3 OverCurrent")
        for _ in range(30):
            for _ in range(4):
                spoken.emulator.speak_once()
            await until(driver, good(1, 2, 3))
            time.stall(0.4)
        await driver.aclose()
    assert ("bms", "the battery reports OverCurrent", 3) in alarms
    assert ("bms", None, 2) in alarms


# --- interfaces -------------------------------------------------------------------------------------------


async def refused(settings: Settings) -> str:
    with pytest.raises(DriverUnavailable) as failed:
        await open_can(settings, Surroundings(station_id="station-01", time=ManualTime()))
    return str(failed.value)


async def test_an_interface_that_is_not_there_says_what_to_look_at() -> None:
    said = await refused(Settings(profile=OURS, channel="can-none", bays=1))
    assert said.startswith("can-none: no such interface; ")
    assert "is the adapter plugged in" in said


async def test_an_interface_of_another_kind_says_so() -> None:
    assert "lo: is no CAN interface; there " in await refused(Settings(profile=OURS, channel="lo", bays=1))


@pytest.fixture
def fake_interfaces(tmp_path, monkeypatch):
    """``/sys/class/net`` with a CAN interface that this machine does not have."""

    def make(name: str, *, flags: str) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "type").write_text("280\n")
        (tmp_path / name / "flags").write_text(f"{flags}\n")

    monkeypatch.setattr(bus, "_INTERFACES", tmp_path)
    return make


async def test_an_interface_that_is_down_says_how_to_bring_it_up(fake_interfaces) -> None:
    fake_interfaces("can7", flags="0x40080")
    assert await refused(Settings(profile=OURS, channel="can7", bays=1)) == (
        "can7: is down; `sudo ip link set can7 up type can bitrate 250000 restart-ms 100`, "
        "with the bus's bit rate"
    )
    assert "there are can7;" in await refused(Settings(profile=OURS, channel="can8", bays=1))


async def test_what_the_kernel_refuses_is_put_into_words(fake_interfaces) -> None:
    """Here there is a file that says so, and no such device in the kernel (or no CAN at all)."""
    fake_interfaces("can7", flags="0x40081")
    said = await refused(Settings(profile=OURS, channel="can7", bays=1))
    assert "this kernel has no SocketCAN" in said or "has gone; was the adapter pulled out?" in said


def test_the_kernel_is_asked_only_for_what_is_wanted() -> None:
    wanted = [key_of(0x100, extended=False), key_of(0x18FF4000, extended=True)]
    assert bus._filters(wanted) == [
        {"can_id": 0x100, "can_mask": 0x4000_07FF, "extended": False},
        {"can_id": 0x18FF4000, "can_mask": 0x5FFF_FFFF, "extended": True},
    ]
    assert bus._filters(range(513)) is None
    assert bus._filters([]) is None
    assert [identifier_of(key) for key in wanted] == ["0x100", "0x18ff4000"]


@pytest.mark.parametrize("channel", ["10.0.0.1:43113", "239.74.163.2:0", "239.74.163.2:99999"])
def test_a_group_has_to_be_one(channel: str) -> None:
    with pytest.raises(ValueError, match=r"no multicast group|has to be 1 to 65535"):
        Address(Interface.UDP_MULTICAST, channel).group()


def test_an_error_without_a_number_keeps_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise can.CanInitializationError("could not connect to a multicast IP network")

    monkeypatch.setattr(can, "Bus", fail)
    with pytest.raises(DriverUnavailable, match="a: could not connect"):
        open_bus(Address(Interface.VIRTUAL, "a"))


async def test_a_reading_that_is_given_up_leaves_the_bus_open(wire: str) -> None:
    with wired(wire) as spoken:
        async with opened(spoken.settings()) as driver:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await driver.read_batteries()
            async with speaking(spoken):
                await until(driver, good(1, 2, 3))
