"""The simulated world: one seed one story, energy that is never made, batteries that are in one place, and
figures as real stations have them."""

import json
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice, pairwise
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evswap_edge.command_line import main
from evswap_edge.simulation import FiguresOutside, faults, plots, report
from evswap_edge.simulation.arrivals import Calendar, activity, arrivals, expected
from evswap_edge.simulation.cabinet import shared_fairly
from evswap_edge.simulation.chance import stream
from evswap_edge.simulation.customers import What
from evswap_edge.simulation.faults import REALISTIC, Breakdowns, Fault
from evswap_edge.simulation.pack import LARGE, SMALL, Pack
from evswap_edge.simulation.stations import BAYS, StationType, tiers_for
from evswap_edge.simulation.weather import Normals, Weather, relative_humidity
from evswap_edge.simulation.world import STEP_S, Happening, Story, World

MONDAY = datetime(2026, 6, 1, tzinfo=UTC)
DAY_S = 86_400.0
HOUR = round(3_600 / STEP_S)


def story(seed: int = 1, *, bays: int = 8, **changed: Any) -> Story:
    return Story(**{"seed": f"{seed}/station-01", "bays": bays, "start": MONDAY, **changed})


def played(told: Story, *, hours: float) -> World:
    world = World(told)
    for _ in range(round(hours * HOUR)):
        world.step()
    return world


# --- one seed, one story --------------------------------------------------------------------------------


def test_one_seed_tells_one_story() -> None:
    assert played(story(), hours=12).digest() == played(story(), hours=12).digest()
    assert played(story(), hours=1).digest() != played(story(2), hours=1).digest()


def test_the_digest_notices_a_watt() -> None:
    other = replace(story().electrics, standby_w=2.01)
    assert played(story(), hours=1).digest() != played(story(electrics=other), hours=1).digest()


class Heard:
    """What of a story does not depend on what is done at the station."""

    def __init__(self, told: Story) -> None:
        self.arrivals: list[float] = []
        self.faults: list[tuple[float, str]] = []
        self.outside: list[float] = []
        self.world = World(told, self.witness)

    def witness(self, happening: Happening) -> None:
        if happening.what is What.ARRIVES:
            self.arrivals.append(happening.seconds)
        elif happening.what is What.BREAKS:
            self.faults.append((happening.seconds, happening.particulars))

    def step(self) -> None:
        self.world.step()
        self.outside.append(self.world.outside)


@settings(max_examples=10)
@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.sampled_from(["unlock", "stop", "go"]), st.integers(1, 8)),
        max_size=20,
    )
)
def test_what_is_done_with_bays_changes_neither_weather_nor_faults_nor_arrivals(
    orders: list[tuple[int, str, int]],
) -> None:
    told = story(fault_factor=100.0)
    alone, ordered = Heard(told), Heard(told)
    for step in range(3 * HOUR):
        for _, what, bay in (order for order in orders if order[0] == step):
            obey(ordered.world, what, bay)
        alone.step()
        ordered.step()
    assert ordered.outside == alone.outside
    assert ordered.faults == alone.faults
    assert ordered.arrivals == alone.arrivals


def obey(world: World, what: str, bay: int) -> None:
    if what == "unlock":
        world.unlock(bay)
    else:
        world.set_charging(bay, enabled=what == "go")


# --- invariants -----------------------------------------------------------------------------------------


def everywhere(world: World) -> Counter[str]:
    """Each battery of the network, wherever it is."""
    in_bays = [slot.pack for slot in world.slots if slot.pack is not None]
    with_riders = [pack for rider in (*world.riding, *world.visiting) for pack in rider.packs]
    return Counter(
        pack.serial_number for pack in (*in_bays, *with_riders, *world.retired) if not pack.foreign
    )


def check(world: World) -> None:
    book = world.cabinet.take_stock()
    assert abs(book.electric_error) < 1.0, "to the joule"
    assert abs(book.thermal_error) < 1.0, "to the joule"
    assert all(0.0 <= slot.pack.soc <= 1.0 for slot in world.slots if slot.pack is not None)
    assert everywhere(world) == Counter(pack.serial_number for pack in world.packs), "each in one place"
    limit_w = world.story.electrics.cabinet_w_per_bay * world.story.bays
    assert world.cabinet.charging_w <= limit_w * 1.0001


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    bays=st.integers(1, 40),
    factor=st.sampled_from([0.0, 1.0, 300.0]),
    presents=st.booleans(),
    latitude=st.sampled_from([-35.0, 0.0, 25.0, 60.0]),
    orders=st.lists(st.tuples(st.sampled_from(["unlock", "stop", "go"]), st.integers(1, 40))),
)
def test_energy_is_never_made_and_a_battery_is_in_one_place(
    seed: int, bays: int, factor: float, presents: bool, latitude: float, orders: list[tuple[str, int]]
) -> None:
    world = World(story(seed, bays=bays, fault_factor=factor, presents_tokens=presents, latitude=latitude))
    coming = iter(orders)
    for step in range(8 * HOUR):
        if step % (HOUR // 4) == 0:
            what, bay = next(coming, ("unlock", step % bays + 1))
            obey(world, what, (bay - 1) % bays + 1)
            check(world)
        world.step()
    check(world)


def test_a_fault_of_the_arithmetic_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The book counts each joule where it happens: heat that a charge forgets is missed."""
    charge = Pack.charge

    def forgetful(self: Pack, seconds: float, limit_a: float) -> tuple[float, float]:
        taken, _ = charge(self, seconds, limit_a)
        return taken * 1.03, 0.0

    monkeypatch.setattr(Pack, "charge", forgetful)
    told = report.tell(story(bays=35), days=0.1)
    with pytest.raises(FiguresOutside) as outside:
        told.demand_plausible()
    assert "energy in = stored + heat" in outside.value.names


def test_a_connection_is_shared_fairly() -> None:
    assert shared_fairly([1.0, 2.0], 4.0) == float("inf")
    assert shared_fairly([1.0, 5.0, 9.0], 7.0) == 3.0
    assert shared_fairly([], 7.0) == float("inf")


@given(st.lists(st.floats(0.1, 2_000.0), min_size=1), st.floats(1.0, 20_000.0))
def test_all_of_a_connection_is_used_and_no_more(wanted: list[float], budget: float) -> None:
    level = shared_fairly(wanted, budget)
    given_out = sum(min(each, level) for each in wanted)
    assert given_out == pytest.approx(min(budget, sum(wanted)))


# --- figures --------------------------------------------------------------------------------------------


def test_two_days_of_a_station_have_the_figures_of_a_real_one() -> None:
    outcome = report.tell(story(bays=35), days=2.0)
    outcome.demand_plausible()
    assert {figure.name for figure in outcome.figures()} >= {
        "energy in = stored + heat",
        f"charging of a {SMALL.name} pack",
        f"charging of a {LARGE.name} pack",
        "capacity lost",
        "swaps",
        "customers served",
    }


def test_stations_have_8_35_or_120_bays_and_a_small_one_has_one_tier() -> None:
    assert list(BAYS.values()) == [8, 35, 120]
    assert set(tiers_for(BAYS[StationType.KIOSK])) == {SMALL}
    assert set(tiers_for(BAYS[StationType.HUB])) == {SMALL, LARGE}
    world = World(story(bays=120))
    of_tier = Counter(slot.pack.tier for slot in world.slots if slot.pack is not None)
    assert of_tier[LARGE] / of_tier.total() == pytest.approx(0.2, abs=0.02)


def test_a_day_off_is_quieter_and_the_evening_busier_than_the_night() -> None:
    assert activity(18.0, 0) > 5 * activity(3.0, 0)
    assert activity(12.0, 6) < 0.9 * activity(12.0, 4)
    mean = fmean(activity(minute / 60, day) for minute in range(24 * 60) for day in range(7))
    assert mean == pytest.approx(1.0, abs=1e-3)


def test_as_many_come_as_the_hour_says() -> None:
    """Counts of a Poisson process: their mean over 60 weeks, and a variance that is the mean's own."""
    coming = arrivals(MONDAY, mean_per_day=148.0, chance=stream("7", "arrivals"))
    calendar, weeks = Calendar(MONDAY), 60
    evenings: Counter[int] = Counter()
    total = 0
    for seconds in coming:
        week, of_week = divmod(seconds, 7 * DAY_S)
        if week >= weeks:
            break
        total += 1
        if 17 * 3_600 <= of_week < 19 * 3_600:
            evenings[int(week)] += 1
    assert total / weeks == pytest.approx(7 * 148.0, rel=0.02)
    assert expected(MONDAY, days=7.0, mean_per_day=148.0) == pytest.approx(7 * 148.0, rel=1e-3)
    mondays = [evenings[week] for week in range(weeks)]
    mean = 148.0 / 24 * sum(calendar.activity(3_600.0 * (17.25 + part / 2)) / 2 for part in range(4))
    assert fmean(mondays) == pytest.approx(mean, rel=0.1)
    assert pstdev(mondays) ** 2 == pytest.approx(mean, rel=0.45)


def test_the_weather_has_a_year_a_day_and_a_wander() -> None:
    normals = Normals(25.0)
    assert normals.season(datetime(2026, 7, 20, tzinfo=UTC)) == pytest.approx(30.5, abs=0.5)
    assert normals.season(datetime(2026, 1, 19, tzinfo=UTC)) == pytest.approx(16.3, abs=0.5)
    assert (
        Normals(-35.0).season(datetime(2026, 1, 15, tzinfo=UTC))
        > Normals(-35.0).season(datetime(2026, 7, 15, tzinfo=UTC)) + 10
    )
    weather = Weather(normals, start=MONDAY, step_s=600.0, chance=stream("1", "weather"))
    course = [weather.step(600.0 * number) for number in range(60 * 144)]
    nights = [course[day * 144 + 18] for day in range(60)]
    noons = [course[day * 144 + 87] for day in range(60)]
    assert fmean(noons) - fmean(nights) == pytest.approx(6.0, abs=1.0)
    assert 1.0 < pstdev(noons) < 4.0
    clouds = [after - before for before, after in pairwise(course)]
    assert pstdev(clouds) == pytest.approx(0.43, abs=0.05), "of which fronts alone would be half"


def test_warm_air_is_relatively_drier() -> None:
    """Of a psychrometric table: 16.7 degrees is the dew point of half-damp air at 28."""
    assert relative_humidity(celsius=28.0, dew_point=16.7) == pytest.approx(50.0, abs=0.5)
    assert relative_humidity(celsius=10.0, dew_point=12.0) == 100.0


# --- faults ---------------------------------------------------------------------------------------------


def test_faults_are_as_frequent_as_they_are_said_to_be() -> None:
    years = 400.0
    counted = Counter(
        each.fault for each in Breakdowns("1", bays=35, factor=1.0).until(years * 365.25 * DAY_S)
    )
    for fault, rate in REALISTIC.items():
        mean = rate.each_year * (35 if rate.of_bays else 1) * years
        assert counted[fault] == pytest.approx(mean, abs=4 * mean**0.5)


def test_kinds_of_faults_break_independently_of_each_other() -> None:
    first = {each.fault: each for each in reversed(list(Breakdowns("1", bays=35, factor=1.0).until(1e10)))}
    shares = {
        fault: round(each.begins * REALISTIC[fault].each_year, 3)
        for fault, each in first.items()
        if REALISTIC[fault].of_bays
    }
    assert len(set(shares.values())) == len(shares) == 5


def test_none_break_where_none_are_wanted() -> None:
    assert list(Breakdowns("1", bays=35, factor=0.0).until(1e12)) == []


class Broken:
    """A world in which one fault is put, from the first step on."""

    def __init__(self, fault: Fault, bay: int) -> None:
        self.world = World(story(fault_factor=0.0))
        self.slot = self.world.slots[bay - 1]
        self.slot.faults.add(fault)


def charging_bay(world: World) -> int:
    return next(slot.number for slot in world.slots if slot.charges)


@pytest.mark.parametrize("fault", [Fault.BMS_SILENT, Fault.CHARGER_FAILED, Fault.OVER_TEMPERATURE])
def test_a_bay_that_is_broken_does_not_charge(fault: Fault) -> None:
    broken = Broken(fault, charging_bay(World(story(fault_factor=0.0))))
    assert broken.slot.pack is not None
    before = broken.slot.pack.soc
    for _ in range(HOUR // 10):
        broken.world.step()
    assert broken.slot.pack.soc == before
    assert broken.slot.pack.current == 0.0


def test_a_pack_with_a_short_overheats_smokes_and_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    often = {Fault.OVER_TEMPERATURE: faults.Rate(500.0, 3 * 3_600.0)}
    monkeypatch.setattr(faults, "REALISTIC", often)
    world, hottest, smoked = World(story()), 0.0, False
    while not world.retired or not smoked:
        world.step()
        hottest = max([hottest, *(slot.pack.temperature for slot in world.slots if slot.pack)])
        smoked = smoked or world.smoke
    assert hottest > 80.0
    check(world)


def test_a_lock_that_is_stuck_does_not_open() -> None:
    broken = Broken(Fault.LOCK_STUCK, 3)
    broken.world.unlock(3)
    assert not broken.slot.unlocked
    broken.world.unlock(4)
    assert broken.world.slots[3].unlocked


# --- customers who show a token -------------------------------------------------------------------------


class Desk:
    """A controller that serves whoever shows a token: an empty bay first, then a charged one."""

    def __init__(self, told: Story) -> None:
        self.happenings: list[Happening] = []
        self.world = World(told, self.happenings.append)
        self.tokens: list[str] = []

    def step(self) -> None:
        self.world.step()
        while self.world.tokens:
            self.tokens.append(self.world.tokens.popleft())
            self.open_one()
        for happening in self.of(What.PUTS):
            if happening.seconds == self.world.seconds:
                charged = (slot for slot in self.world.slots if slot.offers(SMALL))
                if (slot := next(charged, None)) is not None:
                    self.world.unlock(slot.number)

    def first_empty(self) -> int:
        return next(slot.number for slot in self.world.slots if slot.pack is None)

    def open_one(self) -> None:
        empty = (slot.number for slot in self.world.slots if slot.pack is None and slot.opens)
        if (bay := next(empty, None)) is not None:
            self.world.unlock(bay)

    def of(self, what: What) -> list[Happening]:
        return [happening for happening in self.happenings if happening.what is what]

    def until(self, what: What, *, hours: float = 48) -> list[Happening]:
        for _ in range(round(hours * HOUR)):
            self.step()
            if found := self.of(what):
                return found
        raise AssertionError(f"nobody {what}")


def test_a_customer_shows_a_token_puts_his_battery_in_and_takes_a_charged_one() -> None:
    desk = Desk(story(presents_tokens=True, fault_factor=0.0))
    desk.until(What.SERVED)
    happened = [happening.what for happening in desk.happenings if happening.what is not What.CHARGED]
    assert happened == [What.ARRIVES, What.PUTS, What.TAKES, What.SERVED]
    (token,) = desk.tokens
    assert re.fullmatch(r"station-rider-\d{5}", token)
    assert not any(slot.unlocked for slot in desk.world.slots), "he shut both doors"
    check(desk.world)


def test_he_takes_first_where_that_door_opens_first() -> None:
    desk = Desk(story(presents_tokens=True, fault_factor=0.0))
    world = desk.world
    while not world.tokens:
        world.step()
    world.unlock(next(slot.number for slot in world.slots if slot.offers(SMALL)))
    while not desk.of(What.TAKES):
        world.step()
    world.unlock(desk.first_empty())
    while not desk.of(What.SERVED):
        world.step()
    assert [len(desk.of(what)) for what in (What.TAKES, What.PUTS, What.SERVED)] == [1, 1, 1]


def test_he_walks_away_when_nothing_opens_and_keeps_what_he_brought() -> None:
    world = World(story(presents_tokens=True, fault_factor=0.0))
    on_the_road = len(world.riding)
    while not world.visiting:
        world.step()
    while world.visiting:
        world.step()
    assert len(world.riding) == on_the_road
    assert not world.tokens, "a token of somebody who left is not there to be read"
    check(world)


def test_who_is_refused_lets_the_next_one_try_and_tries_again_behind_him() -> None:
    """Nobody is served here: each who waits shows his token all the same, and those who stay do so again."""
    world = World(story(presents_tokens=True, fault_factor=0.0, swaps_per_bay_and_day=60.0))
    shown: list[tuple[float, str]] = []
    while world.seconds < 12 * 3_600:
        world.step()
        shown += [(world.seconds, world.tokens.popleft()) for _ in range(len(world.tokens))]
    tokens = Counter(token for _, token in shown)
    assert len(tokens) > 100
    assert any(times > 1 for times in tokens.values())
    check(world)


def test_who_was_given_nothing_takes_his_own_back_where_its_door_is_open() -> None:
    desk = Desk(story(presents_tokens=True, fault_factor=0.0))
    world = desk.world
    while not world.tokens:
        world.step()
    bay = desk.first_empty()
    world.unlock(bay)
    while not desk.of(What.PUTS):
        world.step()
    world.unlock(bay)
    while not desk.of(What.LEAVES):
        world.step()
    assert world.slots[bay - 1].pack is None
    check(world)


def test_customers_forget_and_come_back_and_bring_foreign_batteries() -> None:
    desk = Desk(story(presents_tokens=True, fault_factor=150.0))
    for _ in range(36 * HOUR):
        desk.step()
    forgot = [one for one in desk.of(What.LEAVES) if one.particulars.endswith("forgot")]
    brought = [one for one in desk.of(What.PUTS) if "foreign-" in one.particulars]
    assert forgot
    assert brought
    tokens = Counter(desk.tokens)
    assert any(tokens[one.particulars] > 1 for one in desk.of(What.RETURNS)), (
        "he is owed one, and comes for it"
    )
    check(desk.world)


def test_a_foreign_battery_is_not_charged() -> None:
    desk = Desk(story(presents_tokens=True, fault_factor=150.0))
    while not any("foreign-" in one.particulars for one in desk.of(What.PUTS)):
        desk.step()
    (slot,) = [slot for slot in desk.world.slots if slot.pack is not None and slot.pack.foreign]
    assert not slot.charges
    assert not slot.offers(SMALL)


# --- the command ----------------------------------------------------------------------------------------


def test_the_command_prints_each_figure_beside_what_is_expected(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--days", "1"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"swaps +1\d\d\.\d a day +1\d\d\.\d to 1\d\d\.\d\n", text)
    assert re.search(r"digest [0-9a-f]{64}\n", text)


def test_the_command_tells_the_same_to_a_machine(capsys: pytest.CaptureFixture[str]) -> None:
    ended = main(["simulate", "--days", "0.1", "--station-type", "kiosk", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["bays"], told["days"]) == (8, 0.1)
    assert ended == int(not all(figure["within"] for figure in told["figures"]))


def test_the_command_fails_with_the_name_of_a_figure_that_no_station_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "_EXPECTED_LOSS", (50.0, 60.0))
    assert main(["simulate", "--days", "0.1"]) == 1
    said = capsys.readouterr()
    assert "OUTSIDE" in said.out
    assert "capacity lost" in said.err


@pytest.mark.parametrize("wrong", [["--days", "0"], ["--bays", "251"], ["--station-type", "barn"]])
def test_what_cannot_be_simulated_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", *wrong])
    assert ended.value.code == 2
    assert wrong[1] in capsys.readouterr().err


def test_the_plots_of_a_story_are_the_same_bytes_again(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots are drawn where matplotlib is, which no station needs")
    outcome = report.tell(story(bays=35), days=0.1)
    first, again = (plots.draw(outcome, tmp_path / name) for name in ("first", "again"))
    assert [file.name for file in first] == ["simulation-week.svg", "simulation-charge.svg"]
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in again]
    assert all(file.read_text().startswith("<?xml") for file in first)


def test_random_streams_of_a_story_do_not_meet() -> None:
    one, other = stream("1/a", "weather"), stream("1/a", "arrivals")
    first = list(islice(iter(one.random, None), 5))
    assert first != list(islice(iter(other.random, None), 5))
    assert all(before != after for before, after in pairwise(first))
