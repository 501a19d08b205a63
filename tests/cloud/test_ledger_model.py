"""A network of stations and customers, told to the ledger by a queue that keeps no order.

The model knows where every battery really is. Stations tell of what happened; what they tell waits, comes in
any order, several at a time and again. Whenever everything has come the ledger has to agree with the model.
"""

from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from evswap_cloud.events import StationEvent
from evswap_cloud.ledger import LedgerReader, Place, SwapState, enter, memory_book
from evswap_cloud.ledger.swaps import state_of
from evswap_schema import Clock, Event, SwappedBattery, SwapStep
from tests.cloud.messages import NOW
from tests.cloud.station_events import holds, inventory, swap

STATIONS = ("station-01", "station-02")
BAYS = (1, 2)
CUSTOMERS = ("a" * 64, "b" * 64)
START = NOW - timedelta(days=2)
Slot = tuple[str, int]


class Network(RuleBasedStateMachine):
    """``stands`` is the battery in each bay, ``held`` those of each customer, ``lost`` what was stolen."""

    def __init__(self) -> None:
        super().__init__()
        self.book = memory_book()
        self.moment = START
        self.sequence = dict.fromkeys(STATIONS, 0)
        self.stands: dict[Slot, str | None] = {}
        self.held: dict[str, list[str]] = {customer: ["C-" + customer[0]] for customer in CUSTOMERS}
        self.known: dict[str, Slot] = {}
        self.waiting: list[StationEvent] = []
        self.heard: list[StationEvent] = []
        self.request = 0
        self.missing: set[str] = set()
        for number, station in enumerate(STATIONS):
            for bay in BAYS:
                self.stands[station, bay] = f"S-{number}{bay}" if bay == 1 else None
            self._tell_inventory(station)

    # --- what happens ---

    @rule(station=st.sampled_from(STATIONS), customer=st.sampled_from(CUSTOMERS), estimated=st.booleans())
    def give_and_take(self, station: str, customer: str, estimated: bool) -> None:
        """A whole swap, if there is a battery, a free bay and one to give."""
        full, free = self._bay(station, full=True), self._bay(station, full=False)
        if full is None or free is None or not self.held[customer]:
            return
        self.request += 1
        self._give(station, free, customer, estimated)
        self._take(station, full, customer, estimated)

    @rule(station=st.sampled_from(STATIONS), customer=st.sampled_from(CUSTOMERS))
    def give_only(self, station: str, customer: str) -> None:
        """The customer goes away without taking one."""
        free, full = self._bay(station, full=False), self._bay(station, full=True)
        if free is None or not self.held[customer]:
            return
        self.request += 1
        self._give(station, free, customer, estimated=False)
        if full is not None:
            serial = self.stands[station, full]
            assert serial is not None
            self._tell_step(station, SwapStep.BATTERY_OUT_TIMEOUT, serial, full, customer, estimated=False)

    @rule(station=st.sampled_from(STATIONS), customer=st.sampled_from(CUSTOMERS))
    def take_only(self, station: str, customer: str) -> None:
        """A customer who owes one afterwards."""
        full = self._bay(station, full=True)
        if full is not None:
            self.request += 1
            self._take(station, full, customer, estimated=False)

    @rule(station=st.sampled_from(STATIONS), bay=st.sampled_from(BAYS))
    def somebody_takes_it_away(self, station: str, bay: int) -> None:
        """A battery goes without a swap; the station says what it found."""
        serial, self.stands[station, bay] = self.stands[station, bay], None
        if serial is not None:
            self.missing.add(serial)
        self._tell_inventory(station)

    @rule(station=st.sampled_from(STATIONS))
    def station_begins(self, station: str) -> None:
        self._tell_inventory(station)

    # --- what is heard of it ---

    @rule(data=st.data(), count=st.integers(1, 6))
    def some_are_heard(self, data: Any, count: int) -> None:
        for _ in range(min(count, len(self.waiting))):
            self.heard.append(self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1))))
        self._enter(self.heard[-count:])

    @precondition(lambda self: self.heard)
    @rule(data=st.data())
    def some_are_heard_again(self, data: Any) -> None:
        self._enter([data.draw(st.sampled_from(self.heard))])

    @rule()
    def all_are_heard(self) -> None:
        """Now the ledger has to know what is."""
        self._enter(self.waiting)
        self.heard += self.waiting
        self.waiting = []
        for serial in self._seen():
            answer = LedgerReader(self.book.batteries, self.book.swaps).find(serial, NOW)
            assert answer is not None, f"{serial} is lost"
            assert (answer.whereabouts.place, answer.whereabouts.id_token) == self._truth(serial), serial
            if answer.whereabouts.place is Place.STATION:
                where = answer.whereabouts
                assert self.stands[where.station_id, where.bay] == serial
        self._swaps_have_ended()

    @invariant()
    def no_battery_is_in_two_places_and_no_bay_holds_two(self) -> None:
        """Of what has been heard so far, which may contradict itself as long as something is missing."""
        if self.waiting:
            return
        taken: dict[Slot, str] = {}
        for serial, battery in self.book.batteries.every():
            assert battery.serial_number == serial
            answer = LedgerReader(self.book.batteries, self.book.swaps).find(serial, NOW)
            assert answer is not None
            where = answer.whereabouts
            if where.place is Place.STATION:
                assert taken.setdefault((where.station_id, where.bay), serial) == serial

    # --- how ---

    def _give(self, station: str, bay: int, customer: str, estimated: bool) -> None:
        serial = self.held[customer].pop()
        self.stands[station, bay] = serial
        self._tell_step(station, SwapStep.BATTERY_IN, serial, bay, customer, estimated)

    def _take(self, station: str, bay: int, customer: str, estimated: bool) -> None:
        serial, self.stands[station, bay] = self.stands[station, bay], None
        assert serial is not None
        self.held[customer].append(serial)
        self._tell_step(station, SwapStep.BATTERY_OUT, serial, bay, customer, estimated)

    def _tell_step(
        self, station: str, step: SwapStep, serial: str, bay: int, customer: str, estimated: bool
    ) -> None:
        battery = SwappedBattery(bay=bay, serial_number=serial, soc=50.0, soh=97.0)
        told = swap(
            step=step, batteries=(battery,), request_id=self.request, id_token=customer, **self._next(station)
        )
        self._tell(told)
        if estimated:
            wrong = told.timestamp - timedelta(days=300)
            self._tell(swap(**_fields(told) | {"clock": Clock.ESTIMATED, "timestamp": wrong}))

    def _tell_inventory(self, station: str) -> None:
        fields = self._next(station)
        bays = [holds(bay, self.stands[station, bay]) for bay in BAYS]
        self._tell(inventory(fields.pop("sequence"), *bays, **fields))

    def _next(self, station: str) -> dict[str, Any]:
        self.moment += timedelta(minutes=1)
        self.sequence[station] += 1
        return {"station_id": station, "sequence": self.sequence[station], "timestamp": self.moment}

    def _tell(self, event: Event) -> None:
        self.waiting.append(StationEvent(event=event, occurred_at=event.timestamp, received_at=NOW))

    def _enter(self, events: list[StationEvent]) -> None:
        assert enter(self.book, events).failures == {}

    def _bay(self, station: str, *, full: bool) -> int | None:
        bays = (bay for bay in BAYS if (self.stands[station, bay] is not None) is full)
        return next(bays, None)

    def _seen(self) -> set[str]:
        """Every battery that a station has ever told of."""
        swapped = {one.serial_number for event in self.heard for one in getattr(event.event, "batteries", ())}
        listed = {one.serial_number for event in self.heard for one in getattr(event.event, "bays", ())}
        return {serial for serial in swapped | listed if serial is not None}

    def _truth(self, serial: str) -> tuple[Place, str | None]:
        if serial in self.missing:
            return Place.MISSING, None
        for customer, held in self.held.items():
            if serial in held:
                return Place.CUSTOMER, customer
        return Place.STATION, None

    def _swaps_have_ended(self) -> None:
        """Every battery that went out was in a swap that is completed, or half done for good."""
        for _, record in self.book.swaps.every():
            state = state_of(record)
            if record.step(SwapStep.BATTERY_OUT) is not None:
                assert state in {SwapState.COMPLETED, SwapState.HALF_OUT}
            if record.step(SwapStep.BATTERY_OUT_TIMEOUT) is not None:
                assert state is SwapState.OUT_TIMED_OUT


def _fields(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


TestNetwork = Network.TestCase
TestNetwork.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
