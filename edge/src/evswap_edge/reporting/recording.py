"""A sample becomes durable, and whoever sends it hears of it."""

from collections.abc import Callable, Sequence

from evswap_edge.clock import Stamp
from evswap_edge.outbox import NewSample, Outbox, OutboxError, Sample
from evswap_edge.reporting.changes import Changes
from evswap_edge.reporting.truth import ClockWatch
from evswap_schema import Reading, encode_reading, identified

Measured = tuple[Reading, Stamp]
"""What was measured, and when."""


class Recorder:
    """Appends readings to an outbox, and knows which of them are news."""

    def __init__(
        self,
        outbox: Outbox,
        changes: Changes,
        *,
        alarms: Callable[[], frozenset[str]],
        on_samples: Callable[[Sequence[tuple[Sample, Reading]]], None],
    ) -> None:
        """``alarms`` tells which are raised; ``on_samples`` is called with those that were stored,
        in that order, each beside what it says."""
        self._outbox = outbox
        self._changes = changes
        self._alarms = alarms
        self._on_samples = on_samples
        self._clock = ClockWatch(outbox)

    async def record(self, measured: Sequence[Measured]) -> None:
        """Store readings, in their order, also where one call begins before another ends. One that cannot be
        stored harms no other; raises its ``OutboxError`` when the others are stored and told of."""
        said = [_Said(reading) for reading, _ in measured]
        alarms = self._alarms()
        new = [
            NewSample(one.body, stamp, self._changes.is_news(one.reading, alarms))
            for one, (_, stamp) in zip(said, measured, strict=True)
        ]
        outcomes = await self._stored(new)
        stored = [
            (sample, one.reading)
            for sample, one in zip(outcomes, said, strict=True)
            if isinstance(sample, Sample)
        ]
        if stored:
            self._on_samples(stored)
        if len(stored) < len(outcomes):
            self._changes.forget()
            raise next(outcome for outcome in outcomes if isinstance(outcome, BaseException))
        seen = None
        for _, stamp in measured:
            if stamp is not seen and self._clock.has_turned(stamp):
                await self._clock.see(stamp)
            seen = stamp

    async def _stored(self, new: Sequence[NewSample]) -> Sequence[Sample | BaseException]:
        try:
            return await self._outbox.append_all(new)
        except OutboxError:
            self._changes.forget()
            raise


class _Said:
    """A reading, under its identity as soon as it has one."""

    __slots__ = ("reading",)

    def __init__(self, reading: Reading) -> None:
        self.reading = reading

    def body(self, stream_id: str, sequence: int) -> bytes:
        self.reading = identified(self.reading, stream_id=stream_id, sequence=sequence)
        return encode_reading(self.reading)
