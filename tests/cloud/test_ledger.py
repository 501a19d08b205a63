"""The ledger of batteries: what follows from the facts, in whatever order and however often they come."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import permutations
from typing import Any

import msgspec
import pytest

from evswap_cloud.errors import LedgerError
from evswap_cloud.ledger import Answer, Book, Code, Finding, LedgerReader, Place, enter, memory_book
from evswap_cloud.ledger.authorisations import Grant, granted
from evswap_cloud.ledger.batteries import KEPT, Battery
from evswap_cloud.ledger.layouts import BATTERIES, SLOTS
from evswap_cloud.ledger.shelves import DynamoShelf, MemoryShelf
from evswap_schema import Authority, Clock, Event, SwapEvent, SwappedBattery, SwapStep
from tests.cloud.messages import NOW
from tests.cloud.station_events import holds, inventory, refusal, station_event, swap

TOKEN, OTHER = "a" * 64, "b" * 64
IN, OUT, LEFT = SwapStep.BATTERY_IN, SwapStep.BATTERY_OUT, SwapStep.BATTERY_OUT_TIMEOUT


def step(
    minute: float, what: SwapStep, serial: str = "B-1", *, bay: int = 1, request: int = 1, **changes: Any
) -> SwapEvent:
    """A step of a swap ``minute`` minutes after noon of the day before, told under that number."""
    battery = SwappedBattery(bay=bay, serial_number=serial, soc=50.0, soh=97.0)
    fields: dict[str, Any] = {
        "step": what,
        "batteries": (battery,),
        "request_id": request,
        "timestamp": at(minute),
        "id_token": TOKEN,
    }
    return swap(round(minute * 60), **(fields | changes))


def at(minute: float) -> Any:
    return NOW - timedelta(days=1) + timedelta(minutes=minute)


def entered(book: Book, events: Iterable[Event]) -> list[Finding]:
    """All in one, as one invocation does."""
    entry = enter(book, [station_event(event) for event in events])
    assert entry.failures == {}
    return list(entry.findings)


def told(*events: Event) -> Book:
    """A ledger that has heard of these, one after the other."""
    book = memory_book()
    for event in events:
        entered(book, [event])
    return book


def found(book: Book, serial: str = "B-1") -> Answer:
    answer = LedgerReader(book.batteries, book.swaps).find(serial, NOW)
    assert answer is not None
    return answer


def codes(book: Book, serial: str = "B-1") -> list[Code]:
    return [one.code for one in found(book, serial).findings]


def place(book: Book, serial: str = "B-1") -> tuple[Place, str, int]:
    where = found(book, serial).whereabouts
    return where.place, where.station_id, where.bay


def test_nobody_knows_of_a_battery_that_was_never_seen() -> None:
    book = memory_book()
    assert LedgerReader(book.batteries, book.swaps).find("B-1", NOW) is None


def test_a_battery_that_came_in_is_in_its_bay_and_one_that_went_out_with_its_customer() -> None:
    book = told(inventory(1, holds(4, "B-2"), timestamp=at(0)), step(1, IN), step(2, OUT, "B-2", bay=4))
    assert place(book) == (Place.STATION, "station-01", 1)
    gone = found(book, "B-2").whereabouts
    assert (gone.place, gone.since, gone.id_token) == (Place.CUSTOMER, at(2), TOKEN)


def test_the_customer_is_forgotten_once_the_battery_is_back() -> None:
    book = told(step(1, OUT), step(9, IN, request=2, id_token=OTHER))
    record = msgspec.json.encode(book.batteries.get("B-1")).decode()
    assert TOKEN not in record
    assert OTHER not in record


def test_but_not_while_the_time_of_its_return_may_still_change() -> None:
    """A correction may show that it came back before it went out again."""
    returned = step(9, IN, request=2, clock=Clock.ESTIMATED)
    book = told(step(1, IN), step(5, OUT, request=3), returned)
    assert place(book)[0] is Place.STATION
    entered(book, [step(9, IN, request=2, timestamp=at(3))])
    assert place(book)[0] is Place.CUSTOMER
    assert found(book).whereabouts.id_token == TOKEN


def test_since_is_not_moved_by_an_inventory_that_only_agrees() -> None:
    book = told(step(1, IN), inventory(9, holds(1, "B-1"), timestamp=at(9)))
    answer = found(book)
    assert (answer.whereabouts.since, answer.battery.last.stamp.at) == (at(1), at(9))
    assert answer.findings == ()


def test_a_battery_that_was_not_taken_is_an_orphan_until_a_swap_moves_it() -> None:
    book = told(step(1, IN, "B-9", bay=2), step(2, LEFT))
    assert found(book).is_orphan
    entered(book, [inventory(8, holds(1, "B-1"), timestamp=at(8))])
    assert found(book).is_orphan
    entered(book, [step(9, OUT, request=2)])
    assert not found(book).is_orphan


def test_a_battery_is_owed_where_its_customer_brought_none_and_had_the_time() -> None:
    book = told(step(2, OUT))
    assert found(book).is_owed
    entered(book, [step(3, IN, "B-9", bay=2)])
    assert not found(book).is_owed
    just_now = NOW - timedelta(minutes=1)
    recent = told(step(2, OUT, timestamp=just_now))
    assert not found(recent).is_owed, "the swap may still go on"


@pytest.mark.parametrize(
    ("events", "unregistered"),
    [
        ([step(1, IN)], True),
        ([refusal(1, battery=SwappedBattery(bay=1, serial_number="B-1", soc=1, soh=1))], True),
        ([step(2, IN), step(1, OUT, request=2, station_id="station-02")], False),
        ([inventory(1, timestamp=at(0)), step(2, OUT), step(9, IN, request=2)], False),
        ([step(1, IN), inventory(9, timestamp=at(9))], True),
    ],
)
def test_a_battery_that_was_brought_before_it_ever_went_out_is_unregistered(
    events: Sequence[Event], unregistered: bool
) -> None:
    assert found(told(*events)).is_unregistered is unregistered


CONTRADICTED: list[tuple[list[Event], list[Code]]] = [
    ([step(1, IN), step(2, IN, request=2)], [Code.CAME_TWICE]),
    ([step(1, IN), step(2, IN, request=2, station_id="station-02")], [Code.CAME_TWICE]),
    ([step(1, OUT), step(2, OUT, request=2)], [Code.LEFT_TWICE]),
    ([step(1, OUT), step(2, LEFT, request=2)], [Code.LEFT_TWICE]),
    ([step(1, IN), step(2, OUT, request=2, station_id="station-02")], [Code.LEFT_FROM_ELSEWHERE]),
    ([step(1, IN), step(2, OUT, request=2, bay=7)], [Code.MOVED]),
    ([step(1, OUT), inventory(9, timestamp=at(9))], [Code.RETURNED_UNREPORTED]),
    ([step(1, IN), inventory(9, holds(5, "B-1"), timestamp=at(9))], [Code.MOVED]),
    ([step(1, IN), inventory(9, holds(1, None), timestamp=at(9))], [Code.MISSED]),
    ([step(1, IN), inventory(9, holds(1, "B-2"), timestamp=at(9))], [Code.MISSED]),
    ([step(1, IN), inventory(9, holds(1, None), holds(5, "B-1"), timestamp=at(9))], [Code.MOVED]),
    ([step(1, IN), inventory(9, holds(2, None), timestamp=at(9))], []),
    ([step(1, IN), inventory(2, holds(1, None), timestamp=at(2)), step(9, IN, request=2)], []),
    ([step(1, IN), step(2, OUT, request=2), step(9, IN, request=3, station_id="station-02")], []),
]


@pytest.mark.parametrize(("events", "expected"), CONTRADICTED)
def test_what_contradicts_is_found_whatever_came_first_and_once(
    events: list[Event], expected: list[Code]
) -> None:
    for order in permutations(events):
        book = memory_book()
        first = [one.code for event in order for one in entered(book, [event])]
        assert codes(book) == expected
        assert {*expected} <= {*first}
        assert [one for event in order for one in entered(book, [event])] == []


def test_an_inventory_moves_a_battery_to_where_it_stands_and_misses_it_where_it_does_not() -> None:
    book = told(step(1, OUT), inventory(5, holds(3, "B-1"), timestamp=at(5), station_id="station-02"))
    assert place(book) == (Place.STATION, "station-02", 3)
    entered(book, [inventory(9, holds(3, None), timestamp=at(9), station_id="station-02")])
    assert place(book) == (Place.MISSING, "station-02", 3)


def test_a_contradiction_that_was_only_late_goes_when_the_missing_event_has_come() -> None:
    book = told(step(1, IN), step(9, IN, request=3, station_id="station-02"))
    assert codes(book) == [Code.CAME_TWICE]
    entered(book, [step(5, OUT, request=2)])
    assert codes(book) == []


def test_a_step_that_is_told_again_under_another_number_is_the_same_step() -> None:
    again = msgspec.structs.replace(step(1, IN), sequence=99, timestamp=at(1.5))
    for order in permutations([step(1, IN), again, step(2, OUT, request=2)]):
        book = told(*order)
        assert codes(book) == []
        assert len(found(book).battery.sightings) == 2


def test_a_battery_taken_after_its_swap_had_timed_out_is_found() -> None:
    [late] = entered(memory_book(), [step(1, LEFT), step(2, OUT)])
    assert late.code is Code.OUT_AFTER_TIMEOUT


def test_what_was_spent_offline_is_added_up_over_all_stations() -> None:
    book = memory_book()
    book.accounts.change("A-1", lambda account: granted(account, "A-1", Grant(TOKEN, 1, NOW)))
    offline: dict[str, Any] = {"authority": Authority.OFFLINE, "authorisation_id": "A-1"}
    assert entered(book, [step(1, IN, **offline), step(2, OUT, "B-2", bay=2, **offline)]) == []
    [over] = entered(book, [step(3, IN, "B-3", station_id="station-02", **offline)])
    assert (over.code, over.subject) == (Code.OVERSPENT, "A-1")
    assert entered(book, [step(3, IN, "B-3", station_id="station-02", **offline)]) == []


def test_swaps_by_an_authorisation_that_nobody_granted_are_found() -> None:
    event = step(1, IN, authority=Authority.OFFLINE, authorisation_id="forged")
    assert [one.code for one in entered(memory_book(), [event])] == [Code.UNKNOWN_AUTHORISATION]


def test_an_event_whose_record_cannot_be_written_fails_alone_and_is_mended_by_coming_again() -> None:
    class Contended(MemoryShelf[str, Battery]):
        refused = "B-2"

        def change(self, key: str, transition: Any) -> Any:
            if key == self.refused:
                raise LedgerError(operation="write", target=key, code="Contended")
            return super().change(key, transition)

    book = memory_book()
    shelf = Contended()
    book = Book(shelf, book.slots, book.swaps, book.accounts)
    events = [station_event(one) for one in (step(1, IN), step(2, OUT, "B-2"), inventory(3))]
    assert enter(book, events).failures.keys() == {1}
    shelf.refused = ""
    assert enter(book, events[1:2]).failures == {}
    assert place(book, "B-2")[0] is Place.CUSTOMER


def test_a_battery_is_missed_even_if_the_first_try_ended_half_way() -> None:
    """The bay's record was written, the battery's was not: the second time has to find it still."""

    class Once(MemoryShelf[str, Battery]):
        refusing = False

        def change(self, key: str, transition: Any) -> Any:
            if self.refusing:
                raise LedgerError(operation="write", target=key, code="ThrottlingException")
            return super().change(key, transition)

    plain, shelf = memory_book(), Once()
    book = Book(shelf, plain.slots, plain.swaps, plain.accounts)
    entered(book, [step(1, IN)])
    shelf.refusing = True
    empty = [station_event(inventory(9, holds(1, None), timestamp=at(9)))]
    assert enter(book, empty).failures.keys() == {0}
    shelf.refusing = False
    enter(book, empty)
    assert place(book)[0] is Place.MISSING


def test_the_records_stay_below_a_write_unit() -> None:
    """With ids as they are: a stream's is 32 characters, and a serial number seldom more than 20."""
    serial, station, stream = "BATTERY-0123456789AB", "station-0123", "f" * 32
    common: dict[str, Any] = {"station_id": station, "stream_id": stream}
    book = told(
        *(
            step(minute, OUT if minute % 2 else IN, serial, bay=120, request=2**31 - 1 - minute, **common)
            for minute in range(2 * KEPT)
        )
    )
    shelves: list[tuple[Any, Any, Any]] = [
        (BATTERIES, book.batteries, serial),
        (SLOTS, book.slots, (station, 120)),
    ]
    for layout, shelf, key in shelves:
        item = DynamoShelf(None, "table", layout).to_item(key, shelf.get(key), 10**6)  # type: ignore[arg-type]
        size = sum(len(name) + len(str(*value.values())) for name, value in item.items())
        assert size <= 1_024, layout.kind
