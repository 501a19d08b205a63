"""Batteries and chargers over Modbus on real wires: many on one line, and each fault costs its own bay."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evswap_edge import registers
from evswap_edge.documents import NameOrFile
from evswap_edge.drivers.modbus.bank import MAX_AGE_S, Pace
from evswap_edge.drivers.modbus.line import Line, Manners, SerialAddress, TcpAddress
from evswap_edge.drivers.modbus.rounds import Rounds, Turn
from evswap_edge.drivers.modbus.settings import Silent
from evswap_edge.emulators.modbus_climate import ClimateEmulator
from evswap_edge.emulators.modbus_line import EmulatedLine
from evswap_edge.hal import ActionRefused, ActuatorError, Charger, SensorError, Unread
from evswap_edge.registers import MapKind, Parity, names, read_climate_map
from evswap_schema import Battery
from tests.edge.climate import RTU, TCP, opened
from tests.edge.conftest import LONGEST_WAIT_S
from tests.edge.modbus_wires import (
    BATTERIES,
    CHARGERS,
    WIRES,
    BayWire,
    batteries,
    battery_bank,
    charger_bank,
    chargers,
    eventually,
    reason,
    serials,
    wired,
)

FAULTS = [
    (RTU, "silent", "no answer within 0.25 s"),
    (RTU, "crc", "an answer with a wrong checksum"),
    (RTU, "cut", "an answer that was cut short"),
    (RTU, "wrong-length", "an answer of the wrong length"),
    (RTU, "wrong-unit", "unit 3 answers in its place"),
    (RTU, "exception 6", "exception 6 (device busy)"),
    (RTU, "slow", "no answer within 0.25 s"),
    (RTU, "out-of-range", "is out of range, -40 to 125"),
    (TCP, "silent", "no answer within 0.25 s"),
    (TCP, "cut", "an answer that was cut short"),
    (TCP, "wrong-length", "an answer of the wrong length"),
    (TCP, "wrong-unit", "unit 3 answers in its place"),
    (TCP, "exception 11", "the gateway gets no answer from it"),
    (TCP, "slow", "no answer within 0.25 s"),
    (TCP, "out-of-range", "is out of range, -40 to 125"),
]
LATE = ("still owes the answer", "an answer that belongs to another question")
"""What is said of a device that is slower than its time-out when it is asked again."""
WELL = {1: "PACK-0001", 2: "PACK-0002", 3: "PACK-0003"}


@pytest.mark.parametrize("layout", names(MapKind.BATTERY))
@pytest.mark.parametrize("wire", WIRES)
async def test_every_map_of_ours_reads_what_its_batteries_say(wire: str, layout: str) -> None:
    devices = batteries(layout)
    for command in (
        "set 2 soc 55",
        "set 2 soh 91",
        "set 2 voltage 51.27",
        "set 2 current -12.34",
        "set 2 temperature 31.5",
        "set 2 cycles 321",
        "insert 3 AN-OTHER/7",
    ):
        assert devices.obey(command) == "ok"
    async with (
        wired(wire, devices) as wired_up,
        battery_bank(wired_up.settings(registers=NameOrFile(layout))) as bank,
    ):
        found = await bank.read_batteries()
    assert serials(found) == {1: "PACK-0001", 2: "PACK-0002", 3: "AN-OTHER/7"}
    battery = found[2]
    assert isinstance(battery, Battery)
    assert battery.temperature == pytest.approx(31.5, abs=0.1)
    assert msgspec.structs.replace(battery, temperature=31.5) == Battery(
        serial_number="PACK-0002", soc=55, soh=91, voltage=51.27, current=-12.34, temperature=31.5, cycles=321
    )


@pytest.mark.parametrize(("wire", "fault", "why"), FAULTS)
async def test_a_fault_costs_its_own_bay_for_its_own_time(wire: str, fault: str, why: str) -> None:
    devices = batteries()
    async with wired(wire, devices) as wired_up, battery_bank(wired_up.settings()) as bank:
        assert serials(await bank.read_batteries()) == WELL
        assert devices.obey(f"fault 2 {fault}") == "ok"
        for round_ in range(3):
            devices.obey(f"set 1 soc {10 + round_}")
            found = await bank.read_batteries()
            assert serials(found) == {**WELL, 2: "*"}
            assert found[1].soc == 10 + round_  # type: ignore[union-attr]  # it is no Unread: see above
            told = reason(found[2])
            assert f"{wired_up.place} unit 2" in told
            assert why in told or any(late in told for late in LATE), told
        devices.obey("fault 2 none")
        devices.obey("set 2 soc 77")
        found = await eventually(bank.read_batteries, lambda now: serials(now) == WELL)
        assert found[2].soc == 77  # type: ignore[union-attr]


@pytest.mark.parametrize(("wire", "fault", "why"), FAULTS)
async def test_its_reason_is_named(wire: str, fault: str, why: str) -> None:
    devices = batteries()
    async with wired(wire, devices) as wired_up, battery_bank(wired_up.settings()) as bank:
        devices.obey(f"fault 2 {fault}")
        assert why in reason((await bank.read_batteries())[2])


@pytest.mark.parametrize("wire", WIRES)
async def test_late_answers_are_never_taken_for_others(wire: str) -> None:
    """Two that are late, between others that are not: what is said is always of now, and of the right bay."""
    devices = batteries(bays=4)
    async with wired(wire, devices) as wired_up, battery_bank(wired_up.settings(bays="1-4")) as bank:
        for round_ in range(4):
            for bay in (1, 3):
                devices.obey(f"fault {bay} {'slow' if round_ % 2 else 'none'}")
            for bay in (1, 2, 3, 4):
                devices.obey(f"set {bay} soc {10 * bay + round_}")
            with suppress(SensorError):
                for bay, battery in (await bank.read_batteries()).items():
                    assert isinstance(battery, Unread) or battery.soc == 10 * bay + round_  # type: ignore[union-attr]
        for bay in (1, 3):
            devices.obey(f"fault {bay} none")
        found = await eventually(bank.read_batteries, lambda now: "*" not in serials(now).values())
        assert [battery.soc for battery in found.values()] == [13, 23, 33, 43]  # type: ignore[union-attr]


@pytest.mark.parametrize("wire", WIRES)
async def test_those_who_do_not_answer_do_not_hold_up_the_others(wire: str) -> None:
    """Three time-outs are longer than the reading is waited for: those who answer are read all the same."""
    devices = batteries(bays=6)
    for bay in (1, 2, 3):
        devices.obey(f"fault {bay} silent")
    async with (
        wired(wire, devices) as wired_up,
        battery_bank(wired_up.settings(bays="1-6"), waited_for_s=0.8) as bank,
    ):
        await eventually(bank.read_batteries, lambda now: serials(now)[6] == "PACK-0006")
        for round_ in range(3):
            devices.obey(f"set 5 soc {round_}")
            found = await eventually(
                bank.read_batteries,
                lambda now, soc=round_: isinstance(now[5], Battery) and now[5].soc == soc,  # type: ignore[misc]
            )
            assert serials(found) == {
                **dict.fromkeys((1, 2, 3), "*"), 4: "PACK-0004", 5: "PACK-0005", 6: "PACK-0006"
            }  # fmt: skip


async def test_those_who_answered_last_time_come_first() -> None:
    turns: list[int] = []

    def turn(bay: int) -> Turn[str]:
        async def ask() -> AsyncIterator[tuple[int, str | Unread]]:
            turns.append(bay)
            yield bay, Unread("no answer") if bay < 4 else "well"

        return Turn((bay,), ask)

    rounds = Rounds([turn(bay) for bay in range(1, 7)], line="tty", answer_within_s=10, max_age_s=10)
    for _ in range(2):
        await rounds.read()
    assert turns == [1, 2, 3, 4, 5, 6, 4, 5, 6, 1, 2, 3]


async def test_a_round_goes_on_when_nobody_waits_for_it() -> None:
    devices = batteries(bays=3, slow_s=0.15)
    for bay in (1, 2, 3):
        devices.obey(f"fault {bay} slow")
    async with wired(TCP, devices) as wired_up, battery_bank(wired_up.settings(), waited_for_s=0.2) as bank:
        with pytest.raises(SensorError, match=r"no bay can be read: .* its turn has not come yet"):
            await bank.read_batteries()
        assert serials(await eventually(bank.read_batteries, lambda now: "*" not in serials(now).values()))


async def for_ever(read: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(LONGEST_WAIT_S):
        while True:
            await read()


async def test_what_is_too_old_is_not_told() -> None:
    devices = batteries(bays=2, slow_s=60)
    async with (
        wired(TCP, devices) as wired_up,
        battery_bank(wired_up.settings(bays="1-2", max_age_s=1, timeout_s=10), waited_for_s=0.2) as bank,
    ):
        await eventually(bank.read_batteries, lambda now: "*" not in serials(now).values())
        devices.obey("fault 1 slow")
        with pytest.raises(SensorError, match="s ago; the line is too slow for all on it"):
            await for_ever(bank.read_batteries)


@pytest.mark.parametrize("wire", WIRES)
async def test_a_line_that_is_gone_costs_no_time_out_for_each_bay_and_comes_back(wire: str) -> None:
    async with wired(wire, batteries()) as wired_up:
        context = battery_bank(wired_up.settings())
        bank = await context.__aenter__()
        await bank.read_batteries()
    why = "is the adapter plugged in" if wire == RTU else "no connection"
    with pytest.raises(SensorError, match="no bay can be read"):
        await bank.read_batteries()
    with pytest.raises(SensorError, match=f"no bay can be read: .*{why}"):
        await bank.read_batteries()
    if wire == TCP:
        async with wired(wire, batteries(), at=wired_up.place):
            await eventually(bank.read_batteries, lambda now: serials(now) == WELL)
    await context.__aexit__(None, None, None)


@pytest.mark.parametrize("wire", WIRES)
async def test_a_reading_that_is_given_up_costs_nothing(wire: str) -> None:
    async with wired(wire, batteries()) as wired_up, battery_bank(wired_up.settings()) as bank:
        for turns in range(10):
            asked = asyncio.ensure_future(bank.read_batteries())
            for _ in range(turns):
                await asyncio.sleep(0)
            asked.cancel()
            with suppress(asyncio.CancelledError):
                await asked
        assert serials(await bank.read_batteries()) == WELL


# --- empty bays, frozen devices, doubtful values ----------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES)
async def test_a_bay_whose_battery_is_taken_out_is_unread_unless_silence_means_empty(wire: str) -> None:
    devices = batteries()
    async with wired(wire, devices) as wired_up:
        async with battery_bank(wired_up.settings()) as bank:
            devices.obey("remove 2")
            for _ in range(4):
                assert serials(await bank.read_batteries()) == {**WELL, 2: "*"}
        async with battery_bank(wired_up.settings(silent=Silent.EMPTY)) as bank:
            shown = [serials(await bank.read_batteries())[2] for _ in range(2)]
            assert shown == ["*", "*"], "a lost answer is no missing battery"
            await eventually(bank.read_batteries, lambda now: serials(now) == {**WELL, 2: None})
            devices.obey("insert 2 PACK-0099")
            await eventually(bank.read_batteries, lambda now: serials(now) == {**WELL, 2: "PACK-0099"})


async def test_answers_that_are_lost_now_and_then_are_no_empty_bay() -> None:
    devices = batteries(bays=2)
    async with (
        wired(TCP, devices) as wired_up,
        battery_bank(wired_up.settings(bays="1-2", silent=Silent.EMPTY)) as bank,
    ):
        for _ in range(3):
            devices.obey("fault 2 silent")
            assert serials(await bank.read_batteries())[2] == "*"
            devices.obey("fault 2 none")
            await eventually(bank.read_batteries, lambda now: serials(now)[2] == "PACK-0002")


@pytest.mark.parametrize("fault", ["cut", "crc", "exception 4", "wrong-unit"])
async def test_a_bad_answer_is_never_an_empty_bay(fault: str) -> None:
    devices = batteries()
    async with wired(RTU, devices) as wired_up, battery_bank(wired_up.settings(silent=Silent.EMPTY)) as bank:
        devices.obey(f"fault 2 {fault}")
        for _ in range(5):
            assert serials(await bank.read_batteries()) == {**WELL, 2: "*"}


async def test_a_controller_of_many_bays_says_itself_which_are_empty() -> None:
    devices = batteries("bay-batteries", bays=35)
    devices.obey("remove 17")
    async with (
        wired(TCP, devices) as wired_up,
        battery_bank(wired_up.settings(registers=NameOrFile("bay-batteries"), bays="1-35")) as bank,
    ):
        found = serials(await bank.read_batteries())
    assert len(devices.devices) == 1
    assert found == {bay: None if bay == 17 else f"PACK-{bay:04d}" for bay in range(1, 36)}


async def test_what_lies_together_is_asked_for_together() -> None:
    """35 bays of one controller: five batteries a question, and 31 chargers."""
    packs, outputs = batteries("bay-batteries", bays=35), chargers("bay-chargers", bays=35)
    async with (
        wired(TCP, packs) as pack_wire,
        wired(TCP, outputs) as output_wire,
        battery_bank(pack_wire.settings(registers=NameOrFile("bay-batteries"), bays="1-35")) as pack_bank,
        charger_bank(output_wire.settings(registers=NameOrFile("bay-chargers"), bays="1-35")) as output_bank,
    ):
        for _ in range(2):
            before = packs.devices[0].requests, outputs.devices[0].requests
            await asyncio.gather(pack_bank.read_batteries(), output_bank.read_chargers())
            assert packs.devices[0].requests - before[0] == 7
            assert outputs.devices[0].requests - before[1] == 2


async def test_a_controller_that_lacks_what_lies_between_is_asked_bay_by_bay(tmp_path: Path) -> None:
    """It refuses once; nothing is lost by it, and it is not asked so again."""
    ours = Path(registers.__file__).with_name("bay-chargers.yaml").read_text()
    sparse = tmp_path / "sparse.yaml"
    sparse.write_text(ours.replace("read_across: 1\n", ""))
    devices = chargers(NameOrFile("sparse", sparse), bays=9)
    devices.obey("current 9 12.5")
    async with (
        wired(TCP, devices) as wired_up,
        charger_bank(wired_up.settings(registers=NameOrFile("bay-chargers"), bays="1-9")) as bank,
    ):
        found = await bank.read_chargers()
        assert found == {**dict.fromkeys(range(1, 9), Charger(enabled=True, current=0.0)), 9: found[9]}
        assert found[9] == Charger(enabled=True, current=12.5)
        refused = devices.devices[0].requests
        await bank.read_chargers()
        assert refused == 1 + 9
        assert devices.devices[0].requests - refused == 9


async def test_a_controller_that_is_silent_is_not_asked_for_each_bay() -> None:
    devices = chargers("bay-chargers", bays=9)
    async with (
        wired(TCP, devices) as wired_up,
        charger_bank(wired_up.settings(registers=NameOrFile("bay-chargers"), bays="1-9")) as bank,
    ):
        await bank.read_chargers()
        before = devices.devices[0].requests
        devices.obey("fault 2 silent")
        with pytest.raises(SensorError, match=r"no bay can be read: .* no answer within"):
            await bank.read_chargers()
        assert devices.devices[0].requests - before == 2
        devices.obey("fault 2 none")
        await eventually(bank.read_chargers, lambda now: "*" not in serials(now).values())


async def test_one_lost_answer_of_a_controller_costs_no_bay() -> None:
    devices = batteries("bay-batteries", bays=6)
    async with (
        wired(TCP, devices) as wired_up,
        battery_bank(wired_up.settings(registers=NameOrFile("bay-batteries"), bays="1-6")) as bank,
    ):
        await bank.read_batteries()
        before = devices.devices[0].requests
        devices.obey("fault 2 silent")
        reading = asyncio.create_task(bank.read_batteries())
        async with asyncio.timeout(LONGEST_WAIT_S):
            while devices.devices[0].requests == before:
                await asyncio.sleep(0)
        devices.obey("fault 2 none")
        assert "*" not in serials(await reading).values()


@pytest.mark.parametrize(("baudrate", "most"), [(19_200, 125), (9_600, 106), (1_200, 11)])
def test_no_more_is_asked_for_together_than_a_slow_line_carries_in_time(baudrate: int, most: int) -> None:
    """Half of the time-out, at eleven bits a character; on TCP it is the protocol that limits it."""
    serial = SerialAddress(port="/dev/null", baudrate=baudrate, parity=Parity.NONE, stop_bits=1)
    assert Line(serial).most_registers(Manners(timeout_s=0.5)) == most
    assert Line(TcpAddress(host="127.0.0.1", port=502)).most_registers(Manners(timeout_s=0.01)) == 125


async def test_bays_behind_the_last_of_one_controller_are_in_the_next() -> None:
    devices = batteries("bay-batteries", bays=66)
    devices.obey("insert 66 THE-LAST")
    async with (
        wired(TCP, devices) as wired_up,
        battery_bank(wired_up.settings(registers=NameOrFile("bay-batteries"), bays="101-166")) as bank,
    ):
        found = serials(await bank.read_batteries())
    assert [device.unit for device in devices.devices] == [1, 2]
    assert (found[164], found[165], found[166]) == ("PACK-0064", "PACK-0065", "THE-LAST")


async def test_a_frozen_device_looks_well_unless_its_map_names_a_counter() -> None:
    devices = batteries()
    async with wired(TCP, devices) as wired_up, battery_bank(wired_up.settings()) as bank:
        devices.obey("fault 2 frozen")
        devices.obey("set 2 soc 5")
        found = await bank.read_batteries()
        assert found[2].soc == 60  # type: ignore[union-attr]


async def test_a_counter_that_stands_still_gives_a_frozen_device_away(tmp_path: Path) -> None:
    ours = Path(registers.__file__).with_name("bay-batteries.yaml").read_text()
    quick = tmp_path / "quick.yaml"
    quick.write_text(ours.replace("moves_within_s: 10", "moves_within_s: 1"))
    devices = batteries("bay-batteries")
    async with (
        wired(TCP, devices) as wired_up,
        battery_bank(wired_up.settings(registers=NameOrFile("quick", quick))) as bank,
    ):
        assert serials(await bank.read_batteries()) == WELL
        devices.obey("fault 2 frozen")
        found = await eventually(bank.read_batteries, lambda now: serials(now)[2] == "*")
        assert "repeats old values: its counter stands at" in reason(found[2])
        assert serials(found) == {**WELL, 2: "*"}
        devices.obey("fault 2 none")
        assert serials(await bank.read_batteries()) == WELL


async def test_values_that_the_device_itself_doubts_are_none() -> None:
    devices = batteries("pace-bms")
    async with (
        wired(TCP, devices) as wired_up,
        battery_bank(wired_up.settings(registers=NameOrFile("pace-bms"))) as bank,
    ):
        devices.obey("flag 3 yes front end sampling fault")
        assert "the device says: front end sampling fault" in reason((await bank.read_batteries())[3])
        devices.obey("flag 3 no front end sampling fault")
        assert serials(await bank.read_batteries()) == WELL


# --- chargers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", names(MapKind.CHARGER))
@pytest.mark.parametrize("wire", WIRES)
async def test_every_map_of_ours_reads_and_switches_its_chargers(wire: str, layout: str) -> None:
    devices = chargers(layout)
    flag = devices._layout.faults[1].name
    devices.obey("current 1 12.5")
    devices.obey(f"flag 2 yes {flag}")
    async with (
        wired(wire, devices) as wired_up,
        charger_bank(wired_up.settings(registers=NameOrFile(layout))) as bank,
    ):
        assert await bank.read_chargers() == {
            1: Charger(enabled=True, current=12.5),
            2: Charger(enabled=True, current=0.0, fault=flag),
            3: Charger(enabled=True, current=0.0),
        }
        await bank.set_charging(1, enabled=False)
        assert (await bank.read_chargers())[1] == Charger(enabled=False, current=0.0)
        await bank.set_charging(1, enabled=True)
        assert (await bank.read_chargers())[1] == Charger(enabled=True, current=12.5)
        assert [charger.enabled for charger in devices.chargers.values()] == [True, True, True]


async def test_what_a_charger_does_is_feedback_and_no_echo_of_the_order() -> None:
    devices = chargers()
    async with (
        wired(RTU, devices) as wired_up,
        charger_bank(wired_up.settings(registers=NameOrFile(CHARGERS))) as bank,
    ):
        devices.obey("fault 2 disobeys")
        await bank.set_charging(2, enabled=False)
        assert (await bank.read_chargers())[2] == Charger(enabled=True, current=0.0)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("silent", "no answer within"),
        ("cut", "an answer that was cut short: 5 bytes for 8"),
        ("crc", "an answer with a wrong checksum"),
        ("exception 2", r"exception 2 \(illegal address\); asked for 0 for register 0x0000"),
    ],
)
async def test_an_order_that_fails_says_so_for_its_bay(fault: str, why: str) -> None:
    devices = chargers()
    async with (
        wired(RTU, devices) as wired_up,
        charger_bank(wired_up.settings(registers=NameOrFile(CHARGERS))) as bank,
    ):
        devices.obey(f"fault 2 {fault}")
        with pytest.raises(ActuatorError, match=why) as failed:
            await bank.set_charging(2, enabled=False)
        assert not isinstance(failed.value, ActionRefused)
        assert failed.value.bay == 2
        await bank.set_charging(3, enabled=False)
        assert not devices.chargers[3].enabled


async def test_an_order_that_cannot_be_given_was_not_begun() -> None:
    async with wired(TCP, chargers()) as wired_up:
        context = charger_bank(wired_up.settings(registers=NameOrFile(CHARGERS)))
        bank = await context.__aenter__()
        with pytest.raises(ActionRefused, match="bay 9: this line has no charger of it"):
            await bank.set_charging(9, enabled=True)
    with suppress(SensorError):
        await bank.read_chargers()
    with pytest.raises(ActionRefused, match="no connection"):
        await bank.set_charging(1, enabled=True)
    await context.__aexit__(None, None, None)


# --- several roles on one line ----------------------------------------------------------------------------


async def test_three_roles_share_one_line() -> None:
    """Batteries at 1 to 3, a climate sensor at 20 and chargers at 128 to 130, as one RS-485 line has them."""
    battery_devices, charger_devices = batteries(), chargers()
    layout = read_climate_map(NameOrFile("sht20"))
    sensor = ClimateEmulator(layout, unit=20, temperature=21.5, humidity=40, slow_s=0.4)
    line = EmulatedLine([*battery_devices.devices, *charger_devices.devices, *sensor.devices], layout.factory)
    same: dict[str, Any] = {"baudrate": 9600, "parity": Parity.NONE, "stop_bits": 1}
    async with (
        wired(RTU, line) as wired_up,
        battery_bank(wired_up.settings(**same)) as battery,
        charger_bank(wired_up.settings(registers=NameOrFile(CHARGERS), **same)) as charger,
        opened(climate_settings(wired_up, same)) as climate,
    ):
        battery_devices.obey("fault 1 slow")
        charger_devices.obey("fault 2 silent")
        for _ in range(3):
            packs, boxes, air = await asyncio.gather(
                battery.read_batteries(), charger.read_chargers(), climate.read_climate()
            )
            assert serials(packs) == {**WELL, 1: "*"}
            assert [isinstance(box, Charger) for box in boxes.values()] == [True, False, True]
            assert air.temperature == 21.5


def climate_settings(wired_up: BayWire, same: dict[str, Any]) -> Any:
    return wired_up.settings(registers=NameOrFile("sht20"), bays=None, unit=20, **same)


async def test_a_role_that_ends_leaves_the_line_to_the_others() -> None:
    async with wired(RTU, batteries()) as wired_up, battery_bank(wired_up.settings()) as bank:
        async with battery_bank(wired_up.settings(bays="5", unit=2)) as other:
            assert serials(await other.read_batteries()) == {5: "PACK-0002"}
        await other.aclose()
        assert serials(await bank.read_batteries()) == WELL


async def test_units_may_lie_apart() -> None:
    devices = batteries(first_unit=10, units_apart=5)
    async with (
        wired(TCP, devices) as wired_up,
        battery_bank(wired_up.settings(bays=(7, "9-10"), unit=10, units_apart=5)) as bank,
    ):
        assert serials(await bank.read_batteries()) == {7: "PACK-0001", 9: "PACK-0002", 10: "PACK-0003"}


def test_a_reading_tells_what_is_known_before_it_is_given_up() -> None:
    pace = Pace.of(waited_for_s=2.0, max_age_s=None)
    assert 0 < pace.answer_within_s < 2.0
    assert pace.max_age_s == MAX_AGE_S


@pytest.mark.parametrize("pause_ms", [0, 120])
async def test_a_device_that_needs_a_pause_gets_it(pause_ms: int) -> None:
    """PACE: more than 100 ms between frames."""
    layout = "pace-bms" if pause_ms else BATTERIES
    async with (
        wired(RTU, batteries(layout)) as wired_up,
        battery_bank(wired_up.settings(registers=NameOrFile(layout))) as bank,
    ):
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await bank.read_batteries()
        took = loop.time() - begun
    if pause_ms:
        assert took > 5 * 0.1, "six questions have five pauses between them"
