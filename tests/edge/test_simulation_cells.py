"""The simulation's cells and packs: what a data sheet or a paper says of them, and energy to the joule."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evswap_edge.simulation import cell
from evswap_edge.simulation.ageing import Wear
from evswap_edge.simulation.pack import LARGE, SMALL, TIERS, Pack, Tier

YEAR_DAYS = 365.25
tiers = st.sampled_from(list(TIERS.values()))


def new_pack(tier: Tier = SMALL, *, soc: float = 0.2, wear: Wear | None = None) -> Pack:
    return Pack(serial_number="1", tier=tier, soc=soc, wear=wear or Wear(), temperature=25.0)


def worn(years: float) -> Wear:
    wear = Wear()
    wear.rest(years * YEAR_DAYS, volts=3.87, celsius=25.0)
    wear.cycle(years * 340.0, volts=3.87, depth=0.76)
    return wear


# --- the cell ---------------------------------------------------------------------------------------------


def test_the_voltage_at_rest_rises_with_the_charge_between_its_bounds() -> None:
    volts = [cell.open_circuit_v(percent / 100) for percent in range(101)]
    assert volts == sorted(volts)
    assert volts[0] == 3.331
    assert volts[-1] == pytest.approx(4.162)


@given(st.floats(0.0, 1.0))
def test_the_energy_is_the_integral_of_the_voltage(soc: float) -> None:
    steps = 2_000
    middle = (cell.open_circuit_v(soc * (step + 0.5) / steps) for step in range(steps))
    assert cell.chemical_energy(soc) == pytest.approx(sum(middle) * soc / steps, abs=1e-5)


# --- charging ---------------------------------------------------------------------------------------------


def course_of(pack: Pack, *, step_s: float = 60.0, limit_a: float | None = None) -> list[float]:
    """The current after each step until the pack is full."""
    currents = []
    while not pack.full:
        pack.charge(step_s, pack.tier.current_a if limit_a is None else limit_a)
        currents.append(pack.current)
    return currents


def test_it_charges_with_constant_current_and_then_at_constant_voltage() -> None:
    pack, constant, falling = new_pack(), [], []
    while not pack.full:
        pack.charge(60.0, SMALL.current_a)
        if pack.voltage < SMALL.full_v - 1e-6:
            constant.append(pack.current)
        else:
            falling.append((pack.current, pack.voltage))
    assert set(constant[:-1]) == {SMALL.current_a}
    assert [current for current, _ in falling] == sorted((c for c, _ in falling), reverse=True)
    assert all(volts == pytest.approx(SMALL.full_v) for _, volts in falling)
    assert len(constant) > 60, "more than an hour"
    assert len(falling) > 15, "and then a quarter of one at least"


def test_the_current_falls_as_the_cells_equation_has_it_and_not_in_a_line() -> None:
    """Within a straight piece of the voltage at rest the current falls to the same share in the same time."""
    pack = new_pack(soc=0.955)
    currents = []
    for _ in range(4):
        pack.charge(60.0, SMALL.current_a)
        currents.append(pack.current)
    shares = [after / before for before, after in pairwise(currents)]
    slope = (cell.OPEN_CIRCUIT_V[-1] - cell.OPEN_CIRCUIT_V[-2]) * cell.SEGMENTS
    per_minute = math.exp(-60.0 * slope / (cell.OHM * cell.CAPACITY_AH * 3_600.0))
    assert shares == pytest.approx([per_minute] * 3)


def test_it_ends_at_a_twentieth_of_the_capacity() -> None:
    pack = new_pack()
    last = course_of(pack, step_s=1.0)[-2]
    assert last == pytest.approx(SMALL.cut_off_a, rel=0.01)
    assert (pack.current, pack.charge(60.0, SMALL.current_a)) == (0.0, (0.0, 0.0))
    assert pack.soc > 0.99


@pytest.mark.parametrize(("tier", "wh"), [(SMALL, 1_600), (LARGE, 3_000)])
def test_a_new_pack_holds_what_its_tier_is_called_after(tier: Tier, wh: float) -> None:
    assert tier.rated_wh == pytest.approx(wh, rel=0.03)


def test_a_worn_pack_holds_less_takes_longer_in_its_last_part_and_ends_earlier() -> None:
    new, old = new_pack(), new_pack(wear=worn(4.0))
    course_of(new)
    course_of(old)
    assert 0.7 < old.soh < 0.85
    assert old.energy < 0.85 * new.energy
    assert old.soc < new.soc


@given(
    tier=tiers,
    soc=st.floats(0.0, 1.0),
    years=st.floats(0.0, 6.0),
    steps=st.lists(st.tuples(st.floats(0.1, 900.0), st.floats(0.0, 60.0)), min_size=1, max_size=30),
)
def test_what_a_pack_takes_is_in_it_or_became_heat(
    tier: Tier, soc: float, years: float, steps: list[tuple[float, float]]
) -> None:
    pack = new_pack(tier, soc=soc, wear=worn(years))
    for seconds, limit_a in steps:
        before = pack.energy
        taken, heat = pack.charge(seconds, min(limit_a, tier.current_a))
        assert taken == pytest.approx(pack.energy - before + heat, abs=1e-3), "to the millijoule"
        assert 0.0 <= pack.soc <= 1.0
        assert 0.0 <= heat <= taken + 1e-9
        assert 0.0 <= pack.current <= tier.current_a + 1e-9
        assert pack.voltage <= tier.full_v + 1e-6 or pack.current == 0.0


@given(soc=st.floats(0.0, 0.99), cuts=st.lists(st.floats(0.5, 600.0), min_size=2, max_size=12))
def test_charging_in_many_steps_is_charging_in_one(soc: float, cuts: list[float]) -> None:
    many, once = new_pack(soc=soc), new_pack(soc=soc)
    parts = [many.charge(seconds, SMALL.current_a) for seconds in cuts]
    whole = once.charge(sum(cuts), SMALL.current_a)
    assert many.soc == pytest.approx(once.soc, abs=1e-9)
    assert sum(taken for taken, _ in parts) == pytest.approx(whole[0], abs=0.01)


def test_a_short_circuit_turns_charge_into_heat() -> None:
    pack = new_pack(soc=0.5)
    pack.short_w = 250.0
    before = pack.energy
    heat = sum(pack.leak(5.0) for _ in range(720))
    assert heat == pytest.approx(before - pack.energy)
    assert heat == pytest.approx(250.0 * 3_600.0, rel=0.01)


# --- ageing -----------------------------------------------------------------------------------------------


def test_it_wears_by_the_published_law() -> None:
    """1 - alpha t^0.75 - beta sqrt(Q), with the paper's constants, worked out by hand."""
    wear = Wear()
    wear.rest(365.0, volts=3.9, celsius=25.0)
    alpha = (7.543 * 3.9 - 23.75) * 1e6 * math.exp(-6976.0 / 298.15)
    assert wear.capacity_lost == pytest.approx(alpha * 365.0**0.75)
    assert wear.capacity_lost == pytest.approx(0.0327, abs=0.0005)
    wear = Wear()
    wear.cycle(340.0, volts=3.867, depth=0.8)
    beta = 7.348e-3 * 0.2**2 + 7.6e-4 + 4.081e-3 * 0.8
    assert wear.capacity_lost == pytest.approx(beta * math.sqrt(340.0))


@given(st.lists(st.floats(0.01, 100.0), min_size=1, max_size=10))
def test_it_does_not_matter_how_often_wear_is_looked_up(parts: list[float]) -> None:
    many, once = Wear(), Wear()
    for days in parts:
        many.rest(days, volts=3.8, celsius=30.0)
        many.cycle(days, volts=3.8, depth=0.7)
    once.rest(sum(parts), volts=3.8, celsius=30.0)
    once.cycle(sum(parts), volts=3.8, depth=0.7)
    assert many.capacity_lost == pytest.approx(once.capacity_lost)
    assert many.resistance_gained == pytest.approx(once.resistance_gained)


def test_heat_voltage_and_depth_wear_more() -> None:
    def rested(**changed: float) -> float:
        wear = Wear()
        wear.rest(100.0, **{"volts": 3.8, "celsius": 25.0, **changed})
        return wear.capacity_lost

    def cycled(depth: float) -> float:
        wear = Wear()
        wear.cycle(100.0, volts=3.8, depth=depth)
        return wear.capacity_lost

    assert rested(celsius=35.0) > 1.8 * rested()
    assert rested(volts=4.1) > 1.3 * rested()
    assert cycled(0.8) > cycled(0.2)


def test_a_ride_empties_it_counts_a_cycle_and_shows_the_wear() -> None:
    pack = new_pack(soc=0.99)
    pack.ride(3 * 86_400.0, soc=0.2, celsius=28.0)
    assert pack.soc == 0.2
    assert pack.cycles == pytest.approx(0.79)
    assert 0.98 < pack.soh < 1.0
    assert pack.ohm > cell.OHM * SMALL.series / SMALL.parallel
