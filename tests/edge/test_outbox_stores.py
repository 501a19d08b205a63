"""Both places where things wait keep one contract: the disk, and the memory behind it."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evswap_edge.outbox import Bounds, Losses, Parcel, Sample, StoredEvent
from evswap_edge.outbox.disk import DiskStore
from evswap_edge.outbox.memory import MemoryStore
from evswap_edge.outbox.records import URGENT, Item, Kind, Ticket, kind_of, ticket_of
from evswap_edge.outbox.store import Changes, Leaving, Store
from evswap_edge.outbox.thinning import LAST_TICKET, NO_TICKET
from tests.edge.outboxes import ALL, parcel_of, stamp


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore(max_bytes=1_000_000)
        return
    path = tmp_path / "outbox.sqlite"
    with closing(DiskStore(path, station_id="station-01", machine="m", bounds=Bounds())) as disk:
        yield disk


def a_sample(serial: int, body: bytes = b"{}") -> Sample:
    return Sample(
        ticket=ticket_of(serial, Kind.SAMPLE),
        stream_id="s",
        sequence=serial,
        stamp=stamp(float(serial)),
        changed=serial % 2 == 0,
        body=body,
    )


def a_parcel(serial: int) -> Parcel:
    new = parcel_of([a_sample(serial), a_sample(serial + 1)], b"parcel")
    fields = {name: getattr(new, name) for name in new.__struct_fields__}
    return Parcel(ticket=ticket_of(serial, Kind.PARCEL), **fields)


def an_event(serial: int, *, urgent: bool = False) -> StoredEvent:
    ticket = ticket_of(serial, URGENT if urgent else Kind.EVENT)
    return StoredEvent(ticket=ticket, stream_id="e", sequence=serial, stamp=stamp(), body=b"event")


def tickets(store: Store, kind: Kind) -> Sequence[Ticket]:
    return store.tickets(kind, after=NO_TICKET, upto=LAST_TICKET, limit=ALL)


def everything(store: Store) -> list[Item]:
    return [item for kind in Kind for item in store.items(kind, tickets(store, kind))]


def test_things_come_back_as_they_were_by_kind_oldest_first(store: Store) -> None:
    samples = [a_sample(1), a_sample(4, bytes(range(256)) * 20), a_sample(7)]
    store.write(Changes(samples=samples, parcels=[a_parcel(2), a_parcel(5)], events=[an_event(3)]))
    assert everything(store) == [*samples, a_parcel(2), a_parcel(5), an_event(3)]
    assert store.items(Kind.SAMPLE, [samples[1].ticket]) == [samples[1]]


def test_tickets_are_given_within_limits(store: Store) -> None:
    samples = [a_sample(serial) for serial in range(1, 9)]
    store.write(Changes(samples=samples))
    tickets = [sample.ticket for sample in samples]
    assert store.tickets(Kind.SAMPLE, after=NO_TICKET, upto=LAST_TICKET, limit=ALL) == tickets
    assert store.tickets(Kind.SAMPLE, after=tickets[1], upto=tickets[5], limit=3) == tickets[2:5]
    assert store.tickets(Kind.EVENT, after=NO_TICKET, upto=LAST_TICKET, limit=ALL) == []


def test_what_leaves_is_gone_and_what_waits_is_counted(store: Store) -> None:
    store.write(Changes(samples=[a_sample(1), a_sample(2)], parcels=[a_parcel(3)], events=[an_event(4)]))
    waiting = store.waiting
    assert (waiting.samples, waiting.parcels, waiting.parcel_samples, waiting.events) == (2, 1, 2, 1)
    leaving = [Leaving(a_sample(1).ticket, 1), Leaving(a_parcel(3).ticket, 2)]
    store.write(Changes(samples=[a_sample(5)], leaving=leaving))
    assert everything(store) == [a_sample(2), a_sample(5), an_event(4)]
    waiting = store.waiting
    assert (waiting.samples, waiting.parcels, waiting.parcel_samples, waiting.events) == (2, 0, 0, 1)


@pytest.mark.parametrize("store", ["disk"], indirect=True)
@given(serials=st.sets(st.integers(1, 100)), leaving=st.lists(st.integers(1, 100), unique=True))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_just_what_leaves_is_gone_whatever_lies_between(
    store: Store, serials: set[int], leaving: list[int]
) -> None:
    """Those that followed each other leave as a range."""
    store.write(Changes(leaving=[Leaving(ticket, 1) for ticket in tickets(store, Kind.SAMPLE)]))
    store.write(Changes(samples=[a_sample(serial) for serial in sorted(serials)]))
    store.write(Changes(leaving=[Leaving(ticket_of(serial, Kind.SAMPLE), 1) for serial in leaving]))
    left = tickets(store, Kind.SAMPLE)
    assert left == [ticket_of(serial, Kind.SAMPLE) for serial in sorted(serials - set(leaving))]
    assert store.waiting.samples == len(left)


def test_urgent_events_come_first_and_are_given_up_last(store: Store) -> None:
    events = [an_event(1), an_event(2), an_event(3, urgent=True), an_event(4), an_event(5, urgent=True)]
    store.write(Changes(events=events))
    assert everything(store) == [events[at] for at in (2, 4, 0, 1, 3)]
    assert [each.ticket for each in store.oldest_events(3)] == [events[at].ticket for at in (0, 1, 3)]


def test_losses_add_up(store: Store) -> None:
    store.write(Changes(lost=Losses(samples=2)))
    store.write(Changes(lost=Losses(samples=1, events=4)))
    assert store.losses == Losses(samples=3, events=4)


def test_what_might_go_is_told_by_class_oldest_first(store: Store) -> None:
    store.write(Changes(samples=[a_sample(serial) for serial in range(1, 9)], events=[an_event(9)]))
    found = store.candidates((Kind.SAMPLE, True), after=NO_TICKET, upto=ticket_of(6, Kind.SAMPLE), limit=ALL)
    assert [candidate.ticket for candidate in found] == [a_sample(serial).ticket for serial in (2, 4, 6)]
    assert store.count(Kind.SAMPLE) == 8
    assert store.newest_but(Kind.SAMPLE, 3) == a_sample(5).ticket
    assert store.newest_but(Kind.SAMPLE, 8) == NO_TICKET
    assert [kind_of(event.ticket) for event in store.oldest_events(9)] == [Kind.EVENT]


def test_how_far_thinning_has_come_shows_in_the_levels(store: Store) -> None:
    reached: list[Ticket] = [a_parcel(3).ticket, a_parcel(1).ticket, NO_TICKET, NO_TICKET]
    store.write(Changes(parcels=[a_parcel(serial) for serial in (1, 3, 5)]))
    store.write(Changes(fronts={(Kind.PARCEL, False): reached}))
    levels = [item.level for item in everything(store) if isinstance(item, Parcel)]
    assert levels == [2, 1, 0]
    assert list(store.fronts[Kind.PARCEL, False]) == reached
