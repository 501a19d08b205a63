"""From samples to parcels: batches that are packed once and then only sent.

A parcel is a whole message of at most 5,000 bytes, about a tenth of what its samples take one by one, so two
weeks without a link stay small. All its samples are of one boot and stamped by one state of the wall clock:
one shift corrects them all, whenever the true time becomes known.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from msgspec.structs import replace

from evswap_edge.clock import Stamp
from evswap_edge.outbox import NewParcel, Sample
from evswap_edge.reporting.minutes import Minutes
from evswap_edge.reporting.truth import Truth, shift_ms
from evswap_schema import (
    Channel,
    Clock,
    EncodedBatch,
    Reading,
    SchemaError,
    aws_topic,
    decode_own_reading,
    encode_batches,
)
from evswap_schema.limits import BATCH_HEADROOM, MAX_BATCH_SAMPLES

_SAME_CLOCK_S: Final = 0.1
"""A wall clock that nobody set runs evenly with the monotonic one; what is read of both at once differs by
how long the reading was interrupted. More than this, and somebody has moved it."""


Known = tuple[Sample, Reading | None]
"""A sample, and what it says where that need not be decoded."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """The parcels that hold ``samples``, and the samples that none can hold, each with the reason."""

    samples: list[Sample] = field(default_factory=list)
    parcels: list[NewParcel] = field(default_factory=list)
    unsendable: list[tuple[Sample, str]] = field(default_factory=list)


_Read = tuple[Sample, Stamp, Reading]
"""A sample, when it truly was, and what it says with that time. They come by the thousand: no class of their
own."""


class Sealer:
    """Packs the samples of one station, at most ``limit`` into a parcel."""

    def __init__(
        self,
        station_id: str,
        truth: Truth,
        *,
        limit: int = MAX_BATCH_SAMPLES,
        minutes: Minutes | None = None,
    ) -> None:
        """With ``minutes``, finished ones ride in the parcels."""
        self._station_id = station_id
        self._truth = truth
        self._limit = limit
        self._minutes = minutes
        # The longest one: the transport may change while parcels wait.
        self._topic = aws_topic(Channel.BATCH, station_id)

    def seal(self, samples: Sequence[Known], *, backlog: bool = False) -> Sealed:
        """Pack ``samples``, in their order; ``backlog``: they are sure to wait through an outage. Touches
        nothing but them and the minutes, so it may run in any thread, one at a time."""
        sealed = Sealed()
        for run in _uniform_runs(self._readable(samples, sealed)):
            for start in range(0, len(run), self._limit):
                self._pack(run[start : start + self._limit], sealed, backlog=backlog)
        return sealed

    def _readable(self, samples: Iterable[Known], sealed: Sealed) -> Iterator[_Read]:
        stamped = stamp = None
        for sample, known in samples:
            try:
                reading = known or own_reading(sample.body, self._station_id)
            except SchemaError as error:
                sealed.unsendable.append((sample, f"no valid reading: {error}"))
                continue
            if stamp is None or sample.stamp is not stamped:  # what was measured together has one
                stamped, stamp = sample.stamp, self._truth.about(sample.stamp)
            yield sample, stamp, reading if stamp is stamped else corrected(reading, stamped, stamp)

    def _pack(self, run: Sequence[_Read], sealed: Sealed, *, backlog: bool) -> None:
        try:
            sealed.parcels.extend(self._parcels(run, backlog=backlog))
        except SchemaError as error:
            if len(run) == 1:
                sealed.unsendable.append((run[0][0], f"fits into no batch: {error}"))
                return
            for one in run:
                self._pack([one], sealed, backlog=backlog)
            return
        sealed.samples.extend(sample for sample, _, _ in run)

    def _parcels(self, run: Sequence[_Read], *, backlog: bool) -> list[NewParcel]:
        readings = [reading for _, _, reading in run]
        batches = encode_batches(
            readings,
            topic=self._topic,
            backlog=backlog,
            minutes=self._minutes.riding_with(readings) if self._minutes else (),
            headroom=BATCH_HEADROOM,
        )
        if len(batches) == 1:
            return [_parcel(batches[0], run)]
        by_sequence = {read[0].sequence: read for read in run}
        return [_parcel(batch, [by_sequence[sequence] for sequence in batch.sequences]) for batch in batches]


def _parcel(batch: EncodedBatch, run: Sequence[_Read]) -> NewParcel:
    (first, first_stamp, _), (last, last_stamp, _) = run[0], run[-1]
    return NewParcel(
        stream_id=first.stream_id,
        first=first.sequence,
        last=last.sequence,
        samples=len(run),
        stamp=first_stamp,
        last_uptime=last_stamp.uptime,
        changed=any(sample.changed for sample, _, _ in run),
        body=batch.payload,
    )


def _uniform_runs(reads: Iterable[_Read]) -> Iterator[list[_Read]]:
    """Cut where stream, boot or the state of the wall clock changes."""
    run: list[_Read] = []
    for read in reads:
        if run and not _may_share(run[0], read):
            yield run
            run = []
        run.append(read)
    if run:
        yield run


def _may_share(first: _Read, other: _Read) -> bool:
    sample, one, _ = first
    another, two, _ = other
    return sample.stream_id == another.stream_id and (
        one is two
        or (
            one.boot_id == two.boot_id
            and one.clock is two.clock
            and (one.clock is Clock.SYNCHRONIZED or abs(one.offset_s - two.offset_s) < _SAME_CLOCK_S)
        )
    )


def own_reading(body: bytes, station_id: str) -> Reading:
    """The reading in ``body``, which this station has stored. Raises ``SchemaError``, also for one of another
    station, which has come with another's file."""
    reading = decode_own_reading(body)
    if reading.station_id != station_id:
        raise SchemaError(f"a sample of {reading.station_id}, in {station_id}'s outbox")
    return reading


def corrected(reading: Reading, before: Stamp, after: Stamp) -> Reading:
    """``reading``, stamped ``before``, with the time and the clock that ``after`` knows better."""
    if after is before:
        return reading
    moved = reading.timestamp + timedelta(milliseconds=shift_ms(before, after))
    return replace(reading, timestamp=moved, clock=after.clock)
