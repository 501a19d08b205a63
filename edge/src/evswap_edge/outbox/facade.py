"""What waits for its delivery, for everybody in one event loop.

What is asked for while the disk is busy waits in a queue, and is done together in one transaction: durability
costs one fsync for all of it, not one for each sample. There is no thread of an outbox's own: a flush borrows
one, and there is one flush at a time.
"""

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from evswap_edge.clock import Stamp, TimeSource
from evswap_edge.outbox.errors import OutboxClosed
from evswap_edge.outbox.keeper import Failure, Keeper
from evswap_edge.outbox.machine import machine_name
from evswap_edge.outbox.opening import open_disk
from evswap_edge.outbox.operations import (
    Body,
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
    Kind,
    Losses,
    NewParcel,
    Parcel,
    Sample,
    StorageTrouble,
    StoredEvent,
    Ticket,
    Waiting,
)

OnTrouble = Callable[[StorageTrouble | None], None]
OnLoss = Callable[[Losses], None]


def _nothing(_: object) -> None:
    """Nobody wants to be told."""


class Outbox:
    """A durable queue of samples, parcels of samples, and events.

    What is taken is lent to the caller until it is acknowledged, released or set aside, and given to nobody
    else meanwhile; what is taken comes oldest first. Methods raise ``OutboxError``; a disk that takes nothing
    is no error: see ``trouble``. A caller that is cancelled while it waits takes nothing back: what it asked
    for is done.
    """

    def __init__(self, path: Path, keeper: Keeper, *, on_trouble: OnTrouble, on_loss: OnLoss) -> None:
        """To be made by ``open``."""
        self.path = path
        self._keeper = keeper
        self._on_trouble = on_trouble
        self._on_loss = on_loss
        self._queue: list[tuple[Sequence[Operation], asyncio.Future[Sequence[Any]] | None]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._closed = False
        self._told = keeper.standing

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        station_id: str,
        time: TimeSource,
        bounds: Bounds | None = None,
        machine: str | None = None,
        on_trouble: OnTrouble = _nothing,
        on_loss: OnLoss = _nothing,
    ) -> "Outbox":
        """Open the file, or make it, for ``station_id`` on this machine; salvage it when it is damaged.

        ``on_trouble`` is told, in the event loop, when the disk takes nothing any more and when it does
        again, ``on_loss`` when something had to be given up. Raises ``OutboxError``.
        """
        bounds = bounds or Bounds()
        opened = partial(
            open_disk, path, station_id=station_id, machine=machine or machine_name(), bounds=bounds
        )
        keeper = await asyncio.to_thread(Keeper, path, open_disk=opened, time=time, bounds=bounds)
        return cls(path, keeper, on_trouble=on_trouble, on_loss=on_loss)

    # --- new things ---------------------------------------------------------------------------------------

    async def append(self, body: Body, *, stamp: Stamp, changed: bool = False) -> Sample:
        """Store one sample; durable when this returns, or held in memory (see ``trouble``).

        ``body`` gets the sample's stream and number and gives the bytes to store; it may be asked again, with
        other ones, and runs in another thread. What it raises is raised here, and no number is used up.
        """
        done: Sample = await self._done(NewSample(body, stamp, changed))
        return done

    async def append_all(self, samples: Sequence[NewSample]) -> list[Sample | BaseException]:
        """Store samples in their order, as ``append`` does each. One that cannot be stored harms no other: in
        its place is what ``append`` would raise."""
        done = await self._promised(samples)
        return [one.error if isinstance(one, Failure) else one for one in done]

    async def append_event(self, body: Body, *, stamp: Stamp, urgent: bool = False) -> StoredEvent:
        """Store one event, as ``append`` does a sample. Events count in a stream of their own; one that is
        ``urgent`` is taken before all that are not."""
        done: StoredEvent = await self._done(NewEvent(body, stamp, urgent))
        return done

    async def seal(self, samples: Sequence[Sample], parcels: Sequence[NewParcel]) -> list[Parcel]:
        """Put ``parcels`` in the place of ``samples``, in one transaction.

        Raises ``OutboxRefused`` when one of the samples is lent."""
        done: list[Parcel] = await self._done(Seal(samples, parcels))
        return done

    # --- what waits ---------------------------------------------------------------------------------------

    async def take_events(self, limit: int) -> list[StoredEvent]:
        """The oldest events that nobody has, the urgent ones first."""
        done: list[StoredEvent] = await self._done(Take(Kind.EVENT, limit))
        return done

    async def take_samples(self, limit: int) -> list[Sample]:
        """The oldest samples in no parcel that nobody has."""
        done: list[Sample] = await self._done(Take(Kind.SAMPLE, limit))
        return done

    async def take_parcels(self, limit: int, *, backlog: bool) -> list[Parcel]:
        """The oldest parcels that nobody has, of the backlog or of what came after it."""
        done: list[Parcel] = await self._done(Take(Kind.PARCEL, limit, backlog))
        return done

    async def open_samples(self, limit: int) -> list[Sample]:
        """The oldest samples in no parcel that nobody has; they are not lent."""
        done: list[Sample] = await self._done(Look(limit))
        return done

    def mark_backlog(self) -> None:
        """What is stored now is backlog, what comes later is live. What was there when the outbox was opened
        is backlog, too."""
        self._ask([MarkBacklog()])

    def newest(self) -> Sample | None:
        """The newest sample known, sent or not; None when there was none since the start and none waits."""
        return self._keeper.standing.newest

    @property
    def stream_id(self) -> str:
        """The stream that new samples belong to."""
        return self._keeper.standing.stream_id

    @property
    def last_event(self) -> tuple[str, int]:
        """The stream of the events on the disk, and the last number in it that was used up: an event that was
        given a later one never came to be there."""
        return self._keeper.standing.last_event

    @property
    def waiting(self) -> Waiting:
        """What waits for its delivery."""
        return self._keeper.standing.waiting

    @property
    def losses(self) -> Losses:
        """What had to be given up, ever since the file was made."""
        return self._keeper.standing.losses

    @property
    def trouble(self) -> StorageTrouble | None:
        """Why new things are held in memory at the moment, if they are."""
        return self._keeper.standing.trouble

    # --- what became of it --------------------------------------------------------------------------------

    async def acknowledge(self, tickets: Sequence[Ticket]) -> None:
        """The far side has these: forget them. Those that are not there any more are ignored."""
        await self._done(Forget(tuple(tickets)))

    def release(self, tickets: Sequence[Ticket]) -> None:
        """These were not delivered: lend them again."""
        self._ask([Release(tuple(tickets))])

    async def set_aside(self, tickets: Sequence[Ticket], reason: str) -> None:
        """These can never be delivered: keep them for a technician, out of the way of the others."""
        await self._done(PutAside(tuple(tickets), reason))

    async def learn_offset(self, boot_id: str, offset_s: float) -> None:
        """The wall clock was truly ``offset_s`` ahead of the monotonic one in this boot; durable."""
        await self._done(Learn(boot_id, offset_s))

    def offset_of(self, boot_id: str) -> float | None:
        """What was learned of a boot."""
        return self._keeper.offset_of(boot_id)

    async def aclose(self) -> None:
        """Do what was asked for, then let go of the file. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        while self._flushing is not None:
            await asyncio.shield(self._flushing)
        await asyncio.to_thread(self._keeper.close)

    # --- the queue ----------------------------------------------------------------------------------------

    async def _done(self, operation: Operation) -> Any:
        [outcome] = await self._promised([operation])
        if isinstance(outcome, Failure):
            raise outcome.error
        return outcome

    def _promised(self, operations: Sequence[Operation]) -> "asyncio.Future[Sequence[Any]]":
        """What they give, in time."""
        future = asyncio.get_running_loop().create_future()
        self._ask(operations, future)
        return future

    def _ask(
        self, operations: Sequence[Operation], future: "asyncio.Future[Sequence[Any]] | None" = None
    ) -> None:
        if self._closed:
            raise OutboxClosed(self.path)
        self._queue.append((operations, future))
        if self._flushing is None and future is not None:
            self._flushing = asyncio.create_task(self._flush(), name="outbox flush")

    async def _flush(self) -> None:
        """Do what waits, and what comes meanwhile. Whoever has just been answered asks on in his next turn,
        which is waited for: so that shares a transaction with what had come before."""
        try:
            while self._queue:
                group, self._queue = self._queue, []
                outcomes = iter(await self._perform([one for operations, _ in group for one in operations]))
                for operations, future in group:
                    own = list(islice(outcomes, len(operations)))
                    if future is not None and not future.done():
                        future.set_result(own)
                self._tell()
                await asyncio.sleep(0)
        finally:
            self._flushing = None

    async def _perform(self, operations: Sequence[Operation]) -> Sequence[object]:
        """What goes wrong as a whole, which only a bug can make, everybody in the group is told."""
        context = contextvars.copy_context()
        work = asyncio.get_running_loop().run_in_executor(None, context.run, self._keeper.perform, operations)
        await asyncio.wait([work])
        error = work.exception()
        return work.result() if error is None else [Failure(error)] * len(operations)

    def _tell(self) -> None:
        before, self._told = self._told, self._keeper.standing
        if self.trouble != before.trouble:
            self._on_trouble(self.trouble)
        if self.losses != before.losses:
            self._on_loss(self.losses)
