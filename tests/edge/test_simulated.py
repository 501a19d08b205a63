"""The simulated station: one seed, one story; batteries and customers as the real ones behave."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evswap_edge.drivers import SettingRefused, Surroundings, load_driver, open_cabinet
from evswap_edge.drivers.simulated import KIND, CustomersAre, Faults, Settings, SimulatedCabinet
from evswap_edge.hal import ActionRefused, BayActuators, Climate, SafetyInputs, SensorError, TokenReader
from evswap_edge.simulation.stations import StationType
from evswap_edge.testing import ManualTime
from evswap_schema import Bay, Charge, Health, Lock, Occupancy

Story = list[tuple[Climate, list[Bay]]]


async def tell(pauses: list[float], *, seed: int = 1, station_id: str = "station-01", bays: int = 8) -> Story:
    """What is seen of a new station at the end of each of ``pauses``."""
    time = ManualTime()
    cabinet = SimulatedCabinet(Settings(bays=bays, seed=seed), Surroundings(station_id=station_id, time=time))
    story = []
    for pause in pauses:
        await time.advance(pause)
        story.append((await cabinet.read_climate(), list(await cabinet.read_bays())))
    return story


async def test_one_seed_tells_one_story_and_another_station_another() -> None:
    pauses = [600.0] * 6
    assert await tell(pauses) == await tell(pauses)
    assert await tell(pauses) != await tell(pauses, seed=2)
    assert await tell(pauses) != await tell(pauses, station_id="station-02")


@given(st.lists(st.integers(min_value=0, max_value=1_200), min_size=1, max_size=8))
def test_the_story_does_not_depend_on_how_often_it_is_looked_at(quarters: list[int]) -> None:
    """In quarters of a second, which add up without rounding."""
    often = asyncio.run(tell([each / 4 for each in quarters]))
    once = asyncio.run(tell([sum(quarters) / 4]))
    assert often[-1] == once[-1]


async def test_it_changes_from_sample_to_sample() -> None:
    story = await tell([5.0] * 10)
    assert len({climate.temperature for climate, _ in story}) > 5


async def test_a_day_has_about_the_swaps_of_a_real_station_and_most_of_them_by_day() -> None:
    story = await tell([1_800.0] * 48, bays=16)
    serials = [{bay.battery.serial_number for bay in bays if bay.battery} for _, bays in story]
    swaps = [len(after - before) for before, after in pairwise(serials)]
    assert 35 < sum(swaps) < 110
    assert all(len(bays) == 16 for _, bays in story)


async def test_bays_say_the_same_in_all_their_states() -> None:
    for climate, bays in await tell([900.0] * 40):
        assert 0 <= climate.humidity <= 100
        for number, bay in enumerate(bays, start=1):
            assert bay.bay == number
            assert (bay.occupancy is Occupancy.OCCUPIED) == (bay.battery is not None)
            assert (bay.charge is Charge.NONE) == (bay.battery is None)
            if bay.battery:
                assert (bay.charge is Charge.CHARGING) == (bay.battery.current > 0)


async def test_time_can_run_faster() -> None:
    time = ManualTime()
    cabinet = SimulatedCabinet(
        Settings(bays=8, seed=1, speed=600.0), Surroundings(station_id="station-01", time=time)
    )
    await time.advance(6.0)
    assert list(await cabinet.read_bays()) == (await tell([3_600.0]))[0][1]


@pytest.mark.parametrize("bays", [1, 250])
async def test_it_is_opened_by_its_name(bays: int) -> None:
    kind = load_driver("simulated")
    cabinet = await open_cabinet(
        kind, kind.settings(bays=bays), Surroundings(station_id="station-01", time=ManualTime())
    )
    assert len(await cabinet.read_bays()) == bays
    await cabinet.aclose()


# --- what it is told to do --------------------------------------------------------------------------------


def told(*, speed: float = 1.0, bays: int = 8) -> tuple[SimulatedCabinet, ManualTime]:
    time = ManualTime()
    settings = Settings(bays=bays, speed=speed)
    return SimulatedCabinet(settings, Surroundings(station_id="station-01", time=time)), time


async def bay_of(cabinet: SimulatedCabinet, number: int) -> Bay:
    return (await cabinet.read_bays())[number - 1]


async def first(cabinet: SimulatedCabinet, charge: Charge) -> int:
    return next(bay.bay for bay in await cabinet.read_bays() if bay.charge is charge)


async def test_it_acts_on_its_bays() -> None:
    assert isinstance(told()[0], BayActuators)


@pytest.mark.parametrize("speed", [1.0, 10_000.0])
async def test_a_bay_that_is_unlocked_shows_it_and_locks_again_by_itself(speed: float) -> None:
    """A door is opened by people, however fast the world turns."""
    cabinet, time = told(speed=speed)
    await cabinet.unlock(3)
    assert [bay.bay for bay in await cabinet.read_bays() if bay.lock is Lock.UNLOCKED] == [3]
    await time.advance(14.0)
    assert (await bay_of(cabinet, 3)).lock is Lock.UNLOCKED
    await time.advance(1.0)
    assert (await bay_of(cabinet, 3)).lock is Lock.LOCKED


async def test_charging_that_is_disabled_stops_the_current_until_it_is_enabled_again() -> None:
    cabinet, time = told()
    await time.advance(5.0)
    number = await first(cabinet, Charge.CHARGING)
    await cabinet.set_charging(number, enabled=False)
    stopped = await bay_of(cabinet, number)
    await time.advance(60.0)
    later = await bay_of(cabinet, number)
    assert stopped.battery is not None
    assert later.battery is not None
    assert (stopped.charge, stopped.battery.current) == (Charge.WAITING, 0.0)
    assert (later.charge, later.battery.soc) == (Charge.WAITING, stopped.battery.soc)
    await cabinet.set_charging(number, enabled=True)
    await time.advance(60.0)
    again = await bay_of(cabinet, number)
    assert again.battery is not None
    assert again.charge is Charge.CHARGING
    assert again.battery.current > 0


async def test_what_cannot_be_done_is_refused_and_nothing_moves() -> None:
    cabinet, _ = told()
    before = list(await cabinet.read_bays())
    with pytest.raises(ActionRefused, match=r"bay 9: there are bays 1 to 8"):
        await cabinet.unlock(9)
    assert list(await cabinet.read_bays()) == before


# --- customers who show a token, and what else there is -----------------------------------------------------


def cabinet_of(**chosen: Any) -> tuple[SimulatedCabinet, ManualTime]:
    time = ManualTime()
    settings = Settings(**chosen)
    return SimulatedCabinet(settings, Surroundings(station_id="station-01", time=time)), time


async def test_a_customer_s_token_is_read_and_he_is_served_by_unlocking() -> None:
    cabinet, time = cabinet_of(customers=CustomersAre.PRESENT_TOKENS, faults=Faults.NONE)
    assert isinstance(cabinet, TokenReader)
    reading = asyncio.create_task(cabinet.read_token())
    while not reading.done():
        await time.advance(60.0)
    assert reading.result().startswith("station-01-rider-")
    before = {bay.bay: bay.battery for bay in await cabinet.read_bays()}
    empty, charged = await first(cabinet, Charge.NONE), await first(cabinet, Charge.CHARGED)
    await cabinet.unlock(empty)
    await time.advance(10.0)
    assert (await bay_of(cabinet, empty)).battery is not None
    await time.advance(15.0)
    await cabinet.unlock(charged)
    await time.advance(10.0)
    taken = await bay_of(cabinet, charged)
    assert before[charged] is not None
    assert (taken.occupancy, taken.lock) == (Occupancy.EMPTY, Lock.LOCKED)


async def test_no_token_is_lost_by_giving_up_to_wait_for_it() -> None:
    cabinet, time = cabinet_of(customers=CustomersAre.PRESENT_TOKENS, faults=Faults.NONE)
    while not cabinet.world.tokens:
        waiting = asyncio.create_task(cabinet.read_token())
        await time.advance(0.0)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        time.stall(60.0)
        await cabinet.read_bays()
    assert await cabinet.read_token()


async def test_nobody_shows_a_token_where_customers_serve_themselves() -> None:
    cabinet, time = cabinet_of()
    reading = asyncio.create_task(cabinet.read_token())
    await time.advance(6 * 3_600.0)
    assert not reading.done()
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading


@pytest.mark.parametrize("speed", [1.0, 25.0, 10_000.0])
async def test_the_story_is_the_same_at_every_speed(speed: float) -> None:
    cabinet, time = cabinet_of(speed=speed)
    while cabinet.world.steps < 2_000:
        await time.advance(500.0 / speed)
        await cabinet.read_climate()
    slow, slowly = cabinet_of()
    await slowly.advance(cabinet.world.seconds)
    await slow.read_bays()
    assert slow.world.digest() == cabinet.world.digest()


async def test_faults_are_seen_as_hardware_shows_them() -> None:
    cabinet, time = cabinet_of(faults=Faults.FREQUENT, speed=100.0)
    assert isinstance(cabinet, SafetyInputs)
    blind, broken, unlocked_by_a_blocked_door = False, False, False
    for _ in range(3_000):
        await time.advance(20.0)
        try:
            await cabinet.read_climate()
        except SensorError:
            blind = True
        for bay in await cabinet.read_bays():
            if bay.occupancy is Occupancy.OCCUPIED and bay.battery is None:
                assert (bay.health, bay.charge) == (Health.FAULT, Charge.WAITING)
                broken = True
        for number in (await cabinet.read_safety()).blocked_doors:
            assert (await bay_of(cabinet, number)).lock is Lock.UNLOCKED
            unlocked_by_a_blocked_door = True
        if blind and broken and unlocked_by_a_blocked_door:
            return
    raise AssertionError("two years of faults a hundred times as frequent did not show")


@pytest.mark.parametrize(("name", "bays"), [("kiosk", 8), ("street", 35), ("hub", 120)])
async def test_a_type_of_station_says_how_many_bays_it_has(name: str, bays: int) -> None:
    cabinet, _ = cabinet_of(station_type=StationType(name))
    assert len(await cabinet.read_bays()) == bays
    assert KIND.bays(Settings(station_type=StationType(name))) == tuple(range(1, bays + 1))


def test_a_type_that_contradicts_the_number_of_bays_is_refused() -> None:
    KIND.check(Settings(bays=35, station_type=StationType.STREET))
    with pytest.raises(SettingRefused, match="a street has 35 bays, and bays says 12"):
        KIND.check(Settings(bays=12, station_type=StationType.STREET))


async def test_the_story_begins_when_it_is_told_to() -> None:
    winter = datetime(2026, 1, 15, 3, tzinfo=UTC)
    cold, _ = cabinet_of(start=winter, latitude=55.0)
    warm, _ = cabinet_of(start=datetime(2026, 7, 15, 15, tzinfo=UTC), latitude=25.0)
    assert (await cold.read_climate()).temperature < (await warm.read_climate()).temperature - 10.0
