"""The outbox against a model: whatever is asked of it, in whatever order, and whatever the disk does."""

import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from evswap_edge.outbox import Parcel, StoredEvent
from evswap_edge.outbox.keeper import Failure
from evswap_edge.outbox.leases import samples_in
from evswap_edge.outbox.operations import (
    Forget,
    Learn,
    Look,
    MarkBacklog,
    NewSample,
    PutAside,
    Release,
    Seal,
    Take,
)
from evswap_edge.outbox.records import Item, Kind, Losses, Ticket
from evswap_edge.testing import ManualTime
from tests.edge.outboxes import (
    ALL,
    SMALLEST,
    StubbornDisk,
    ask,
    copy,
    event,
    free,
    keeper,
    parcel_of,
    sample,
    size,
)

BODIES = st.builds(
    lambda seed, length: random.Random(seed).randbytes(length),
    st.integers(0, 2**32),
    st.sampled_from([0, 90, 1_200, 2_100, 5_000, 40_000, 120_000]),
)


class OutboxModel(RuleBasedStateMachine):
    """What was stored and not delivered is there, unless it was given up, which is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.monkeypatch = pytest.MonkeyPatch()
        self.disk = StubbornDisk(self.monkeypatch)
        self.folder = Path(tempfile.mkdtemp())
        self.file = self.folder / "outbox.sqlite"
        self.time = ManualTime()
        self.keeper = keeper(self.file, time=self.time)
        self.there: dict[Ticket, Item] = {}
        self.lent: dict[Ticket, Item] = {}
        self.durable: dict[Ticket, Item] = {}
        self.left_in_trouble: set[Ticket] = set()
        self.names: dict[tuple[type, str, int], bytes] = {}
        self.behind: dict[Ticket, list[Item]] = {}
        self.losses = Losses()
        self.offset: float | None = None

    # --- what comes -----------------------------------------------------------------------------------

    @rule(bodies=st.lists(st.tuples(BODIES, st.booleans(), st.booleans()), min_size=1, max_size=4))
    def append(self, bodies: list[tuple[bytes, bool, bool]]) -> None:
        asked = [
            event(body) if is_event else sample(body, changed=changed) for body, is_event, changed in bodies
        ]
        for item, (body, _, _) in zip(ask(self.keeper, *asked), bodies, strict=True):
            assert item.body == body
            self.came(item)

    @rule(body=BODIES)
    def append_beside_one_that_fails(self, body: bytes) -> None:
        def fails(stream_id: str, sequence: int) -> bytes:
            raise ZeroDivisionError

        failing = NewSample(fails, sample().stamp)
        first, failed, last = ask(self.keeper, sample(body), failing, sample(body))
        assert isinstance(failed, Failure)
        assert isinstance(failed.error, ZeroDivisionError)
        assert last.sequence == first.sequence + 1
        self.came(first)
        self.came(last)

    @rule(count=st.integers(1, 6), parts=st.integers(1, 2), body=BODIES, changed=st.booleans())
    def seal(self, count: int, parts: int, body: bytes, changed: bool) -> None:
        (samples,) = ask(self.keeper, Look(count))
        if not samples:
            return
        new = [parcel_of(samples, body, changed=changed) for _ in range(parts)]
        (parcels,) = ask(self.keeper, Seal(samples, new))
        stored = [gone for gone in samples if gone.ticket in self.durable]
        for gone in samples:
            self.left(gone.ticket)
        for parcel in parcels:
            self.came(parcel)
        if self.keeper.standing.trouble is not None and stored:
            self.behind |= {parcel.ticket: stored for parcel in parcels}

    @rule(seed=st.integers(0, 2**32), count=st.integers(1, 6), changed=st.booleans())
    def flood(self, seed: int, count: int, changed: bool) -> None:
        """Much at once: the bound is soon reached."""
        bodies = random.Random(seed)
        for _ in range(count):
            self.append([(bodies.randbytes(1_000), False, False)])
            self.holds_what_it_should()
            self.seal(3, 1, bodies.randbytes(100_000), changed)
            self.holds_what_it_should()

    # --- what goes ------------------------------------------------------------------------------------

    @rule(kind=st.sampled_from(Kind), limit=st.integers(0, 5), backlog=st.sampled_from([None, False, True]))
    def take(self, kind: Kind, limit: int, backlog: bool | None) -> None:
        (taken,) = ask(self.keeper, Take(kind, limit, backlog))
        tickets = [item.ticket for item in taken]
        assert tickets == sorted(tickets)
        assert len(tickets) <= limit
        for item in taken:
            assert item.ticket not in self.lent
            assert item.ticket in self.there
            self.lent[item.ticket] = item

    @rule(data=st.data())
    @precondition(lambda self: self.lent)
    def acknowledge(self, data: st.DataObject) -> None:
        some = data.draw(st.lists(st.sampled_from(sorted(self.lent)), min_size=1, max_size=4))
        ask(self.keeper, Forget(some[:1]), Forget([*some, Ticket(4_000_000_000)]))
        for ticket in set(some):
            del self.lent[ticket]
            self.left(ticket)

    @rule(data=st.data())
    @precondition(lambda self: self.lent)
    def release(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(sorted(self.lent)))
        ask(self.keeper, Release([ticket]))
        del self.lent[ticket]

    @rule(data=st.data())
    @precondition(lambda self: self.there)
    def deliver_late(self, data: st.DataObject) -> None:
        """What came back may turn out to be delivered after all."""
        ticket = data.draw(st.sampled_from(sorted(self.there)))
        ask(self.keeper, Release([ticket]), Forget([]))
        ask(self.keeper, Forget([ticket]))
        self.lent.pop(ticket, None)
        self.left(ticket)

    @rule(data=st.data())
    @precondition(lambda self: self.lent and self.disk.takes_any and self.disk.takes_new)
    def set_aside(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(sorted(self.lent)))
        before = self.keeper.standing.waiting.set_aside
        ask(self.keeper, PutAside([ticket], "poison"))
        if self.keeper.standing.trouble is None:
            assert self.keeper.standing.waiting.set_aside == before + 1
        del self.lent[ticket]
        self.left(ticket)

    # --- what else happens ------------------------------------------------------------------------------

    @rule()
    def mark_backlog(self) -> None:
        ask(self.keeper, MarkBacklog())
        (live,) = ask(self.keeper, Take(Kind.PARCEL, ALL, backlog=False))
        assert live == []

    @rule(offset_s=st.floats(0, 1e9))
    def learn_offset(self, offset_s: float) -> None:
        ask(self.keeper, Learn("boot", offset_s))
        assert self.keeper.offset_of("boot") == offset_s

    @rule(takes_any=st.booleans())
    def disk_fills(self, takes_any: bool) -> None:
        self.disk.takes_new = False
        self.disk.takes_any = takes_any

    @rule()
    def disk_works(self) -> None:
        self.disk.takes_new = self.disk.takes_any = True
        self.time.stall(10.0)

    @rule()
    @precondition(lambda self: self.disk.takes_any and self.disk.takes_new)
    def restart(self) -> None:
        self.keeper.close()
        self.keeper = keeper(self.file, time=self.time)
        self.lent = {}

    @rule()
    def lose_power(self) -> None:
        """What stands on the disk at this moment, WAL and all, wakes up in another place."""
        self.file = copy(self.file, Path(tempfile.mkdtemp(dir=self.folder)) / "elsewhere")
        self.disk.takes_any = self.disk.takes_new = True
        self.keeper.close()
        self.keeper = keeper(self.file, time=self.time)
        self.lent = {}
        self.losses = self.keeper.standing.losses
        stored = {item.ticket for item in free(self.keeper)}
        assert stored <= self.durable.keys()
        assert stored >= self.durable.keys() - self.left_in_trouble
        self.there = {ticket: self.durable[ticket] for ticket in stored}

    # --- what always holds ------------------------------------------------------------------------------

    @invariant()
    def never_exceeds_its_bound(self) -> None:
        assert size(self.file) <= SMALLEST.max_bytes

    @invariant()
    def holds_what_it_should(self) -> None:
        items = {item.ticket: item for item in free(self.keeper)} | self.lent
        saved = self.samples_that_came_back(items)
        assert items.keys() <= self.there.keys()
        for ticket, item in items.items():
            assert item.body == self.there[ticket].body
            assert (item.stream_id, item.stamp) == (self.there[ticket].stream_id, self.there[ticket].stamp)
        dropped = [self.there.pop(ticket) for ticket in self.there.keys() - items.keys()]
        self.count_what_was_given_up(dropped, saved=saved)
        self.compare_with_what_it_says()
        if self.keeper.standing.trouble is None:
            self.durable = dict(self.there)
            self.left_in_trouble = set()

    def samples_that_came_back(self, items: dict[Ticket, Item]) -> int:
        """When memory has no room for the parcel that says the same as they do, on the disk."""
        back = {
            stored.ticket: stored
            for parcel, samples in self.behind.items()
            if parcel in self.there
            for stored in samples
            if stored.ticket in items
        }
        self.there |= back
        return len(back)

    def count_what_was_given_up(self, dropped: list[Item], *, saved: int) -> None:
        now = self.keeper.standing.losses
        for item in dropped:
            self.left_in_trouble.add(item.ticket)
        events = sum(isinstance(item, StoredEvent) for item in dropped)
        total = sum(samples_in(item) for item in dropped)
        counted = (now.samples + now.events + now.volatile) - (
            self.losses.samples + self.losses.events + self.losses.volatile
        )
        assert counted == total - saved
        if now.volatile == self.losses.volatile:
            assert now.events - self.losses.events == events
        self.losses = now

    def compare_with_what_it_says(self) -> None:
        waiting = self.keeper.standing.waiting
        kinds = [self.of_kind(kind) for kind in Kind]
        assert [waiting.samples, waiting.parcels, waiting.events] == [len(items) for items in kinds]
        assert waiting.parcel_samples == sum(samples_in(parcel) for parcel in kinds[1])
        assert (waiting.oldest is None) == (not self.there)

    def of_kind(self, kind: Kind) -> list[Item]:
        types: Any = {Kind.SAMPLE: "Sample", Kind.PARCEL: "Parcel", Kind.EVENT: "StoredEvent"}
        return [item for item in self.there.values() if type(item).__name__ == types[kind]]

    def came(self, item: Any) -> None:
        if not isinstance(item, Parcel):
            name = (type(item), item.stream_id, item.sequence)
            assert name not in self.names
            self.names[name] = item.body
        assert item.ticket not in self.there
        self.there[item.ticket] = item
        if self.keeper.standing.trouble is None:
            self.durable[item.ticket] = item

    def left(self, ticket: Ticket) -> None:
        del self.there[ticket]
        if self.keeper.standing.trouble is None:
            self.durable.pop(ticket, None)
        else:
            self.left_in_trouble.add(ticket)

    def teardown(self) -> None:
        self.disk.takes_any = self.disk.takes_new = True
        self.keeper.close()
        self.monkeypatch.undo()
        shutil.rmtree(self.folder)


OutboxModel.TestCase.settings = settings(max_examples=20, stateful_step_count=30)
test_outbox_against_a_model = OutboxModel.TestCase
