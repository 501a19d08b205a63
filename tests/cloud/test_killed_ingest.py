"""A function that is killed at any write: what its records have done, undone or half done, is put right when
they come again, and nothing is there twice.

Killed is killed: no handler of an exception runs. Each write is tried as the last thing that happened and as
the first that did not.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

import pytest

from evswap_cloud.archive import readings_in
from evswap_cloud.bays import Bays
from evswap_cloud.handlers.direct import ingest_direct
from evswap_cloud.handlers.sqs import ingest_event
from evswap_cloud.ingest import Delivery
from evswap_cloud.latest import LatestState, Offer, Offered
from evswap_schema import (
    Channel,
    Event,
    Occupancy,
    Reading,
    SwapStep,
    decode_event,
    decode_reading,
    encode_reading,
)
from tests.cloud.logs import Log
from tests.cloud.messages import (
    NOW,
    bay,
    delivered,
    delivered_batches,
    delivery,
    envelope,
    reading,
    sqs_event,
)
from tests.cloud.station_events import alarm, delivered_event, inventory, swap
from tests.cloud.stores import FailingLatestStates, Stores

WRITES = {
    "archive": ("add",),
    "quarantine": ("keep",),
    "latest": ("offer", "offer_with_bays"),
    "history": ("keep",),
    "kept": ("keep",),
    "messenger": ("send",),
}
LEDGER = ("batteries", "slots", "swaps", "accounts")


class Killed(BaseException):
    """The process ends here."""


class When(StrEnum):
    BEFORE = "before"
    AFTER = "after"


class Reaper:
    """Counts the writes to ``stores``, and ends the process at one of them (0: the first; None: at none)."""

    def __init__(self, stores: Stores, at: int | None = None, when: When = When.AFTER) -> None:
        self.writes = 0
        self._at = at
        self._when = when
        for name, methods in WRITES.items():
            for method in methods:
                self._guard(getattr(stores, name), method)
        for shelf in LEDGER:
            self._guard(getattr(stores.ledger, shelf), "change")

    def _guard(self, store: Any, method: str) -> None:
        write = getattr(store, method)

        def guarded(*arguments: Any, **named: Any) -> Any:
            number, self.writes = self.writes, self.writes + 1
            if number == self._at and self._when is When.BEFORE:
                raise Killed
            outcome = write(*arguments, **named)
            if number == self._at:
                raise Killed
            return outcome

        setattr(store, method, guarded)


# --- what the functions are given ---------------------------------------------------------------------------


def run(station_id: str, first: int, count: int = 3) -> list[Reading]:
    """Samples of a station of two bays, of which one is emptied."""
    return [
        reading(
            station_id=station_id,
            stream_id=f"stream-of-{station_id}",
            sequence=number,
            timestamp=NOW - timedelta(seconds=60 - number),
            battery_available=number,
            acknowledge=True,
            bays=(bay(1), bay(2) if number % 2 else bay(2, occupancy=Occupancy.EMPTY, battery=None)),
        )
        for number in range(first, first + count)
    ]


def nonsense(record_id: str, channel: Channel) -> Delivery:
    return delivery(envelope(b"{no reading", channel=channel), record_id)


def singles(first: int = 1) -> list[Delivery]:
    readings = [*run("station-01", first), *run("station-02", first)]
    good = [delivered(one, f"{one.station_id}-{one.sequence}") for one in readings]
    return [*good, nonsense(f"bad-{first}", Channel.TELEMETRY)]


def batches(first: int = 1) -> list[Delivery]:
    return [
        *delivered_batches(run("station-01", first), f"a-{first}"),
        *delivered_batches(run("station-02", first), f"b-{first}"),
        *delivered_batches(run("station-02", first + 10), f"c-{first}", backlog=True),
        nonsense(f"bad-{first}", Channel.BATCH),
    ]


def changes(first: int = 1) -> list[Delivery]:
    def sent(one: Reading) -> Delivery:
        body = envelope(encode_reading(one), station_id=one.station_id, channel=Channel.CHANGE)
        return delivery(body, f"{one.station_id}-{one.sequence}")

    return [sent(run(station_id, first, 1)[0]) for station_id in ("station-01", "station-02")]


def happenings(first: int = 1) -> list[Delivery]:
    told: list[Event] = [
        inventory(first),
        swap(first + 1, request_id=first),
        swap(first + 2, request_id=first, step=SwapStep.BATTERY_OUT),
        alarm(first + 3),
    ]
    events = [delivered_event(one, f"event-{one.sequence}") for one in told]
    return [*events, nonsense(f"bad-{first}", Channel.EVENT)]


@dataclass(frozen=True)
class Function:
    """One of ingest's, as Lambda calls it, and what it may be given; ``later`` is newer than ``records``."""

    call: Callable[[Stores, Sequence[Delivery]], object]
    records: Callable[..., list[Delivery]]
    archives: bool = True


def queued(name: str) -> Callable[[Stores, Sequence[Delivery]], object]:
    def call(stores: Stores, records: Sequence[Delivery]) -> object:
        answer = ingest_event(
            sqs_event(records), getattr(stores, name), stores.acknowledger, Log("ERROR").logger
        )
        assert answer == {"batchItemFailures": []}
        return answer

    return call


def direct(stores: Stores, records: Sequence[Delivery]) -> None:
    for one in records:
        ingest_direct(json.loads(one.body), one.record_id, stores.change, Log("ERROR").logger)


FUNCTIONS = {
    "live": Function(queued("live"), singles),
    "bulk": Function(queued("bulk"), batches),
    "events": Function(queued("events"), happenings),
    "change": Function(direct, changes, archives=False),
}


# --- what has to be true ------------------------------------------------------------------------------------


def everything(stores: Stores) -> dict[str, Any]:
    """All that anybody could read afterwards. The archive by what it says: of an object that was written
    before the kill its lines may be in another one, too."""
    return {
        "archive": set(archived(stores)),
        "quarantine": stores.quarantine.messages,
        "states": stores.latest.states,
        "history": stores.history.quarters,
        "bays": stores.latest.bays,
        "events": stores.kept.events,
        **{shelf: dict(getattr(stores.ledger, shelf).every()) for shelf in LEDGER},
    }


def archived(stores: Stores) -> Iterator[tuple[str | int | None, ...]]:
    """Whose line each is, by its folder, and its place in its stream."""
    for key, item in stores.archive.objects.items():
        folder = key.partition("/")[0]
        for line in readings_in(key, item.body):
            message = decode_event(line) if folder == "events" else decode_reading(line)
            yield folder, message.station_id, message.stream_id, message.sequence


def demand_archive_first(stores: Stores) -> None:
    """Whatever a store shows is in the archive already: a state or event without its history cannot be
    explained."""
    known = {one[1:] for one in archived(stores)}
    for state in stores.latest.states.values():
        assert (state.station_id, state.stream_id, state.sequence) in known
    for event in stores.kept.events.values():
        said = event.event
        assert (said.station_id, said.stream_id, said.sequence) in known


def undisturbed(function: Function, *groups: Sequence[Delivery]) -> tuple[Stores, int]:
    stores = Stores()
    reaper = Reaper(stores)
    for group in groups:
        function.call(stores, group)
    return stores, reaper.writes


def killed(function: Function, at: int, when: When) -> Stores:
    """The stores as they are when the function was killed at its write number ``at``."""
    stores = Stores()
    reaper = Reaper(stores, at, when)
    with pytest.raises(Killed):
        function.call(stores, function.records())
    assert reaper.writes == at + 1
    return stores


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_records_that_come_again_put_right_what_a_kill_left_half_done(name: str, when: When) -> None:
    function = FUNCTIONS[name]
    wanted, writes = undisturbed(function, function.records())
    assert writes > 1
    for at in range(writes):
        stores = killed(function, at, when)
        if function.archives:
            demand_archive_first(stores)
        function.call(stores, function.records())
        assert everything(stores) == everything(wanted), f"killed {when} write {at}"
        assert set(Counter(archived(stores)).values()) <= {1}, f"doubled by a kill {when} write {at}"


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_newer_records_may_come_before_those_of_the_killed_call(name: str, when: When) -> None:
    function = FUNCTIONS[name]
    wanted, _ = undisturbed(function, function.records(), function.records(5))
    _, writes = undisturbed(function, function.records())
    for at in range(writes):
        stores = killed(function, at, when)
        function.call(stores, function.records(5))
        function.call(stores, function.records())
        assert everything(stores) == everything(wanted), f"killed {when} write {at}"


@pytest.mark.parametrize("name", [name for name, function in FUNCTIONS.items() if function.archives])
def test_records_may_come_again_in_other_groups(name: str) -> None:
    """A queue does not remember who came with whom: then lines may be in two objects, and readers take each
    identity once."""
    function = FUNCTIONS[name]
    wanted, writes = undisturbed(function, function.records())
    for at in range(writes):
        stores = killed(function, at, When.AFTER)
        for one in reversed(function.records()):
            function.call(stores, [one])
        assert everything(stores) == everything(wanted), f"killed after write {at}"


class TornStates(FailingLatestStates):
    """A defect: state and bays are two writes, and a state that has moved is taken for both."""

    def offer_with_bays(self, state: LatestState, bays: Bays) -> Offered:
        if self.offer(state) is Offer.NOT_NEWER:
            return Offered(state=Offer.NOT_NEWER, bays=Offer.NOT_NEWER)
        return super().offer_with_bays(state, bays)


def test_a_write_that_is_torn_would_be_seen() -> None:
    function = FUNCTIONS["bulk"]
    wanted, writes = undisturbed(function, function.records())
    differing = 0
    for at in range(writes):
        stores = Stores(latest=TornStates())
        Reaper(stores, at, When.AFTER)
        with pytest.raises(Killed):
            function.call(stores, function.records())
        function.call(stores, function.records())
        differing += everything(stores) != everything(wanted)
    assert differing > 0
