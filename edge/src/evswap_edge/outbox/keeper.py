"""An outbox without its queue: does what is asked of it in groups, each group one transaction.

A keeper is used by one thread at a time.

New samples and events that have to be held in memory are numbered in a stream of their own: the numbers that
the file would have given out next are given to others once it can be written again, and one number must never
stand for two things.
"""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Final

from msgspec import Struct

from evswap_edge.clock import TimeSource
from evswap_edge.outbox.disk import DiskStore
from evswap_edge.outbox.errors import (
    OutboxDamaged,
    OutboxError,
    OutboxFull,
    OutboxRefused,
    OutboxUnwritable,
)
from evswap_edge.outbox.leases import Leases
from evswap_edge.outbox.operations import (
    Forget,
    Learn,
    Look,
    MarkBacklog,
    NewEvent,
    NewSample,
    Operation,
    PutAside,
    Release,
    Seal,
    Take,
)
from evswap_edge.outbox.records import (
    Bounds,
    Item,
    Kind,
    Losses,
    NewParcel,
    Parcel,
    Sample,
    StorageTrouble,
    StoredEvent,
    Ticket,
    Waiting,
    kind_of,
)
from evswap_edge.outbox.schema import ROW_BYTES, Allowance
from evswap_edge.outbox.shelves import Shelves
from evswap_edge.outbox.store import Changes, Leaving, SetAside
from evswap_edge.outbox.thinning import LAST_TICKET, NO_TICKET

_HOUSEKEEPING_S: Final = 60.0
_LARGEST_SHARE: Final = 16
"""A body larger than this share of the bound is refused."""


class Failure(Struct, frozen=True):
    """An operation that could not be done, and why."""

    error: BaseException


class Standing(Struct, frozen=True, kw_only=True):
    """How things stand."""

    stream_id: str
    waiting: Waiting
    losses: Losses
    trouble: StorageTrouble | None
    newest: Sample | None
    last_event: tuple[str, int]
    """The stream of the events in the file, and the last number in it that was used up."""


@dataclass(slots=True)
class _Stage:
    """What some operations come to, before it is done; outcomes in their order."""

    disk: Changes = field(default_factory=Changes)
    memory: Changes = field(default_factory=Changes)
    outcomes: list[object] = field(default_factory=list)
    gone: set[Ticket] = field(default_factory=set)
    superseding: list[tuple[Sequence[Ticket], Sequence[Ticket]]] = field(default_factory=list)
    newest: Sample | None = None
    bytes: int = 0
    """What is new takes on the disk."""


class Keeper:
    """What waits, who has it, and what it is called."""

    def __init__(
        self, path: Path, *, open_disk: Callable[[], DiskStore], time: TimeSource, bounds: Bounds
    ) -> None:
        """``open_disk`` opens the file at ``path``, whatever that takes. Raises ``OutboxError``, but not when
        the disk takes nothing at the moment."""
        self._path = path
        self._time = time
        self._leases = Leases()
        self._shelves = Shelves(path, open_disk=open_disk, leases=self._leases, time=time, bounds=bounds)
        self._largest = bounds.max_bytes // _LARGEST_SHARE
        self._allowance = Allowance(bounds)
        self._at_once = self._allowance.transaction_bytes
        self._backlog_upto = self._shelves.tickets.newest
        self._housekeeping_at = time.monotonic()
        self._newest = self._newest_stored()
        self._mutex = Lock()
        self._standing = self._stand()

    @property
    def standing(self) -> Standing:
        """How things stand after what was done last; may be asked for in any thread."""
        return self._standing

    def offset_of(self, boot_id: str) -> float | None:
        """The wall clock's true offset in a boot, once it is known; may be asked for in any thread."""
        return self._shelves.offsets.get(boot_id)

    # --- what is asked ------------------------------------------------------------------------------------

    def perform(self, operations: Sequence[Operation]) -> list[object]:
        """What each of ``operations`` gives, in their order, or its ``Failure``. What is written is durable
        when this returns, or held in memory."""
        with self._mutex:
            try:
                return self._perform(operations)
            finally:
                self._standing = self._stand()

    def _perform(self, operations: Sequence[Operation]) -> list[object]:
        self._shelves.recover()
        if _READING.isdisjoint(map(type, operations)):
            outcomes = self._written(operations)
        else:
            written = iter(self._written([one for one in operations if type(one) not in _READING]))
            outcomes = [self._read(one) if type(one) in _READING else next(written) for one in operations]
        self._keep_house()
        return outcomes

    def _written(self, operations: Sequence[Operation]) -> list[object]:
        """In as many transactions as it takes."""
        outcomes: list[object] = []
        while len(outcomes) < len(operations):
            outcomes += self._write(operations[len(outcomes) :])
        return outcomes

    def close(self) -> None:
        """Let go of the file, when nobody is at work any more."""
        with self._mutex:
            self._shelves.close()

    def _stand(self) -> Standing:
        shelves = self._shelves
        return Standing(
            stream_id=shelves.numbers.stream_id(Kind.SAMPLE),
            waiting=shelves.waiting,
            losses=shelves.losses,
            trouble=shelves.trouble,
            newest=self._newest,
            last_event=(shelves.durable.stream_id(Kind.EVENT), shelves.durable.last.event),
        )

    def _write(self, operations: Sequence[Operation]) -> list[object]:
        """Do the first of these, as many as make a transaction."""
        mended = False
        while True:
            before, numbers = self._shelves.durable.last, self._shelves.durable
            stage = self._staged(operations)
            try:
                self._commit(stage)
            except OutboxError as error:
                numbers.revert(before)
                if isinstance(error, OutboxFull) and self._takes_smaller_steps():
                    continue
                if isinstance(error, OutboxUnwritable):
                    self._shelves.degrade(error)
                elif isinstance(error, OutboxDamaged) and not mended:
                    mended = True
                    self._shelves.mend()
                else:
                    return [Failure(error)] * len(stage.outcomes)
            else:
                return stage.outcomes

    def _takes_smaller_steps(self) -> bool:
        """Where a large transaction found no place, a small one may: until the next housekeeping all are."""
        before, self._at_once = self._at_once, self._allowance.careful_bytes
        if self._at_once == before:
            return False
        self._shelves.begin_log_anew()
        return True

    def _commit(self, stage: _Stage) -> None:
        stage.disk.sequences = self._shelves.durable.last
        self._shelves.commit(stage.disk, stage.memory)
        self._newest = stage.newest or self._newest
        for parcels, samples in stage.superseding:
            self._shelves.supersede(parcels, samples)

    def _staged(self, operations: Sequence[Operation]) -> _Stage:
        """One that fails here does so alone."""
        stage = _Stage()
        outcomes, gone, at_once = stage.outcomes, stage.gone, self._at_once
        add_sample = self._adder_of_samples(stage)
        for one in operations:
            if stage.bytes > at_once or (len(gone) > _GONE_AT_ONCE and type(one) is not NewSample):
                break
            try:
                outcomes.append(add_sample(one) if type(one) is NewSample else self._stage(stage, one))
            except Exception as error:  # noqa: BLE001 - the caller's own code makes bodies: it gets its error
                outcomes.append(Failure(error))
        return stage

    def _stage(self, stage: _Stage, one: Operation) -> object:
        match one:
            case NewEvent():
                return self._add_event(stage, one)
            case Seal():
                return self._seal(stage, one)
            case Forget():
                for item in self._known(stage, one.tickets):
                    self._leave(stage, item)
            case PutAside():
                self._put_aside(stage, one)
            case Learn():
                stage.disk.offsets[one.boot_id] = one.offset_s
        return None

    # --- new things ---------------------------------------------------------------------------------------

    def _adder_of_samples(self, stage: _Stage) -> Callable[[NewSample], Sample]:
        """Puts samples on ``stage``. They come by the hundred, so what is the same for all of them is looked
        up once."""
        stream_id, used = self._shelves.numbers.stream_id(Kind.SAMPLE), self._shelves.numbers.used
        new_ticket, largest = self._shelves.tickets.next, self._largest
        coming = self._coming(stage).samples

        def add(one: NewSample) -> Sample:
            sequence = used[Kind.SAMPLE] + 1
            body = one.body(stream_id, sequence)
            if len(body) > largest:
                raise self._too_large(body)
            used[Kind.SAMPLE] = sequence
            sample = Sample(new_ticket(Kind.SAMPLE), stream_id, sequence, one.stamp, one.changed, body)
            coming.append(sample)
            stage.newest = sample
            stage.bytes += len(body) + ROW_BYTES
            return sample

        return add

    def _add_event(self, stage: _Stage, one: NewEvent) -> StoredEvent:
        numbers = self._shelves.numbers
        stream_id, sequence = numbers.stream_id(Kind.EVENT), numbers.used[Kind.EVENT] + 1
        body = one.body(stream_id, sequence)
        if len(body) > self._largest:
            raise self._too_large(body)
        numbers.used[Kind.EVENT] = sequence
        tickets = self._shelves.tickets
        ticket = tickets.next_urgent() if one.urgent else tickets.next(Kind.EVENT)
        event = StoredEvent(ticket, stream_id, sequence, one.stamp, body)
        self._coming(stage).events.append(event)
        stage.bytes += len(body) + ROW_BYTES
        return event

    def _coming(self, stage: _Stage) -> Changes:
        """Where new things go."""
        return stage.disk if self._shelves.trouble is None else stage.memory

    def _seal(self, stage: _Stage, one: Seal) -> list[Parcel]:
        """Parcels are new bytes for what is there: they go to the disk only when it takes new things."""
        tickets = [sample.ticket for sample in one.samples]
        self._require_free(stage, tickets)
        for new in one.parcels:
            if len(new.body) > self._largest:
                raise self._too_large(new.body)
        tickets_of_parcels = self._shelves.tickets
        parcels = [Parcel(**_fields(new), ticket=tickets_of_parcels.next(Kind.PARCEL)) for new in one.parcels]
        self._coming(stage).parcels += parcels
        stage.bytes += sum(len(parcel.body) + ROW_BYTES for parcel in parcels)
        stage.gone.update(tickets)
        held, stored = self._shelves.told_apart(tickets)
        stage.memory.leaving += [Leaving(ticket, 1) for ticket in held]
        if self._shelves.trouble is None:
            stage.disk.sealed += stored
        elif stored:
            stage.superseding.append(([parcel.ticket for parcel in parcels], stored))
        return parcels

    def _require_free(self, stage: _Stage, tickets: Sequence[Ticket]) -> None:
        if self._leases.any_of(tickets) or not stage.gone.isdisjoint(tickets):
            raise OutboxRefused(self._path, "a sample that is being sent cannot be put into a parcel")

    def _too_large(self, body: bytes) -> OutboxRefused:
        return OutboxRefused(
            self._path,
            f"a body of {len(body)} bytes is larger than a sixteenth of max_bytes ({self._largest})",
        )

    # --- what leaves --------------------------------------------------------------------------------------

    def _known(self, stage: _Stage, tickets: Sequence[Ticket]) -> list[Leaving]:
        """Those of these that are there and not leaving yet. What came back may be delivered after all; it is
        lent until it has left, or somebody might get it meanwhile."""
        known = []
        for ticket in tickets:
            if ticket not in self._leases:
                self._leases.lend(self._shelves.items(kind_of(ticket), [ticket]))
            if ticket in self._leases and ticket not in stage.gone:
                known.append(Leaving(ticket, self._leases.samples(ticket)))
                stage.gone.add(ticket)
        return known

    def _leave(self, stage: _Stage, thing: Leaving) -> None:
        changes = stage.memory if self._shelves.in_memory(thing.ticket) else stage.disk
        changes.leaving.append(thing)

    def _put_aside(self, stage: _Stage, one: PutAside) -> None:
        for thing in self._known(stage, one.tickets):
            for item in self._shelves.items(kind_of(thing.ticket), [thing.ticket]):
                stage.disk.aside.append(SetAside(item, one.reason))
                self._leave(stage, thing)

    # --- what is read -------------------------------------------------------------------------------------

    def _read(self, one: Operation) -> object:
        try:
            return self._found(one)
        except OutboxError as error:
            return Failure(error)

    def _found(self, one: Operation) -> object:
        match one:
            case Take():
                items = self._oldest(one.kind, one.limit, one.backlog)
                self._leases.lend(items)
                return items
            case Look():
                return self._oldest(Kind.SAMPLE, one.limit, None)
            case Release():
                self._leases.end(one.tickets)
            case MarkBacklog():
                self._backlog_upto = self._shelves.tickets.newest
        return None

    def _oldest(self, kind: Kind, limit: int, backlog: bool | None) -> list[Item]:
        after = self._backlog_upto if backlog is False else NO_TICKET
        upto = self._backlog_upto if backlog is True else LAST_TICKET
        return self._shelves.items(kind, self._shelves.free(kind, after=after, upto=upto, limit=limit))

    def _newest_stored(self) -> Sample | None:
        newest = self._shelves.newest(Kind.SAMPLE)
        return newest if isinstance(newest, Sample) else None

    def _keep_house(self) -> None:
        now = self._time.monotonic()
        if now >= self._housekeeping_at:
            self._housekeeping_at = now + _HOUSEKEEPING_S
            self._at_once = self._allowance.transaction_bytes
            self._shelves.keep_house()


_READING: Final[Set[type[Operation]]] = {Take, Look, Release, MarkBacklog}
_GONE_AT_ONCE: Final = 512
"""Once so many things leave in a transaction, no more do; new samples may still share it."""


def _fields(parcel: NewParcel) -> dict[str, Any]:
    return {name: getattr(parcel, name) for name in NewParcel.__struct_fields__}
