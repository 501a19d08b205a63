"""Bays and swaps as machines: whatever customers, doors, contacts and power do, no battery is lost.

The cabinet of this test is the truth. What the station has told so far, event by event, has to come to the
same in the end: that is what the cloud's ledger lives on.
"""

from collections import defaultdict
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from evswap_edge.clock import Stamp
from evswap_edge.config import SwapOrder, SwapRules, WhenFull
from evswap_edge.sampler import count_bays
from evswap_edge.swaps import floor as floors
from evswap_edge.swaps.bay import (
    EMPTY,
    NAMELESS,
    BayNotFree,
    BayState,
    Content,
    Patience,
    Promise,
    Sighting,
    Use,
    assigned,
    reserved,
)
from evswap_edge.swaps.choosing import as_told, best_battery
from evswap_edge.swaps.drafts import MAX_INVENTORY_BYTES, Draft, inventory_of, placed
from evswap_edge.swaps.floor import Declined, Floor, Outcome, Request
from evswap_edge.swaps.swap import Swap
from evswap_schema import (
    Authority,
    Battery,
    Bay,
    Channel,
    Charge,
    Clock,
    Health,
    InventoryEvent,
    InventoryReason,
    Lock,
    Occupancy,
    RefusalEvent,
    RefusalReason,
    Reservation,
    SwapEvent,
    SwapStep,
    aws_topic,
)

TOKEN = "0f" * 32
RULES = SwapRules(enabled=True, batteries="EVS-.*", at_once=2, in_timeout_s=60, out_timeout_s=60)
OUT_FIRST = msgspec.structs.replace(RULES, order=SwapOrder.OUT_FIRST)
PATIENCE = Patience(confirm_s=1.0, identify_s=10.0)
BOTH = pytest.mark.parametrize("rules", [RULES, OUT_FIRST], ids=["in first", "out first"])


def stamp(uptime: float, *, boot_id: str = "boot", clock: Clock = Clock.SYNCHRONIZED) -> Stamp:
    return Stamp(boot_id, uptime, 1_770_000_000.0, clock)


def battery(serial_number: str, *, soc: float = 100.0, soh: float = 95.0) -> Battery:
    return Battery(
        serial_number=serial_number, soc=soc, soh=soh, voltage=50.0, current=0.0, temperature=25.0, cycles=3
    )


def bay(number: int, inside: Battery | None = None, **shown: Any) -> Bay:
    full = inside is not None and inside.soc >= 99
    charge = Charge.NONE if inside is None else Charge.CHARGED if full else Charge.CHARGING
    fields: dict[str, Any] = {
        "bay": number,
        "occupancy": Occupancy.EMPTY if inside is None else Occupancy.OCCUPIED,
        "charge": charge,
        "lock": Lock.LOCKED,
        "reservation": Reservation.FREE,
        "health": Health.HEALTHY,
        "battery": inside,
    }
    return Bay(**{**fields, **shown})


def never(_: int) -> str | None:
    return None


class Story:
    """A floor on which things happen one after the other, every half second unless said otherwise."""

    def __init__(self, rules: SwapRules, *bays: Bay) -> None:
        self.rules = rules
        self.bays = {one.bay: one for one in bays}
        self.floor = Floor()
        self.now = 0.0
        self.boot = "boot"
        self.clock = Clock.SYNCHRONIZED
        self.told: list[Draft] = []
        self.ended: dict[int, Swap] = {}
        self.given_back: list[str] = []
        self.look(3.0)

    @property
    def stamp(self) -> Stamp:
        return stamp(self.now, boot_id=self.boot, clock=self.clock)

    def begin(self, request_id: int = 41, *, veto: Any = never, **known: Any) -> Swap:
        fields = {"request_id": request_id, "id_token": TOKEN, "authority": Authority.ONLINE, **known}
        outcome = floors.begun(self.floor, Request(**fields), self.bays, self.stamp, self.rules, veto)
        self.take(outcome)
        return outcome.swaps[0]

    def declined(self, **known: Any) -> RefusalReason:
        with pytest.raises(Declined) as caught:
            self.begin(**known)
        return caught.value.reason

    def show(self, *bays: Bay) -> None:
        self.bays.update({one.bay: one for one in bays})

    def look(self, seconds: float = 2.0, *, step: float = 0.5) -> None:
        """Look for so many seconds."""
        end = self.now + seconds
        while self.now < end:
            self.now += step
            self.take(floors.looked(self.floor, list(self.bays.values()), self.stamp, self.rules))

    def take(self, outcome: Outcome) -> None:
        self.floor = outcome.floor
        self.told += outcome.told
        self.ended |= {swap.request_id: swap for swap in outcome.swaps if swap.over}
        self.given_back += outcome.given_back

    def reoffer(self, veto: Any) -> None:
        self.take(floors.offered_anew(self.floor, self.bays, self.rules, veto))

    def to_open(self) -> list[int | None]:
        due = floors.to_be_open(self.floor, self.bays, self.stamp, self.rules)
        return [swap.awaited_bay for swap in due]

    def crash(self, *, seconds: float = 0.0, reboot: bool = False) -> None:
        """A new process finds what was written down."""
        states = msgspec.json.decode(
            msgspec.json.encode([state.durable() for state in self.floor.bays.values()]), type=list[BayState]
        )
        swaps = msgspec.json.decode(msgspec.json.encode(list(self.floor.swaps.values())), type=list[Swap])
        self.now += seconds
        if reboot:
            self.boot, self.now, self.clock = f"{self.boot}+", 5.0, Clock.ESTIMATED
        found = Floor({one.bay: one for one in states}, {one.request_id: one for one in swaps})
        self.floor = floors.resumed(found, self.stamp, self.rules)

    @property
    def steps(self) -> list[tuple[SwapStep, str]]:
        return [(one.step, one.batteries[0].serial_number) for one in self.told if isinstance(one, SwapEvent)]

    @property
    def inventories(self) -> list[dict[int, str | None]]:
        return [
            {one.bay: one.serial_number for one in event.bays}
            for event in self.told
            if isinstance(event, InventoryEvent)
        ]

    @property
    def refusals(self) -> list[RefusalEvent]:
        return [one for one in self.told if isinstance(one, RefusalEvent)]

    def use(self, number: int) -> Use:
        return self.floor.bays[number].use


def story(rules: SwapRules = RULES) -> Story:
    """An empty bay, one that charges, and two with full batteries of which the second is the healthier."""
    return Story(
        rules,
        bay(1),
        bay(2, battery("EVS-2", soc=40.0)),
        bay(3, battery("EVS-3", soh=90.0)),
        bay(4, battery("EVS-4", soh=99.0)),
    )


OLD = battery("EVS-OLD", soc=11.0)


# --- the swap as it is meant ----------------------------------------------------------------------------


def test_the_battery_goes_in_and_then_the_best_one_goes_out() -> None:
    one = story()
    swap = one.begin()
    assert (swap.bay_in, swap.bay_out) == (1, 4)
    assert one.to_open() == [1]
    one.show(bay(1, OLD))
    one.look()
    assert one.steps == [(SwapStep.BATTERY_IN, "EVS-OLD")]
    assert one.to_open() == [4]
    one.show(bay(4))
    one.look()
    assert one.steps[1:] == [(SwapStep.BATTERY_OUT, "EVS-4")]
    assert one.ended[41].phase == "completed"
    assert one.inventories == []
    assert {one.use(number) for number in (1, 4)} == {Use.IDLE}


def test_the_other_way_round_the_battery_goes_out_first() -> None:
    one = story(OUT_FIRST)
    one.begin()
    assert one.to_open() == [4]
    one.show(bay(4))
    one.look()
    assert one.to_open() == [1]
    one.show(bay(1, OLD))
    one.look()
    assert one.steps == [(SwapStep.BATTERY_OUT, "EVS-4"), (SwapStep.BATTERY_IN, "EVS-OLD")]
    assert one.ended[41].phase == "completed"


def test_out_first_needs_no_empty_bay_the_slot_that_was_emptied_takes_the_other_battery() -> None:
    one = Story(OUT_FIRST, bay(1, battery("EVS-1")))
    assert one.begin().bay_in == 1
    one.show(bay(1))
    one.look()
    assert one.use(1) is Use.OFFERED_IN
    one.show(bay(1, OLD))
    one.look()
    assert one.steps == [(SwapStep.BATTERY_OUT, "EVS-1"), (SwapStep.BATTERY_IN, "EVS-OLD")]


def test_a_battery_exchanged_between_two_looks_is_seen_to_go_and_another_to_come() -> None:
    one = Story(OUT_FIRST, bay(1, battery("EVS-1")))
    one.begin()
    one.show(bay(1, OLD))
    one.look()
    assert one.steps == [(SwapStep.BATTERY_OUT, "EVS-1"), (SwapStep.BATTERY_IN, "EVS-OLD")]


def test_a_battery_is_in_when_the_door_is_shut_behind_it() -> None:
    one = story()
    one.begin()
    one.show(bay(1, OLD, lock=Lock.UNLOCKED))
    one.look(20.0)
    assert one.steps == []
    one.show(bay(1, OLD))
    one.look()
    assert one.steps == [(SwapStep.BATTERY_IN, "EVS-OLD")]


def test_a_door_that_does_not_shut_costs_the_customer_no_battery() -> None:
    one = story()
    one.begin()
    one.show(bay(1, OLD, lock=Lock.UNLOCKED))
    one.look(RULES.in_timeout_s + RULES.relock_s + 2)
    assert one.steps == [(SwapStep.BATTERY_IN, "EVS-OLD")]
    assert one.to_open() == [4]


def test_a_bay_serves_nobody_until_its_door_is_shut() -> None:
    one = story()
    one.begin()
    one.show(bay(1, OLD))
    one.look()
    one.show(bay(4, lock=Lock.UNLOCKED))
    one.look()
    assert one.use(4) is Use.CLOSING
    assert one.declined(request_id=42) is RefusalReason.NO_EMPTY_BAY
    one.show(bay(4))
    one.look()
    assert one.begin(42).bay_in == 4


def test_a_battery_that_moves_when_the_time_is_up_has_moved_in_time() -> None:
    one = story()
    one.begin()
    one.show(bay(1, OLD))
    one.look()
    one.look(RULES.out_timeout_s - 2.0)
    one.show(bay(4))
    one.look(3.0)
    assert one.steps[-1] == (SwapStep.BATTERY_OUT, "EVS-4")


def test_as_long_as_its_door_stands_open_a_battery_may_still_be_taken() -> None:
    one = story()
    one.begin()
    one.show(bay(1, OLD))
    one.look()
    one.show(bay(4, battery("EVS-4", soh=99.0), lock=Lock.UNLOCKED))
    one.look(RULES.out_timeout_s + 10.0)
    assert len(one.steps) == 1
    assert one.to_open() == []
    one.show(bay(4))
    one.look()
    assert one.steps[-1] == (SwapStep.BATTERY_OUT, "EVS-4")


# --- the faults -----------------------------------------------------------------------------------------


@BOTH
def test_no_battery_the_station_says_so_before_it_accepts(rules: SwapRules) -> None:
    one = Story(rules, bay(1), bay(2, battery("EVS-2", soc=40.0)))
    assert one.declined() is RefusalReason.NO_BATTERY
    assert one.floor.swaps == {}
    assert one.use(1) is Use.IDLE


def test_where_no_bay_is_empty_the_customer_takes_first() -> None:
    """One battery that is not collected, or a foreign one, would stop a small station for hours."""
    one = Story(RULES, bay(1, battery("EVS-1")), bay(2, battery("OTHER-1")))
    begun = one.begin()
    assert (begun.order, begun.bay_in, begun.bay_out) == (SwapOrder.OUT_FIRST, 1, 1)
    one.show(bay(1))
    one.look()
    one.show(bay(1, OLD))
    one.look()
    assert one.steps == [(SwapStep.BATTERY_OUT, "EVS-1"), (SwapStep.BATTERY_IN, "EVS-OLD")]
    assert one.ended[41].phase == "completed"


def test_a_network_may_have_nobody_take_before_they_gave() -> None:
    rules = msgspec.structs.replace(RULES, when_full=WhenFull.DECLINE)
    assert Story(rules, bay(1, battery("EVS-1"))).declined() is RefusalReason.NO_EMPTY_BAY


def test_an_empty_bay_that_others_use_is_waited_for() -> None:
    one = story()
    one.begin()
    assert one.declined(request_id=42, id_token="a" * 64) is RefusalReason.NO_EMPTY_BAY


def test_an_uncollected_battery_is_reported_and_owed() -> None:
    one = story()
    one.begin()
    one.show(bay(1, OLD))
    one.look()
    one.look(RULES.out_timeout_s + 1)
    assert one.steps[-1] == (SwapStep.BATTERY_OUT_TIMEOUT, "EVS-4")
    assert one.ended[41].phase == "out_timed_out"
    assert one.floor.bays[4].owed_to == TOKEN
    assert one.use(4) is Use.IDLE


def owing() -> Story:
    """A station that has the battery of a customer who left without another, and an empty bay again."""
    one = story()
    one.begin()
    one.show(bay(1, OLD))
    one.look()
    one.look(RULES.out_timeout_s + 1)
    one.show(bay(1))
    one.look()
    return one


def test_whoever_is_owed_a_battery_comes_back_with_none_and_gets_it() -> None:
    one = owing()
    swap = one.begin(42)
    assert (swap.bay_out, swap.collects) == (4, True)
    assert one.to_open() == [4]
    one.show(bay(4))
    one.look()
    assert one.steps[2:] == [(SwapStep.BATTERY_OUT, "EVS-4")]
    assert one.ended[42].phase == "completed"
    assert not one.begin(43).collects, "nothing is owed any more"


def test_what_is_owed_stays_owed_when_it_is_not_taken_again() -> None:
    one = owing()
    one.begin(42, authority=Authority.OFFLINE, authorisation_id="auth-1")
    one.look(RULES.out_timeout_s + 1)
    assert one.ended[42].phase == "out_timed_out"
    assert one.given_back == ["auth-1"]
    assert one.begin(43).collects


def test_what_is_owed_to_somebody_goes_to_others_last() -> None:
    one = owing()
    assert one.begin(42, id_token="1" * 64).bay_out == 3


def test_a_battery_that_is_not_brought_is_not_reported_and_its_authorisation_not_used() -> None:
    one = story()
    one.begin(authority=Authority.OFFLINE, authorisation_id="auth-1")
    one.look(RULES.in_timeout_s + 1)
    assert one.ended[41].phase == "in_timed_out"
    assert one.told == []
    assert one.given_back == ["auth-1"]


def test_a_battery_that_was_taken_and_not_replaced_ends_the_swap_unreported() -> None:
    one = story(OUT_FIRST)
    one.begin(authority=Authority.OFFLINE, authorisation_id="auth-1")
    one.show(bay(4))
    one.look(RULES.in_timeout_s + 3)
    assert one.ended[41].phase == "in_timed_out"
    assert one.steps == [(SwapStep.BATTERY_OUT, "EVS-4")]
    assert one.given_back == []


@pytest.mark.parametrize("foreign", [battery("OTHER-1"), None], ids=["of others", "nameless"])
@BOTH
def test_an_unregistered_battery_puts_its_bay_in_quarantine(
    rules: SwapRules, foreign: Battery | None
) -> None:
    one = story(rules)
    one.begin()
    if rules is OUT_FIRST:
        one.show(bay(4))
        one.look()
    one.show(bay(1, foreign, occupancy=Occupancy.OCCUPIED))
    one.look(PATIENCE.identify_s + 2)
    assert one.ended[41].phase == "turned_away"
    (refusal,) = one.refusals
    assert (refusal.reason, refusal.bay) == (RefusalReason.UNREGISTERED_BATTERY, 1)
    assert (refusal.battery is None) == (foreign is None)
    assert one.use(1) is Use.QUARANTINED
    assert one.use(4) is Use.IDLE
    one.show(bay(1))
    one.look()
    assert one.use(1) is Use.IDLE
    assert one.inventories == [{1: None}], "it went without a swap"


def test_a_battery_that_tells_its_name_late_is_ours_after_all() -> None:
    one = story()
    one.begin()
    one.show(bay(1, None, occupancy=Occupancy.OCCUPIED))
    one.look(PATIENCE.identify_s + 2)
    assert one.use(1) is Use.QUARANTINED
    one.show(bay(1, OLD))
    one.look()
    assert one.use(1) is Use.IDLE
    assert one.inventories == [{1: "EVS-OLD"}]


def test_a_foreign_battery_is_quarantined_wherever_it_is_found() -> None:
    one = story()
    one.show(bay(1, battery("OTHER-1")))
    one.look()
    assert one.use(1) is Use.QUARANTINED
    assert one.inventories == [{1: "OTHER-1"}]


def test_a_second_battery_in_is_not_told() -> None:
    """The contact bounces, and the customer takes theirs back and puts it in again."""
    one = story()
    one.begin()
    one.show(bay(1, OLD))
    one.look()
    one.show(bay(1))
    one.look()
    one.show(bay(1, OLD))
    one.look()
    assert one.steps == [(SwapStep.BATTERY_IN, "EVS-OLD")]
    assert one.inventories == [{1: None}, {1: "EVS-OLD"}]


def test_a_battery_that_vanishes_before_its_door_was_opened_ends_the_swap() -> None:
    one = story()
    one.begin()
    one.show(bay(4))
    one.look()
    assert one.ended[41].phase == "turned_away"
    assert one.refusals[0].reason is RefusalReason.NO_BATTERY
    assert one.inventories == [{4: None}]


def test_two_at_once_are_served_and_a_third_or_the_same_customer_is_not() -> None:
    one = Story(RULES, bay(1), bay(2), bay(3), *(bay(n, battery(f"EVS-{n}")) for n in (4, 5, 6)))
    one.begin(1)
    assert one.declined(request_id=2) is RefusalReason.BUSY
    one.begin(2, id_token="1" * 64)
    assert one.declined(request_id=3, id_token="2" * 64) is RefusalReason.BUSY


# --- seeing ---------------------------------------------------------------------------------------------


def test_nothing_is_believed_at_first_sight() -> None:
    one = story()
    one.begin()
    one.show(bay(1, OLD))
    one.look(0.5)
    one.show(bay(1))
    one.look()
    assert one.told == []


def test_a_battery_that_falls_silent_stays_the_one_that_it_was() -> None:
    one = story()
    one.show(bay(4, None, occupancy=Occupancy.OCCUPIED))
    one.look(60.0)
    one.show(bay(4, battery("EVS-4")))
    one.look(60.0)
    assert one.told == []


def test_a_broken_bay_is_out_of_service_and_comes_back_with_its_promise() -> None:
    one = story()
    promise = Promise(TOKEN, "boot", one.now, 500.0, 0.0)
    one.take(floors.promised(one.floor, 4, promise))
    one.show(bay(4, battery("EVS-4"), health=Health.FAULT))
    one.look()
    assert one.use(4) is Use.OUT_OF_SERVICE
    assert one.begin(id_token="1" * 64).bay_out == 3
    one.show(bay(4, battery("EVS-4")))
    one.look()
    assert one.use(4) is Use.RESERVED


def test_what_is_not_free_is_neither_promised_nor_assigned() -> None:
    state = BayState(bay=1, use=Use.QUARANTINED)
    with pytest.raises(BayNotFree, match="bay 1 is quarantined and cannot become reserved"):
        reserved(state, Promise(TOKEN, "boot", 0.0, 1.0, 0.0))
    with pytest.raises(BayNotFree):
        assigned(state, 41, Use.OFFERED_IN)


# --- choosing -------------------------------------------------------------------------------------------


def test_a_promised_battery_is_kept_for_its_customer_and_is_theirs() -> None:
    one = story()
    one.take(floors.promised(one.floor, 3, Promise(TOKEN, "boot", one.now, 100.0, 0.0)))
    assert one.begin(1, id_token="1" * 64).bay_out == 4
    other = story()
    other.take(floors.promised(other.floor, 3, Promise(TOKEN, "boot", other.now, 100.0, 0.0)))
    assert other.begin(1, id_token=TOKEN).bay_out == 3


def test_a_promise_lapses_by_seconds_within_a_boot_and_by_a_right_clock_after_it() -> None:
    one = story()
    until = one.stamp.wall_s + 100.0
    one.take(floors.promised(one.floor, 3, Promise(TOKEN, "boot", one.now, 100.0, until)))
    one.take(floors.lapsed(one.floor, stamp(one.now + 99.0)))
    assert one.use(3) is Use.RESERVED
    later = stamp(2_000.0, boot_id="another", clock=Clock.ESTIMATED)
    one.take(floors.lapsed(one.floor, later))
    assert one.use(3) is Use.RESERVED, "nobody can tell how late it is"
    one.take(floors.lapsed(one.floor, msgspec.structs.replace(later, clock=Clock.SYNCHRONIZED)))
    assert one.use(3) is Use.IDLE


def test_a_veto_keeps_a_bay_out_of_every_swap() -> None:
    one = story()
    assert one.begin(veto=lambda number: "smoke" if number == 4 else None).bay_out == 3
    other = story()
    begun = other.begin(veto=lambda number: "door" if number == 1 else None)
    assert begun.bay_in == begun.bay_out == 4


def test_a_customer_whose_battery_is_forbidden_meanwhile_gets_another() -> None:
    one = story()
    one.begin()
    one.show(bay(1, OLD))
    one.look()
    one.reoffer(lambda number: "hot" if number == 4 else None)
    assert one.to_open() == [3]
    one.look()
    assert one.use(4) is Use.IDLE
    one.show(bay(3))
    one.look()
    assert one.steps[-1] == (SwapStep.BATTERY_OUT, "EVS-3")


@pytest.mark.parametrize("lock", [Lock.UNLOCKED, Lock.UNKNOWN])
def test_a_battery_that_somebody_may_be_taking_is_not_exchanged_for_another(lock: Lock) -> None:
    one = story()
    one.begin()
    one.show(bay(1, OLD), bay(4, battery("EVS-4", soh=99.0), lock=lock))
    one.look()
    one.reoffer(lambda number: "hot")
    one.show(bay(4))
    one.look()
    assert one.steps[-1] == (SwapStep.BATTERY_OUT, "EVS-4")


def test_a_tier_gets_what_it_has_paid_for() -> None:
    rules = msgspec.json.decode(b'{"enabled": true, "tiers": {"plus": {"min_soh": 98}}}', type=SwapRules)
    one = Story(rules, bay(1), bay(2, battery("B", soc=97.0, soh=99.0)), bay(3, battery("C", soh=90.0)))
    assert one.begin(tier="plus").bay_out == 2
    other = Story(rules, bay(1), bay(3, battery("C", soh=90.0)))
    assert other.declined(tier="plus") is RefusalReason.NO_BATTERY


def _holding(serial_number: str) -> Content:
    return Content(occupied=True, serial_number=serial_number)


@st.composite
def _states(draw: st.DrawFn, number: int) -> tuple[BayState, Bay]:
    inside = draw(
        st.none()
        | st.builds(
            battery,
            st.sampled_from(["EVS-1", "OTHER"]),
            soc=st.sampled_from([50.0, 95.0, 100.0]),
            soh=st.sampled_from([50.0, 95.0]),
        )
    )
    shown = bay(
        number,
        inside,
        charge=draw(st.sampled_from(Charge)),
        health=draw(st.sampled_from(Health)),
        occupancy=draw(st.sampled_from(Occupancy)),
    )
    state = BayState(
        bay=number,
        use=draw(st.sampled_from(Use)),
        content=draw(
            st.sampled_from([None, EMPTY, NAMELESS, Content(True, "EVS-1"), Content(True, "OTHER")])
        ),
        sighting=draw(st.none() | st.just(Sighting(EMPTY, 1.0))),
    )
    return state, shown


@given(_states(1), st.booleans())
def test_what_is_counted_as_available_is_what_a_customer_would_get(
    pair: tuple[BayState, Bay], forbidden: bool
) -> None:
    state, shown = pair
    veto = (lambda _: "smoke") if forbidden else never
    given_away = best_battery({1: shown}, {1: state}, RULES, veto)
    told = as_told(shown, state, RULES, veto)
    assert count_bays([told]).available == (given_away is not None)


def test_a_station_that_runs_no_swaps_tells_its_bays_as_they_are_but_for_promises() -> None:
    shown = bay(1, battery("OTHER", soc=95.0), charge=Charge.CHARGING)
    state = BayState(bay=1, use=Use.RESERVED, promise=Promise(TOKEN, "boot", 0.0, 1.0, 0.0))
    told = as_told(shown, state, SwapRules(), never)
    assert told == msgspec.structs.replace(shown, reservation=Reservation.RESERVED)


# --- telling what stands there --------------------------------------------------------------------------


@pytest.mark.parametrize(("bays", "events"), [(8, 1), (35, 1), (120, 8)])
def test_an_inventory_is_split_so_that_each_event_fits(bays: int, events: int) -> None:
    """With serial numbers as long as they may be, and the longest names around them."""
    pairs = []
    for number in range(1, bays + 1):
        serial_number = f"{number:03}".ljust(50, "x") if events > 1 else f"EVS-{number}"
        shown = bay(number, battery(serial_number, soc=99.999, soh=88.888))
        pairs.append((BayState(bay=number, content=_holding(serial_number)), shown))
    told = list(inventory_of(pairs, InventoryReason.START, stamp(1.0)))
    assert [one.bay for event in told for one in event.bays] == list(range(1, bays + 1))
    longest: dict[str, Any] = {"station_id": "s" * 64, "stream_id": "t" * 64, "sequence": 2**53 - 1}
    topic = aws_topic(Channel.EVENT, "s" * 64)
    assert all(len(placed(event, **longest)) + len(topic) <= MAX_INVENTORY_BYTES for event in told)
    assert len(told) <= events


# --- after a crash --------------------------------------------------------------------------------------


@BOTH
def test_a_process_that_comes_at_once_goes_on_as_if_nothing_had_been(rules: SwapRules) -> None:
    one = story(rules)
    one.begin()
    first, second = (bay(1, OLD), bay(4)) if rules is RULES else (bay(4), bay(1, OLD))
    one.crash(seconds=10.0)
    assert one.to_open() == [first.bay]
    one.show(first)
    one.look()
    one.crash(seconds=10.0)
    one.show(second)
    one.look()
    assert one.ended[41].phase == "completed"
    assert len(one.steps) == 2


@pytest.mark.parametrize("reboot", [False, True], ids=["too late", "another boot"])
def test_what_happened_meanwhile_is_seen_before_the_time_is_up_and_no_door_is_opened(reboot: bool) -> None:
    one = story()
    one.begin()
    one.show(bay(1, OLD))
    one.look()
    one.crash(seconds=1_000.0, reboot=reboot)
    assert one.to_open() == []
    one.show(bay(4))
    one.look()
    assert one.steps[-1] == (SwapStep.BATTERY_OUT, "EVS-4")
    assert one.ended[41].phase == "completed"


def test_a_swap_that_nobody_finished_meanwhile_is_over() -> None:
    one = story()
    one.begin()
    one.crash(reboot=True)
    one.look()
    assert one.ended[41].phase == "in_timed_out"


def test_a_swap_ends_also_when_nobody_can_see_it() -> None:
    one = story()
    one.begin()
    one.now += RULES.in_timeout_s + RULES.relock_s + 1
    one.take(floors.not_seen(one.floor, one.stamp, RULES))
    assert one.ended[41].phase == "in_timed_out"


# --- everything at once ---------------------------------------------------------------------------------


class Station(RuleBasedStateMachine):
    """Customers who do what they like, contacts that bounce, doors that stay open, and a power that goes."""

    BAYS = 5

    @initialize(order=st.sampled_from(SwapOrder), full=st.integers(1, 4))
    def opens(self, order: SwapOrder, full: int) -> None:
        self.truth: dict[int, str | None] = {
            number: f"EVS-{number}" if number <= full else None for number in range(1, self.BAYS + 1)
        }
        self.doors: set[int] = set()
        self.outside = [f"EVS-C{number}" for number in range(3)] + ["OTHER-1"]
        self.requests = 0
        rules = msgspec.structs.replace(RULES, order=order)
        self.story = Story(rules, *self.bays())
        self.ledger = dict(self.truth)
        self.read = 0
        self.glitched: set[int] = set()

    def bays(self) -> list[Bay]:
        return [
            bay(
                number,
                None if serial is None else battery(serial),
                lock=Lock.UNLOCKED if number in self.doors else Lock.LOCKED,
            )
            for number, serial in self.truth.items()
        ]

    @rule(token=st.sampled_from(["1" * 64, "2" * 64, "3" * 64]))
    def a_customer_comes(self, token: str) -> None:
        self.requests += 1
        self.story.show(*self.bays())
        with suppress(Declined):
            self.story.begin(self.requests, id_token=token)

    @rule(
        seconds=st.sampled_from([0.3, 1.2, 5.0, 61.0, 100.0]),
        glitch=st.none() | st.tuples(st.integers(1, BAYS), st.sampled_from(["empty", "blind", "nameless"])),
        obeys=st.booleans(),
        hot=st.integers(0, BAYS),
    )
    def the_station_looks(
        self, seconds: float, glitch: tuple[int, str] | None, obeys: bool, hot: int
    ) -> None:
        shown = {one.bay: one for one in self.bays()}
        glitched: set[int] = set()
        if glitch is not None and glitch[0] not in self.glitched:
            number, how = glitch
            glitched = {number}
            shown[number] = self._as_if(shown[number], how)
        self.glitched = glitched
        self.story.show(*shown.values())
        self.story.look(seconds, step=seconds)
        self.story.reoffer(lambda number: "hot" if number == hot else None)
        if obeys:
            self.doors |= {number for number in self.story.to_open() if number is not None}

    def _as_if(self, shown: Bay, how: str) -> Bay:
        if how == "blind":
            return msgspec.structs.replace(shown, occupancy=Occupancy.UNKNOWN, battery=None)
        if how == "nameless":
            return msgspec.structs.replace(shown, battery=None)
        return msgspec.structs.replace(shown, occupancy=Occupancy.EMPTY, battery=None)

    @precondition(lambda self: self.doors)
    @rule(data=st.data())
    def somebody_takes_or_brings(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.doors)))
        inside = self.truth[number]
        if inside is not None:
            self.outside.append(inside)
            self.truth[number] = None
        elif self.outside:
            self.truth[number] = self.outside.pop(data.draw(st.integers(0, len(self.outside) - 1)))

    @precondition(lambda self: self.doors)
    @rule(data=st.data())
    def a_door_shuts(self, data: st.DataObject) -> None:
        self.doors.discard(data.draw(st.sampled_from(sorted(self.doors))))

    @rule(number=st.integers(1, BAYS))
    def a_technician_takes_or_brings(self, number: int) -> None:
        if self.truth[number] is not None:
            self.outside.append(self.truth[number] or "")
            self.truth[number] = None
        elif self.outside:
            self.truth[number] = self.outside.pop()

    @rule(seconds=st.sampled_from([0.0, 10.0, 500.0]), reboot=st.booleans())
    def the_power_goes(self, seconds: float, reboot: bool) -> None:
        self.story.crash(seconds=seconds, reboot=reboot)
        self.glitched = set()

    @invariant()
    def every_bay_serves_one_swap_at_most(self) -> None:
        if not hasattr(self, "story"):
            return
        floor = self.story.floor
        for swap in floor.swaps.values():
            for number in {swap.bay_in, swap.bay_out}:
                assert floor.bays[number].request_id == swap.request_id
        serving = {state.request_id for state in floor.bays.values()} - {None}
        assert serving == set(floor.swaps)

    @invariant()
    def a_step_is_told_once_and_in_an_order_that_makes_sense(self) -> None:
        if not hasattr(self, "story"):
            return
        steps = defaultdict(list)
        for one in self.story.told:
            if isinstance(one, SwapEvent):
                steps[one.request_id].append(one.step)
        brought, taken, left = SwapStep.BATTERY_IN, SwapStep.BATTERY_OUT, SwapStep.BATTERY_OUT_TIMEOUT
        first_in = [[brought], [brought, taken], [brought, left]]
        first_out = [[taken], [taken, brought], [left]]
        allowed = first_in if self.story.rules.order is SwapOrder.IN_FIRST else first_out
        swaps = {**self.story.ended, **self.story.floor.swaps}
        for request_id, told in steps.items():
            assert told in ([[taken], [left]] if swaps[request_id].collects else allowed)

    @invariant()
    def no_battery_is_in_two_places(self) -> None:
        if not hasattr(self, "story"):
            return
        for event in self.story.told[self.read :]:
            self._book(event)
        self.read = len(self.story.told)

    def _book(self, event: Draft) -> None:
        match event:
            case SwapEvent(step=SwapStep.BATTERY_IN):
                self.ledger[event.batteries[0].bay] = event.batteries[0].serial_number
            case SwapEvent(step=SwapStep.BATTERY_OUT):
                assert self.ledger[event.batteries[0].bay] == event.batteries[0].serial_number
                self.ledger[event.batteries[0].bay] = None
            case InventoryEvent():
                self.ledger |= {one.bay: one.serial_number for one in event.bays}
            case RefusalEvent(battery=found) if found is not None:
                self.ledger[found.bay] = found.serial_number

    def teardown(self) -> None:
        """Everybody leaves, and the station looks until nothing is under way: what it told is the truth."""
        if not hasattr(self, "story"):
            return
        self.doors = set()
        self.story.show(*self.bays())
        self.story.look(400.0, step=5.0)
        assert self.story.floor.swaps == {}
        assert set(self.story.ended) <= set(range(1, self.requests + 1))
        self.no_battery_is_in_two_places()
        assert self.ledger == self.truth
        free = {Use.IDLE, Use.QUARANTINED}
        assert {state.use for state in self.story.floor.bays.values()} <= free


TestStation = Station.TestCase
TestStation.settings = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
