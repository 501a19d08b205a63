"""The places where things wait, as one: the disk, and memory while the disk takes nothing.

What memory holds moves to the disk as soon as that can be written again. What is delivered in between is
noted there by the room that a reserve file gives up, or as soon as there is any.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import randbelow
from typing import Any, Final

from evswap_edge.clock import Stamp, TimeSource
from evswap_edge.outbox.disk import DiskStore
from evswap_edge.outbox.errors import OutboxDamaged, OutboxFull, OutboxUnwritable
from evswap_edge.outbox.leases import Held, Leases, samples_in
from evswap_edge.outbox.memory import MemoryStore
from evswap_edge.outbox.numbering import Numbers, Tickets
from evswap_edge.outbox.records import (
    Bounds,
    Item,
    Kind,
    Losses,
    StorageTrouble,
    Ticket,
    TroubleKind,
    Waiting,
    kind_of,
    ticket_of,
    urgent_first,
)
from evswap_edge.outbox.reserve import Reserve
from evswap_edge.outbox.schema import PAGE_BYTES, Allowance
from evswap_edge.outbox.store import Changes, Leaving
from evswap_edge.outbox.superseded import Superseded
from evswap_edge.outbox.thinning import LAST_TICKET, NO_TICKET, Cut, cuts
from evswap_schema import Clock

_RETRY_S: Final = 5.0
"""How often a disk that took nothing is asked again."""
_AT_ONCE: Final = 64
_DAY_S: Final = 86_400.0
_ROOM_SHARE: Final = 64
"""Of the bound, one in so many is made free at once: thinning comes seldom, and not with each sample."""
_FAR: Final = 1 << 58
"""Tickets of things that come while nobody knows which there are on the disk begin beyond this."""

_log: Final = logging.getLogger(__name__)


class Shelves:
    """Disk and memory. ``leases`` says what somebody is sending: that is never given up."""

    def __init__(
        self,
        path: Path,
        *,
        open_disk: Callable[[], DiskStore],
        leases: Leases,
        time: TimeSource,
        bounds: Bounds,
    ) -> None:
        """``open_disk`` opens the file at ``path``, whatever that takes. Raises ``OutboxError``, but not when
        the disk takes nothing at the moment."""
        self._path = path
        self._open_disk = open_disk
        self._leases = leases
        self._time = time
        self._bounds = bounds
        self._allowance = Allowance(bounds)
        self._reserve = Reserve(path, size=self._allowance.reserve_bytes)
        self._memory = MemoryStore(max_bytes=bounds.max_memory_bytes)
        self._superseded = Superseded(leases)
        self._owed = Changes()
        self._retry_at = time.monotonic()
        self._oldest: dict[Kind, tuple[Ticket, Stamp]] = {}
        self._disk: DiskStore | None = None
        self.trouble: StorageTrouble | None = None
        self.durable = self.volatile = Numbers.volatile()
        self.tickets = Tickets(NO_TICKET)
        self.offsets: dict[str, float] = {}
        try:
            self._open()
        except OutboxUnwritable as error:
            self.tickets = Tickets(ticket_of(_FAR + randbelow(_FAR), Kind.SAMPLE))
            self.degrade(error)

    # --- what is there ------------------------------------------------------------------------------------

    @property
    def numbers(self) -> Numbers:
        """Where new samples and events get their numbers from."""
        return self.durable if self.trouble is None else self.volatile

    @property
    def losses(self) -> Losses:
        """What was given up."""
        return self._memory.losses if self._disk is None else self._disk.losses + self._memory.losses

    @property
    def waiting(self) -> Waiting:
        """What waits, wherever."""
        held = self._memory.waiting
        stored = Waiting() if self._disk is None else self._disk.waiting
        owed = Counter(kind_of(thing.ticket) for thing in self._owed.leaving)
        owed_samples = sum(
            thing.samples for thing in self._owed.leaving if kind_of(thing.ticket) is Kind.PARCEL
        )
        return Waiting(
            samples=stored.samples + held.samples - owed[Kind.SAMPLE] - len(self._superseded),
            parcels=stored.parcels + held.parcels - owed[Kind.PARCEL],
            parcel_samples=stored.parcel_samples + held.parcel_samples - owed_samples,
            events=stored.events + held.events - owed[Kind.EVENT],
            set_aside=stored.set_aside,
            bytes=stored.bytes,
            oldest=self._oldest_stamp(),
        )

    def in_memory(self, ticket: Ticket) -> bool:
        """Whether the thing is held in memory."""
        return ticket in self._memory

    def told_apart(self, tickets: Sequence[Ticket]) -> tuple[Sequence[Ticket], Sequence[Ticket]]:
        """Those of these that are held in memory, and the others."""
        if not len(self._memory):
            return (), tickets
        held = [ticket for ticket in tickets if ticket in self._memory]
        return held, [ticket for ticket in tickets if ticket not in self._memory]

    def free(self, kind: Kind, *, after: Ticket, upto: Ticket, limit: int) -> list[Ticket]:
        """The oldest of a kind that nobody has, with a ticket above ``after`` and not above ``upto``."""
        look_at = limit + self._leases.count(kind)
        found = self._tickets(kind, after=after, upto=upto, limit=look_at)
        return [ticket for ticket in found if ticket not in self._leases][:limit]

    def items(self, kind: Kind, tickets: Sequence[Ticket]) -> list[Item]:
        """Those of these that are there, in that order."""
        stored = self._stored(lambda disk: disk.items(kind, tickets))
        if not len(self._memory):
            return list(stored)
        found = {item.ticket: item for item in (*stored, *self._memory.items(kind, tickets))}
        return [found[ticket] for ticket in tickets if ticket in found]

    def newest(self, kind: Kind) -> Item | None:
        """The thing of ``kind`` that came last, if it is still there."""
        newest = self._stored(lambda disk: [disk.newest_but(kind, 0)])
        return next(iter(self.items(kind, newest)), None)

    def true_s(self, stamp: Stamp) -> float | None:
        """When it was, in seconds since 1970, as far as anybody knows."""
        known = self.offsets.get(stamp.boot_id)
        if known is not None:
            return stamp.uptime + known
        return stamp.wall_s if stamp.clock is Clock.SYNCHRONIZED else None

    # --- what happens to it -------------------------------------------------------------------------------

    def commit(self, disk: Changes, memory: Changes) -> None:
        """Do all of it. In trouble, what cannot be done to the disk is done later.

        Raises ``OutboxError``; nothing was done then.
        """
        if self.trouble is None:
            self._write(disk)
        else:
            safe = [thing.ticket for thing in memory.leaving]
            disk.leaving += self._needless(safe)
            self._hold(memory)
            self._superseded.safe(safe)
            self._owed += disk
            self._settle()
        self.offsets |= disk.offsets

    def begin_log_anew(self) -> None:
        """On a full disk, what comes has to find its place in the log as it is."""
        if self._disk is not None:
            with self._mending():
                self._disk.begin_log_anew()

    def degrade(self, error: OutboxUnwritable) -> None:
        """From now on new things are held in memory."""
        self._retry_at = self._time.monotonic() + _RETRY_S
        if error.kind is TroubleKind.FULL:
            self._reserve.give_up()
        if self.trouble is None:
            self.trouble = StorageTrouble(kind=error.kind, since=self._time.monotonic(), reason=str(error))
            _log.warning("%s; new samples are held in memory", error, extra={"subject": "outbox"})

    def recover(self) -> None:
        """End the trouble, if it is over."""
        if self.trouble is None or self._time.monotonic() < self._retry_at:
            return
        self._retry_at = self._time.monotonic() + _RETRY_S
        with self._mending():
            if self._disk is None:
                self._open()
            if self._has_room_again():
                self._move_to_disk()

    def mend(self) -> DiskStore | None:
        """The file turned out to be damaged: go on with a new one that has all that can be read of it.

        Raises ``OutboxError``.
        """
        if self._disk is not None:
            self._disk.close()
            self._disk = None
        try:
            self._open()
        except OutboxUnwritable as error:
            self.degrade(error)
        return self._disk

    @contextmanager
    def _mending(self) -> Iterator[None]:
        """For what nobody waits for: it is tried again another time."""
        try:
            yield
        except OutboxUnwritable as error:
            self.degrade(error)
        except OutboxDamaged:
            self.mend()

    def supersede(self, parcels: Iterable[Ticket], samples: Iterable[Ticket]) -> None:
        """These samples, on the disk, are said by parcels that are held in memory: they stay until those are
        safe, and nobody gets them."""
        self._superseded.add(parcels, samples)

    def keep_house(self) -> None:
        """What nobody waits for: give up what is too old, take the reserve again, give room back."""
        if self.trouble is not None or self._disk is None:
            return
        with self._mending():
            self._expire(self._disk)
            self._reserve.hold()
            self._disk.tidy()

    def close(self) -> None:
        """Move to the disk what memory holds, if that can be; let go of the file."""
        self._retry_at = self._time.monotonic()
        self.recover()
        if len(self._memory):
            _log.error(
                "%d things that were held in memory are lost: the disk takes nothing", len(self._memory)
            )
        if self._disk is not None:
            self._disk.close()

    # --- the disk -----------------------------------------------------------------------------------------

    def _open(self) -> None:
        """A full disk may have the reserve to be opened with."""
        try:
            disk = self._open_disk()
        except OutboxFull:
            if not self._reserve.give_up():
                raise
            disk = self._open_disk()
        self._disk = disk
        self.durable = Numbers(disk.stream_id, disk.event_stream_id, disk.sequences)
        self.tickets.newest = max(self.tickets.newest, disk.newest_ticket)
        self.offsets = disk.offsets | self.offsets
        if self.trouble is None:
            self._reserve.hold()
        self._make_room(disk, Changes())
        disk.shrink()

    def _stored(self, read: Callable[[DiskStore], Sequence[Any]]) -> Sequence[Any]:
        """What the disk says, or nothing while it cannot be read."""
        if self._disk is None:
            return ()
        try:
            return read(self._disk)
        except OutboxUnwritable as error:
            self.degrade(error)
            return ()
        except OutboxDamaged:
            mended = self.mend()
            return () if mended is None else read(mended)

    def _tickets(self, kind: Kind, *, after: Ticket, upto: Ticket, limit: int) -> list[Ticket]:
        stored = self._stored(lambda disk: disk.tickets(kind, after=after, upto=upto, limit=limit))
        found = [*stored, *self._memory.tickets(kind, after=after, upto=upto, limit=limit)]
        return urgent_first(found) if kind is Kind.EVENT else found

    def _write(self, changes: Changes) -> None:
        if self._disk is None:
            raise OutboxUnwritable(self._path, "is not open")
        self._make_room(self._disk, changes)
        self._disk.write(changes)
        self._leases.end(thing.ticket for thing in changes.leaving)

    def _settle(self) -> None:
        """Tell the disk what it could not take before. One that is not open is not asked: it has its own
        time for that, which no attempt here may put off."""
        if not self._owed or self._disk is None:
            return
        try:
            self._write(self._owed)
        except OutboxUnwritable as error:
            self.degrade(error)
        else:
            self._owed = Changes()
            self._retry_at = self._time.monotonic()

    def _has_room_again(self) -> bool:
        """With the reserve back, or in what deliveries have left unused."""
        if self._disk is None:
            return False
        unused = self._disk.unused_pages() * PAGE_BYTES
        return self._reserve.hold() or unused >= self._allowance.reserve_bytes + self._memory.bytes

    def _move_to_disk(self) -> None:
        self._write(self._owed)
        self._owed = Changes()
        while moving := self._memory.oldest(_AT_ONCE, max_bytes=self._allowance.careful_bytes):
            changes = Changes()
            for item in moving:
                changes.add(item)
            safe = [item.ticket for item in moving]
            changes.leaving += self._needless(safe)
            self._write(changes)
            self._superseded.safe(safe)
            self._memory.moved(moving)
        self._write(Changes(lost=self._memory.losses))
        self._memory.losses = Losses()
        self._end_trouble()

    def _needless(self, safe: Collection[Ticket]) -> list[Leaving]:
        return [Leaving(sample, 1) for sample in self._superseded.needless(safe)]

    def _end_trouble(self) -> None:
        if self.trouble is not None:
            lasted_s = round(self._time.monotonic() - self.trouble.since, 3)
            told = {"subject": "outbox", "lasted_s": lasted_s}
            _log.info("outbox: is written again after %s s", lasted_s, extra=told)
        self.trouble = None

    # --- the bounds ---------------------------------------------------------------------------------------

    def _make_room(self, disk: DiskStore, changes: Changes) -> None:
        """Give up as little as the policy allows for ``changes`` to fit."""
        lacking = disk.lacks(changes.coming)
        if not lacking:
            return
        while disk.waiting.set_aside and lacking:
            disk.write(Changes(lost=Losses(set_aside=min(_AT_ONCE, disk.waiting.set_aside))))
            lacking = disk.lacks(changes.coming)
        goal = max(lacking, self._bounds.max_bytes // _ROOM_SHARE)
        steps = cuts(disk, Held(self._leases, changes.departing()), goal_bytes=goal)
        while lacking:
            cut = next(steps, None)
            if cut is None:
                raise OutboxFull(self._path, "has no room: all that is stored is being sent")
            disk.write(_given_up(cut))
            lacking = disk.lacks(changes.coming)

    def _hold(self, changes: Changes) -> None:
        """In memory, and within its bound as far as that can be."""
        goal = max(1, self._bounds.max_memory_bytes // _ROOM_SHARE)
        steps = cuts(self._memory, Held(self._leases, changes.departing()), goal_bytes=goal)
        while self._memory.lacks(changes.coming) and (cut := next(steps, None)):
            given_up = _given_up(cut)
            saved = sum(self._superseded.dissolve(victim.ticket) for victim in cut.victims)
            given_up.lost = Losses(volatile=given_up.lost.samples + given_up.lost.events - saved)
            self._memory.write(given_up)
        self._memory.write(changes)
        self._leases.end(thing.ticket for thing in changes.leaving)

    def _expire(self, disk: DiskStore) -> None:
        """Events are not judged by their age. Nothing is, while the time is not certain."""
        if self._time.state() is not Clock.SYNCHRONIZED:
            return
        limit_s = self._time.now().timestamp() - self._bounds.max_age_days * _DAY_S
        for kind in (Kind.PARCEL, Kind.SAMPLE):
            while expired := self._expired(kind, limit_s):
                leaving = [Leaving(item.ticket, samples_in(item)) for item in expired]
                disk.write(
                    Changes(leaving=leaving, lost=Losses(samples=sum(thing.samples for thing in leaving)))
                )

    def _expired(self, kind: Kind, limit_s: float) -> list[Item]:
        oldest = self.items(kind, self.free(kind, after=NO_TICKET, upto=LAST_TICKET, limit=_AT_ONCE))
        return [item for item in oldest if (self.true_s(item.stamp) or limit_s) < limit_s]

    def _oldest_stamp(self) -> Stamp | None:
        stamps = [stamp for kind in Kind if (stamp := self._oldest_of(kind)) is not None]
        return min(stamps, key=lambda stamp: self.true_s(stamp) or stamp.wall_s, default=None)

    def _oldest_of(self, kind: Kind) -> Stamp | None:
        """Read again only when another thing has become the oldest."""
        if not self._memory.count(kind) and not (self._disk and self._disk.count(kind)):
            return None
        owed = {thing.ticket for thing in self._owed.leaving}
        oldest = self._tickets(kind, after=NO_TICKET, upto=LAST_TICKET, limit=1 + len(owed))
        first = [ticket for ticket in oldest if ticket not in owed][:1]
        known = self._oldest.get(kind)
        if known is None or first != [known[0]]:
            found = self.items(kind, first)
            if not found:
                return None
            known = self._oldest[kind] = (found[0].ticket, found[0].stamp)
        return known[1]


def _given_up(cut: Cut) -> Changes:
    samples = sum(victim.samples for victim in cut.victims)
    events = len(cut.victims) if cut.kind is Kind.EVENT else 0
    leaving = [Leaving(victim.ticket, victim.samples) for victim in cut.victims]
    return Changes(leaving=leaving, fronts=cut.fronts, lost=Losses(samples=samples, events=events))
