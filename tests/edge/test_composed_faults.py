"""What each trouble of a driver costs in a station of several: its own fields, for its own time."""

import asyncio
import logging
import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from evswap_edge.drivers.composed import composed, open_composed
from evswap_edge.drivers.merging import merged, unknown
from evswap_edge.drivers.troubles import CLEAR_AFTER_S, RAISE_AFTER_S
from evswap_edge.hal import (
    ActionRefused,
    Charger,
    Climate,
    DriverUnavailable,
    Safety,
    SafetyInputs,
    SensorError,
    TokenReader,
    Unread,
)
from evswap_edge.testing import ManualTime, charged_bay
from evswap_schema import Bay, Charge, Health, Lock, Occupancy
from tests.edge.banks import (
    HANGS,
    QUICK_S,
    Batteries,
    Chargers,
    Locks,
    Reader,
    Watch,
    Weather,
    Whole,
    battery,
    charging,
    locked,
    part,
    station,
    surroundings,
)
from tests.edge.conftest import Eventually

SILENT = SensorError(sensor="/dev/x", reason="silence")


# --- what a bay is ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("soc", "current", "charger", "charge"),
    [
        (50.0, 12.0, None, Charge.CHARGING),
        (50.0, 0.0, None, Charge.WAITING),
        (50.0, -3.0, None, Charge.WAITING),
        (99.0, 0.0, None, Charge.CHARGED),
        (50.0, 12.0, Charger(enabled=True), Charge.CHARGING),
        (50.0, 0.0, Charger(enabled=True, current=8.0), Charge.CHARGING),
        (50.0, 12.0, Charger(enabled=True, current=0.0), Charge.WAITING),
        (50.0, 12.0, Charger(enabled=False), Charge.WAITING),
        (50.0, 12.0, Charger(enabled=True, fault="fan"), Charge.WAITING),
        (99.5, 0.0, Charger(enabled=False), Charge.CHARGED),
        (50.0, 12.0, Unread("silence"), Charge.CHARGING),
    ],
)
def test_charge_comes_from_the_charger_and_else_from_the_battery(
    soc: float, current: float, charger: Charger | Unread | None, charge: Charge
) -> None:
    assert merged(1, battery(1, soc=soc, current=current), None, charger).charge is charge


def test_a_bay_whose_battery_is_unread_is_neither_empty_nor_occupied() -> None:
    bay = merged(1, Unread("silence"), Lock.LOCKED, Charger(enabled=True, current=9.0))
    assert (bay.occupancy, bay.battery, bay.charge) == (Occupancy.UNKNOWN, None, Charge.NONE)
    assert (bay.lock, bay.health) == (Lock.LOCKED, Health.FAULT)


def test_a_charger_that_has_a_fault_takes_its_bay_out_of_swaps() -> None:
    assert merged(1, battery(1), None, Charger(enabled=True, fault="fan")).health is Health.FAULT
    assert merged(1, None, None, None).health is Health.HEALTHY


# --- a station --------------------------------------------------------------------------------------------


class Rig:
    """Bays 1 to 3 on one driver, 4 on another; locks and chargers of all."""

    def __init__(self, *, within_s: float = QUICK_S) -> None:
        self.time = ManualTime()
        self.told: dict[str, str | None] = {}
        self.weather = Weather()
        self.first = Batteries(says={1: battery(1), 2: None, 3: battery(3, soc=99.5, current=0.0)})
        self.second = Batteries(says={4: battery(4)})
        self.locks = Locks(says=locked(1, 2, 3, 4))
        self.chargers = Chargers(says=charging(1, 2, 3, 4))
        self.cabinet = composed(
            station(
                part(self.weather),
                part(self.first, 1, 2, 3, name="can"),
                part(self.second, 4, name="can"),
                part(self.locks, 1, 2, 3, 4, name="gpio"),
                part(self.chargers, 1, 2, 3, 4, name="modbus"),
            ),
            surroundings(self.time, within_s=within_s, told=self.told),
        )

    async def bays(self) -> Mapping[int, Bay]:
        return {bay.bay: bay for bay in await self.cabinet.read_bays()}


async def test_each_bay_is_put_together_of_what_its_drivers_say() -> None:
    bays = await Rig().bays()
    assert list(bays) == [1, 2, 3, 4]
    assert [bay.occupancy for bay in bays.values()] == [
        Occupancy.OCCUPIED,
        Occupancy.EMPTY,
        Occupancy.OCCUPIED,
        Occupancy.OCCUPIED,
    ]
    assert [bay.charge for bay in bays.values()] == [
        Charge.CHARGING,
        Charge.NONE,
        Charge.CHARGED,
        Charge.CHARGING,
    ]
    assert {bay.lock for bay in bays.values()} == {Lock.LOCKED}
    assert bays[4].battery == battery(4)


async def test_a_battery_that_finds_itself_at_fault_is_no_healthy_one() -> None:
    rig = Rig()
    good = await rig.bays()
    rig.first.faults = {1: ("OverTemperature",), 2: Unread("no frame"), 3: 7}
    bays = await rig.bays()
    assert bays == {**good, 1: replace(good[1], health=Health.FAULT)}
    rig.first.faults = SensorError(sensor="can0", reason="is silent")
    assert await rig.bays() == good


async def test_without_locks_and_chargers_it_knows_none_and_moves_nothing() -> None:
    bank = Batteries(says={1: battery(1)})
    cabinet = composed(station(part(Weather()), part(bank, 1)), surroundings())
    (bay,) = await cabinet.read_bays()
    assert (bay.lock, bay.charge) == (Lock.UNKNOWN, Charge.CHARGING)
    with pytest.raises(ActionRefused, match="bay 1: no driver has its lock"):
        await cabinet.unlock(1)
    with pytest.raises(ActionRefused, match="bay 1: no driver has its charger"):
        await cabinet.set_charging(1, enabled=True)
    with pytest.raises(ActionRefused, match="bay 2: there are bays 1"):
        await cabinet.unlock(2)


async def test_an_action_goes_to_the_driver_of_its_bay() -> None:
    rig = Rig()
    await rig.cabinet.unlock(4)
    await rig.cabinet.set_charging(2, enabled=False)
    assert rig.locks.done == [("unlock", 4)]
    assert rig.chargers.done == [("off", 2)]
    absent = composed(
        station(part(DriverUnavailable(device="x", reason="gone"), 1, role=part(Locks(), 1).role)),
        surroundings(),
    )
    with pytest.raises(ActionRefused, match="bay 1: x: gone"):
        await absent.unlock(1)


@pytest.mark.parametrize("trouble", [SILENT, HANGS, ZeroDivisionError("a bug"), {}, None, 7])
async def test_whatever_one_driver_does_costs_its_own_field(trouble: Any) -> None:
    good = await Rig().bays()
    rig = Rig()
    rig.first.says = trouble
    bays = await rig.bays()
    assert bays[4] == good[4]
    for bay in (1, 2, 3):
        assert bays[bay] == replace(
            good[bay], occupancy=Occupancy.UNKNOWN, battery=None, charge=Charge.NONE, health=Health.FAULT
        )
    rig = Rig()
    rig.locks.says = trouble
    assert await rig.bays() == {n: replace(bay, lock=Lock.UNKNOWN) for n, bay in good.items()}
    rig = Rig()
    rig.chargers.says = trouble
    assert await rig.bays() == good


@pytest.mark.parametrize(
    "spoilt",
    [
        Unread("no frame"),
        replace(battery(1), soc=101.0),
        replace(battery(1), soc=math.nan),
        replace(battery(1), voltage=math.inf),
        replace(battery(1), serial_number=""),
        "a text",
        7,
    ],
)
async def test_what_the_contract_refuses_costs_its_own_bay(spoilt: Any) -> None:
    good = await Rig().bays()
    rig = Rig()
    rig.first.says = {**rig.first.says, 1: spoilt}
    bays = await rig.bays()
    assert bays[1].occupancy is Occupancy.UNKNOWN
    assert bays[1].battery is None
    assert {n: bays[n] for n in (2, 3, 4)} == {n: good[n] for n in (2, 3, 4)}


@pytest.mark.parametrize("current", [math.nan, math.inf])
async def test_a_charger_whose_current_is_no_number_is_unread(current: float) -> None:
    rig = Rig()
    rig.chargers.says = {**rig.chargers.says, 1: Charger(enabled=True, current=current)}
    assert (await rig.bays())[1].charge is Charge.CHARGING


async def test_a_whole_bay_that_makes_no_sense_is_unknown_and_no_other() -> None:
    bad = Bay(**{**_fields(charged_bay(2)), "occupancy": Occupancy.EMPTY, "battery": battery(2)})
    bank = Whole(says=[charged_bay(1), bad, charged_bay(3), charged_bay(3), charged_bay(9)])
    cabinet = composed(station(part(Weather()), part(bank, 1, 2, 3, 4)), surroundings())
    assert await cabinet.read_bays() == (charged_bay(1), unknown(2), unknown(3), unknown(4))


def _fields(bay: Bay) -> dict[str, Any]:
    return {name: getattr(bay, name) for name in bay.__struct_fields__}


async def test_a_driver_that_hangs_on_owes_its_answer_and_is_not_asked_again(eventually: Eventually) -> None:
    rig = Rig()
    rig.first.says, rig.first.stubborn = HANGS, True
    for _ in range(3):
        bays = await rig.bays()
        assert bays[1].occupancy is Occupancy.UNKNOWN
        assert bays[4].occupancy is Occupancy.OCCUPIED
    assert rig.first.asked == 1
    assert rig.second.asked == 3
    rig.first.says = {1: battery(1), 2: None, 3: None}
    await eventually(lambda: rig.first.asked)
    async with asyncio.timeout(5):
        while (await rig.bays())[1].battery != battery(1):
            await asyncio.sleep(0.001)


async def test_two_who_read_at_once_share_one_reading() -> None:
    rig = Rig(within_s=5.0)
    one, other = await asyncio.gather(rig.bays(), rig.bays())
    assert one == other
    assert rig.first.asked == 1


async def test_who_gives_up_takes_nothing_from_who_waits_on(eventually: Eventually) -> None:
    rig = Rig(within_s=5.0)
    says, rig.first.says = rig.first.says, HANGS
    impatient, patient = asyncio.create_task(rig.bays()), asyncio.create_task(rig.bays())
    await eventually(lambda: rig.first.asked)
    impatient.cancel()
    rig.first.says = says
    assert (await patient)[1].battery == battery(1)
    assert rig.first.asked == 1


# --- what is said of it -----------------------------------------------------------------------------------


async def test_each_trouble_is_logged_when_it_begins_and_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="evswap_edge.drivers")
    rig = Rig()
    good = rig.first.says
    for says in (
        good,
        SILENT,
        SILENT,
        {**good, 2: Unread("stale")},
        {**good, 2: Unread("stale")},
        good,
        good,
    ):
        rig.first.says = says
        await rig.bays()
    assert [record.getMessage() for record in caplog.records] == [
        "sensor batteries_can: /dev/x: silence",
        "sensor batteries_can: works again after 0.0 s",
        "sensor batteries_can, bay 2: stale",
        "sensor batteries_can, bay 2: works again after 0.0 s",
    ]


async def test_an_alarm_is_raised_by_what_lasts_and_cleared_by_what_stays_well() -> None:
    rig = Rig()
    good, name = rig.second.says, "batteries_can_2"
    await rig.bays()
    assert rig.told[name] is None

    async def after(seconds: float, says: Any) -> str | None:
        await rig.time.advance(seconds)
        rig.second.says = says
        await rig.bays()
        return rig.told[name]

    assert await after(0, SILENT) is None
    assert await after(RAISE_AFTER_S - 1, SILENT) is None
    assert await after(1, SILENT) == "/dev/x: silence"
    assert await after(1, good) == "/dev/x: silence"
    assert await after(CLEAR_AFTER_S - 1, good) == "/dev/x: silence"
    assert await after(0, SILENT) == "/dev/x: silence"
    assert await after(0, good) == "/dev/x: silence"
    assert await after(CLEAR_AFTER_S - 1, good) == "/dev/x: silence"
    assert await after(1, good) is None
    assert await after(0, SILENT) is None
    assert await after(RAISE_AFTER_S - 1, good) is None
    assert await after(1, SILENT) is None


# --- opening and closing ----------------------------------------------------------------------------------


async def test_what_cannot_be_opened_costs_its_own_fields_until_it_can() -> None:
    """It is tried again by the next reading, and after that less and less often."""
    locks, time = Locks(says=locked(1)), ManualTime()
    absent = part(locks, 1)
    trouble: list[Exception] = [DriverUnavailable(device="GPIO", reason="no pins")]
    attempts: list[float] = []

    async def opens(*_: Any) -> Locks:
        attempts.append(time.monotonic() - began)
        if trouble:
            raise trouble[0]
        return locks

    object.__setattr__(absent.kind, "open", opens)
    bank, began = Batteries(says={1: battery(1)}), time.monotonic()
    cabinet = await open_composed(station(part(Weather()), part(bank, 1), absent), surroundings(time))
    for _ in range(40):
        (bay,) = await cabinet.read_bays()
        assert (bay.lock, bay.battery) == (Lock.UNKNOWN, battery(1))
        time.stall(1.0)
    assert attempts == [0, 0, 1, 3, 8, 18, 28, 38]
    trouble.clear()
    time.stall(10.0)
    (bay,) = await cabinet.read_bays()
    assert bay.lock is Lock.LOCKED
    await cabinet.aclose()
    assert locks.closed == bank.closed == 1


async def test_an_opening_that_hangs_holds_up_nobody_and_is_not_begun_twice() -> None:
    began, gate = 0, asyncio.Event()
    locks = Locks(says=locked(1))
    slow = part(locks, 1)

    async def opens(*_: Any) -> Locks:
        nonlocal began
        began += 1
        await gate.wait()
        return locks

    object.__setattr__(slow.kind, "open", opens)
    cabinet = await open_composed(
        station(part(Weather()), part(Batteries(says={1: battery(1)}), 1), slow), surroundings()
    )
    for _ in range(2):
        (bay,) = await cabinet.read_bays()
        assert (bay.lock, bay.battery) == (Lock.UNKNOWN, battery(1))
    gate.set()
    (bay,) = await cabinet.read_bays()
    assert bay.lock is Lock.LOCKED
    assert began == 1
    await cabinet.aclose()
    assert locks.closed == 1


async def test_an_opening_that_still_hangs_at_the_end_is_given_up() -> None:
    slow = part(Locks(), 1)

    async def opens(*_: Any) -> Locks:
        await asyncio.Event().wait()
        raise AssertionError

    object.__setattr__(slow.kind, "open", opens)
    cabinet = await open_composed(station(part(Weather()), slow), surroundings())
    await cabinet.aclose()
    await cabinet.aclose()


async def test_all_is_given_back_also_when_one_fails_at_it() -> None:
    class Stuck(Batteries):
        async def aclose(self) -> None:
            raise SensorError(sensor="can0", reason="will not close")

    locks = Locks(says=locked(1))
    cabinet = await open_composed(
        station(part(Stuck(), 1, role=part(Batteries(), 1).role), part(locks, 1)), surroundings()
    )
    with pytest.raises(SensorError, match="will not close"):
        await cabinet.aclose()
    assert locks.closed == 1


# --- safety and tokens ------------------------------------------------------------------------------------


async def test_only_a_station_with_safety_inputs_looks_like_one() -> None:
    for others, watched, has_reader in (
        ((), False, False),
        ((Watch(),), True, False),
        ((Reader(),), False, True),
        ((Watch(), Reader()), True, True),
    ):
        cabinet = composed(station(part(Weather()), *(part(each) for each in others)), surroundings())
        assert isinstance(cabinet, SafetyInputs) is watched
        assert isinstance(cabinet, TokenReader) is has_reader


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Safety(smoke=False), Safety(smoke=False), Safety(smoke=False)),
        (Safety(smoke=False), Safety(smoke=True), Safety(smoke=True)),
        (SILENT, Safety(smoke=True), Safety(smoke=True)),
        (SILENT, Safety(smoke=False), SILENT),
        (
            Safety(smoke=False, blocked_doors=frozenset({1})),
            Safety(smoke=False, blocked_doors=frozenset({2})),
            Safety(smoke=False, blocked_doors=frozenset({1, 2})),
        ),
    ],
)
async def test_danger_that_anybody_sees_counts(one: Any, other: Any, expected: Any) -> None:
    cabinet = composed(
        station(part(Weather()), part(Watch(says=one)), part(Watch(says=other))), surroundings()
    )
    assert isinstance(cabinet, SafetyInputs)
    if isinstance(expected, Exception):
        with pytest.raises(SensorError, match="silence"):
            await cabinet.read_safety()
    else:
        assert await cabinet.read_safety() == expected


async def test_climate_and_tokens_come_from_their_driver() -> None:
    climate = Climate(temperature=3.0, humidity=4.0)
    cabinet = composed(station(part(Weather(says=climate)), part(Reader(says="04A1"))), surroundings())
    assert await cabinet.read_climate() == climate
    assert isinstance(cabinet, TokenReader)
    assert await cabinet.read_token() == "04A1"


# --- no combination of troubles makes a wrong value good --------------------------------------------------

BAYS = (1, 2, 3, 4)
truths = st.fixed_dictionaries(
    {
        "batteries": st.fixed_dictionaries(
            {
                bay: st.none()
                | st.builds(
                    lambda bay, soc, current: battery(bay, soc=soc, current=current),
                    st.just(bay),
                    st.floats(0, 100),
                    st.sampled_from([-5.0, 0.0, 12.0]),
                )
                for bay in BAYS
            }
        ),
        "locks": st.fixed_dictionaries(dict.fromkeys(BAYS, st.sampled_from([Lock.LOCKED, Lock.UNLOCKED]))),
    }
)
whole_troubles = st.sampled_from([None, None, SILENT, HANGS, ZeroDivisionError("a bug"), 7])
_SPOILT: Any = [
    Unread("stale"),
    "left out",
    replace(battery(1), soc=250.0),
    replace(battery(1), temperature=math.nan),
    3.5,
    Charger(enabled=True, current=math.nan),
]
bay_troubles = st.dictionaries(st.sampled_from(BAYS), st.sampled_from(_SPOILT))


def spoilt(truth: Mapping[int, Any], whole: Any, bays: Mapping[int, Any]) -> Any:
    """What a driver says that knows the ``truth`` and has these troubles."""
    if whole is not None:
        return whole
    said = {**truth, **{bay: trouble for bay, trouble in bays.items() if bay in truth}}
    return {bay: value for bay, value in said.items() if value != "left out"}


@settings(max_examples=150, deadline=None)
@given(truths, st.tuples(*[whole_troubles] * 4), st.tuples(*[bay_troubles] * 4))
def test_no_combination_of_troubles_makes_a_wrong_value_good(
    truth: dict[str, dict[int, Any]], whole: tuple[Any, ...], bays: tuple[dict[int, Any], ...]
) -> None:
    asyncio.run(_hold(truth, whole, bays))


async def _hold(
    truth: dict[str, dict[int, Any]], whole: tuple[Any, ...], bays: tuple[dict[int, Any], ...]
) -> None:
    hangs = HANGS in whole
    rig = Rig(within_s=0.02 if hangs else 5.0)
    batteries, locks = truth["batteries"], truth["locks"]
    chargers = {
        bay: Charger(enabled=True, current=each.current if each else 0.0) for bay, each in batteries.items()
    }
    firsts, seconds = {n: batteries[n] for n in (1, 2, 3)}, {4: batteries[4]}
    rig.first.says = spoilt(firsts, whole[0], bays[0])
    rig.second.says = spoilt(seconds, whole[1], bays[1])
    rig.locks.says = spoilt(locks, whole[2], bays[2])
    rig.chargers.says = spoilt(chargers, whole[3], bays[3])
    seen = await rig.bays()
    await rig.cabinet.aclose()
    assert tuple(seen) == BAYS
    for number, bay in seen.items():
        first = number in (1, 2, 3)
        troubled = whole[0 if first else 1] is not None or number in bays[0 if first else 1]
        unread = bay.occupancy is Occupancy.UNKNOWN
        assert unread or not troubled
        assert troubled or hangs or not unread, "beside one that hangs, a slow machine may time another out"
        true = Unread("") if unread else batteries[number]
        assert bay == merged(number, true, bay.lock, chargers[number])
        lock_troubled = whole[2] is not None or number in bays[2]
        assert bay.lock in ({Lock.UNKNOWN} if lock_troubled else {locks[number], Lock.UNKNOWN})
        assert lock_troubled or hangs or bay.lock is locks[number]
