"""What is dangerous, and what is locked out for it, without a clock, a disk or a cabinet."""

from collections.abc import Sequence

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from evswap_edge.config import SafetyRules
from evswap_edge.hal import Climate, Safety
from evswap_edge.safety.deciding import (
    CABINET,
    BaysRead,
    BaysUnread,
    Cause,
    ClimateRead,
    InputsRead,
    InputsUnread,
    LockedOut,
    NotReleased,
    Observation,
    State,
    begun,
    observed,
    released,
)
from evswap_schema import Bay, Health, Occupancy
from tests.edge.interlocking import bay, pack

RULES = SafetyRules()
QUIET = InputsRead(Safety(smoke=False))


class Story:
    """Observations, one after the other."""

    def __init__(self, *, bays: Sequence[int] = (1, 2), has_inputs: bool = True) -> None:
        self.now = 0.0
        self.state = begun(0.0, bays=bays, has_inputs=has_inputs)
        self.effects: list[LockedOut] = []

    def see(self, observation: Observation, *, after: float = 1.0) -> State:
        self.now += after
        outcome = observed(self.state, observation, self.now, RULES)
        self.state = outcome.state
        self.effects += outcome.effects
        return self.state

    def sees(self, *bays: Bay, after: float = 1.0) -> State:
        return self.see(BaysRead(bays), after=after)

    def warms(self, *temperatures: float, after: float = 1.0) -> State:
        for temperature in temperatures:
            self.sees(bay(1, pack(temperature=temperature)), bay(2), after=after)
        return self.state

    @property
    def locked_out(self) -> list[tuple[int, Cause]]:
        return [(one.place, one.cause) for one in self.effects]


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_quiet_cabinet_is_left_alone(story: Story) -> None:
    for _ in range(100):
        story.warms(25.0)
        story.see(QUIET)
        story.see(ClimateRead(Climate(temperature=40.0, humidity=40.0)))
    assert not story.effects
    assert not story.state.to_cut


def test_a_hot_battery_locks_its_own_bay_out(story: Story) -> None:
    assert not story.warms(25.0, 59.9, after=60).to_cut
    state = story.warms(60.0, after=60)
    assert state.to_cut == {1}
    assert state.veto(1) == ("locked out by the safety interlock: over_temperature (60.0 °C, limit 60 °C)")
    assert state.veto(2) is None
    assert story.locked_out == [(1, Cause.OVER_TEMPERATURE)]


def test_it_stays_so_and_is_not_released_before_it_is_well_below(story: Story) -> None:
    for temperature in (61.0, 55.0, 50.0):
        story.warms(temperature, after=60)
        with pytest.raises(NotReleased, match=r"the cause persists: over_temperature \(61\.0"):
            released(story.state, 1)
    story.warms(49.9, after=60)
    assert story.state.to_cut == {1}
    assert not released(story.state, 1).to_cut


def test_one_that_was_taken_away_is_no_danger_any_more(story: Story) -> None:
    story.warms(70.0)
    story.sees(bay(1), bay(2))
    assert not released(story.state, 1).to_cut


def test_a_heat_that_no_contract_lets_pass_is_heat(story: Story) -> None:
    assert story.warms(300.0).to_cut == {1}


def test_a_fast_rise_is_danger_at_any_temperature(story: Story) -> None:
    story.warms(20.0, 21.1, 22.2)
    assert not story.effects, "for three seconds it is to be seen"
    story.warms(23.3)
    assert story.locked_out == [(1, Cause.FAST_RISE)]


def test_another_battery_is_no_fast_rise(story: Story) -> None:
    for serial, temperature in (("A", 20.0), ("A", 20.0), ("B", 45.0), ("B", 45.0), ("B", 45.0), ("B", 45.0)):
        story.sees(bay(1, pack(serial, temperature=temperature)), after=2)
    assert not story.effects


def test_a_rise_is_measured_over_the_time_that_was_not_seen_too(story: Story) -> None:
    story.warms(20.0)
    story.warms(45.0, after=20)
    assert story.locked_out == [(1, Cause.FAST_RISE)]


def test_a_broken_bay_is_locked_out(story: Story) -> None:
    story.sees(bay(1, pack(), health=Health.FAULT), bay(2))
    assert story.locked_out == [(1, Cause.FAULT)]


def test_smoke_locks_the_cabinet_out(story: Story) -> None:
    state = story.see(InputsRead(Safety(smoke=True)))
    assert state.to_cut == {1, 2}
    assert story.locked_out == [(CABINET, Cause.SMOKE)]
    with pytest.raises(NotReleased, match="the cabinet stays locked out"):
        released(state, CABINET)
    state = released(story.see(QUIET), CABINET)
    assert not state.to_cut


def test_smoke_and_a_hot_battery_are_released_one_by_one(story: Story) -> None:
    story.see(InputsRead(Safety(smoke=True)))
    story.warms(70.0)
    story.see(QUIET)
    assert released(story.state, CABINET).to_cut == {1}


def test_a_hot_cabinet_is_locked_out_with_hysteresis(story: Story) -> None:
    for temperature, present in ((59.9, False), (60.0, True), (56.0, True), (54.9, False)):
        state = story.see(ClimateRead(Climate(temperature=temperature, humidity=10.0)))
        assert bool(state.present.get(CABINET)) is present
    assert story.locked_out == [(CABINET, Cause.HOT_CABINET)]


def test_a_door_that_cannot_close_locks_its_bay_out(story: Story) -> None:
    story.see(InputsRead(Safety(smoke=False, blocked_doors=frozenset({2}))))
    assert story.locked_out == [(2, Cause.BLOCKED_DOOR)]
    assert not released(story.see(QUIET), 2).to_cut


UNREADABLE = {
    "unknown": bay(1, occupancy=Occupancy.UNKNOWN, health=Health.FAULT),
    "silent": bay(1, occupancy=Occupancy.OCCUPIED, health=Health.HEALTHY),
    "no number": bay(1, pack(temperature=float("nan"))),
    "no temperature": replace(bay(1, pack()), battery=replace(pack(), temperature="warm")),
    "no battery": replace(bay(1, pack()), battery="EVS-1"),
}


@pytest.mark.parametrize("shown", UNREADABLE.values(), ids=UNREADABLE)
def test_a_bay_that_cannot_be_seen_for_too_long_is_danger(story: Story, shown: Bay) -> None:
    story.warms(25.0)
    story.sees(shown, bay(2), after=RULES.unread_s)
    assert not story.effects
    story.sees(shown, bay(2), after=0.1)
    assert story.locked_out == [(1, Cause.UNREAD)]
    story.warms(25.0)
    assert not released(story.state, 1).latched.get(1)


def test_a_battery_that_never_told_of_itself_is_not_silent() -> None:
    story = Story(has_inputs=False)
    for _ in range(100):
        story.sees(bay(1, occupancy=Occupancy.OCCUPIED), bay(2))
    assert not story.effects


def test_bays_that_cannot_be_read_at_all_are_danger_each() -> None:
    story = Story(has_inputs=False)
    story.see(BaysUnread("the bus is silent"), after=RULES.unread_s + 1)
    assert story.locked_out == [(1, Cause.UNREAD), (2, Cause.UNREAD)]
    assert story.effects[0].detail == "not read for 30 s: the bus is silent"


def test_a_cabinet_whose_bays_nobody_knows_is_locked_out_as_a_whole() -> None:
    story = Story(bays=(), has_inputs=False)
    story.see(BaysUnread("the bus is silent"), after=RULES.unread_s + 1)
    assert story.locked_out == [(CABINET, Cause.UNREAD)]
    story.sees(bay(1), bay(2))
    assert story.state.to_cut == {1, 2}
    assert not released(story.state, CABINET).to_cut


def test_inputs_that_cannot_be_read_lock_the_cabinet_out(story: Story) -> None:
    for _ in range(31):
        story.warms(25.0)
        story.see(InputsUnread("broken"), after=0)
    assert story.locked_out == [(CABINET, Cause.INPUTS_UNREAD)]
    assert not released(story.see(QUIET), CABINET).to_cut


def test_a_process_that_was_held_up_looks_before_it_locks_out(story: Story) -> None:
    story.warms(25.0, after=600)
    story.see(QUIET, after=600)
    story.warms(25.0, after=600)
    assert not story.effects


def test_a_bay_that_the_driver_leaves_out_is_not_seen(story: Story) -> None:
    story.sees(bay(1), after=RULES.unread_s + 1)
    assert story.locked_out == [(2, Cause.UNREAD)]


def test_what_was_locked_out_before_a_restart_is_taken_for_present() -> None:
    latched = {
        1: {Cause.OVER_TEMPERATURE: "70.0 °C"},
        CABINET: {Cause.LATCH_DAMAGED: "its checksum is wrong"},
    }
    state = begun(0.0, bays=(1, 2), has_inputs=False, latched=latched)
    assert state.to_cut == {1, 2}
    with pytest.raises(NotReleased):
        released(state, 1)
    cool = observed(state, BaysRead((bay(1, pack()), bay(2))), 1.0, RULES).state
    assert released(released(cool, 1), CABINET).to_cut == frozenset()


def test_a_battery_that_was_hot_before_a_restart_and_is_silent_after_it_is_hot() -> None:
    state = begun(0.0, bays=(1,), has_inputs=False, latched={1: {Cause.OVER_TEMPERATURE: "70.0 °C"}})
    silent = BaysRead((bay(1, occupancy=Occupancy.OCCUPIED),))
    with pytest.raises(NotReleased, match="over_temperature"):
        released(observed(state, silent, 1.0, RULES).state, 1)


def test_what_is_not_locked_out_is_not_released(story: Story) -> None:
    with pytest.raises(NotReleased, match="bay 2 is not locked out"):
        released(story.state, 2)


BAYS = (1, 2, 3)
temperatures = st.floats(min_value=-20, max_value=110)


class Dangers(RuleBasedStateMachine):
    """Any observations in any order, a person who tries to release, and power cuts. Chargers follow what is
    to be cut at once; others try to switch them on as they like, as far as the veto lets them."""

    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.state = begun(0.0, bays=BAYS, has_inputs=True)
        self.true = dict.fromkeys(BAYS, 20.0)
        self.seen_at = dict.fromkeys(BAYS, 0.0)
        self.inputs_at = 0.0
        self.hot: set[int] = set()
        self.smoke = False
        self.charging = set(BAYS)
        self.expected: dict[int, set[Cause]] = {}

    def _see(self, observation: Observation) -> None:
        before = self.state
        outcome = observed(before, observation, self.now, RULES)
        self.state = outcome.state
        self.charging -= self.state.to_cut
        for place, found in before.latched.items():
            assert found.keys() <= self.state.latched[place].keys(), "nothing opens by itself"
        newly = {
            (place, cause)
            for place, found in self.state.latched.items()
            for cause in found
            if cause not in before.latched.get(place, {})
        }
        assert {(one.place, one.cause) for one in outcome.effects} == newly
        assert len(outcome.effects) == len(newly)

    @rule(seconds=st.floats(min_value=0, max_value=40))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(warmth=st.fixed_dictionaries(dict.fromkeys(BAYS, st.none() | temperatures)))
    def bays_are_read(self, warmth: dict[int, float | None]) -> None:
        """None: this bay cannot be read."""
        shown = []
        for number, temperature in warmth.items():
            if temperature is None:
                shown.append(bay(number, occupancy=Occupancy.UNKNOWN, health=Health.FAULT))
                continue
            shown.append(bay(number, pack(temperature=temperature)))
            self.seen_at[number] = self.now
            if temperature >= RULES.battery_limit_c:
                self.hot.add(number)
            elif temperature < RULES.battery_limit_c - RULES.battery_hysteresis_k:
                self.hot.discard(number)
        self._see(BaysRead(shown))
        self._require_unseen_locked_out()
        for number in self.hot:
            assert Cause.OVER_TEMPERATURE in self.state.present[number]

    @rule()
    def the_bus_is_silent(self) -> None:
        self._see(BaysUnread("silent"))
        self._require_unseen_locked_out()

    def _require_unseen_locked_out(self) -> None:
        for number, seen_at in self.seen_at.items():
            if self.now - seen_at > RULES.unread_s:
                assert Cause.UNREAD in self.state.latched[number]
                assert Cause.UNREAD in self.state.present[number]

    @rule()
    def the_inputs_fail(self) -> None:
        self._see(InputsUnread("broken"))
        if self.now - self.inputs_at > RULES.unread_s:
            assert Cause.INPUTS_UNREAD in self.state.latched[CABINET]

    @rule(smoke=st.booleans(), blocked=st.frozensets(st.sampled_from(BAYS)))
    def inputs_are_read(self, smoke: bool, blocked: frozenset[int]) -> None:
        self.inputs_at, self.smoke = self.now, smoke
        self._see(InputsRead(Safety(smoke=smoke, blocked_doors=blocked)))

    @rule(temperature=st.floats(min_value=-20, max_value=90))
    def the_air_is_measured(self, temperature: float) -> None:
        self._see(ClimateRead(Climate(temperature=temperature, humidity=50.0)))

    @rule(number=st.sampled_from(BAYS))
    def somebody_switches_on(self, number: int) -> None:
        if self.state.veto(number) is None:
            self.charging.add(number)

    @rule(place=st.sampled_from((CABINET, *BAYS)))
    def somebody_releases(self, place: int) -> None:
        try:
            after = released(self.state, place)
        except NotReleased:
            assert place not in self.state.latched or self.state.present[place]
            return
        assert not self.state.present.get(place)
        assert place not in self.hot
        assert not (place == CABINET and self.smoke)
        others = {at: found for at, found in self.state.latched.items() if at != place}
        assert after.latched == others
        self.state = after

    @rule()
    def the_power_is_cut(self) -> None:
        """What is on the disk is what comes back."""
        kept = {place: dict(found) for place, found in self.state.latched.items()}
        self.state = begun(self.now, bays=BAYS, has_inputs=True, latched=kept)
        self.seen_at = dict.fromkeys(BAYS, self.now)
        self.inputs_at = self.now
        self.hot = {n for n in BAYS if Cause.OVER_TEMPERATURE in self.state.present.get(n, {})}
        self.smoke = Cause.SMOKE in self.state.present.get(CABINET, {})
        assert self.state.latched == kept

    @invariant()
    def nothing_charges_that_is_locked_out(self) -> None:
        assert not self.charging & self.state.to_cut
        assert all(self.state.veto(number) for number in self.state.to_cut)

    @invariant()
    def what_is_hot_is_locked_out(self) -> None:
        assert self.hot <= self.state.latched.keys()
        assert not self.smoke or Cause.SMOKE in self.state.latched[CABINET]


TestDangers = Dangers.TestCase
TestDangers.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
