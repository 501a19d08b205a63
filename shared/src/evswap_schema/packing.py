"""From readings to batches: as few as hold them, none too large."""

import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Any

import msgspec

from evswap_schema import codec
from evswap_schema.batch import (
    BATTERY_COLUMNS,
    BAY_COLUMNS,
    SAMPLE_COLUMNS,
    BatchDocument,
    BayColumns,
    EncodedBatch,
    MinuteAggregate,
)
from evswap_schema.bay import Bay
from evswap_schema.errors import InvalidField, OversizedMessage
from evswap_schema.limits import MAX_BATCH_BAY_SAMPLES, MAX_BATCH_BYTES, MAX_BATCH_MINUTES, MAX_BATCH_SAMPLES
from evswap_schema.reading import Part, Reading
from evswap_schema.timestamps import epoch_microseconds


def encode_batches(
    readings: Iterable[Reading],
    *,
    topic: str,
    backlog: bool = False,
    minutes: Sequence[MinuteAggregate] = (),
    headroom: int = 0,
) -> list[EncodedBatch]:
    """Pack ``readings`` of one station into as few batches as hold them, in order.

    No batch is larger than 5,000 bytes together with ``topic`` and ``headroom`` (``BATCH_HEADROOM`` is what
    ``rewrite_batch`` may need). A reading whose bays alone are larger is spread over several batches as
    parts; it has arrived when all of them have. ``minutes``, at most 15, travel with the first batch. Raises
    ``InvalidField`` for a reading without sequence, and for more minutes.
    """
    if len(minutes) > MAX_BATCH_MINUTES:
        raise InvalidField(field="minutes", rule=f"at most {MAX_BATCH_MINUTES}", value=len(minutes))
    room = MAX_BATCH_BYTES - len(topic.encode()) - headroom
    batches: list[EncodedBatch] = []
    for number, run in enumerate(_uniform_runs(readings)):
        batches += _pack(run, room=room, backlog=backlog, minutes=minutes if number == 0 else ())
    return batches


def _uniform_runs(readings: Iterable[Reading]) -> Iterator[list[Reading]]:
    """Cut ``readings`` where something changes that a batch can say but once."""
    run: list[Reading] = []
    said: tuple[object, ...] = ()
    for reading in readings:
        before, said = said, _said_once(reading)
        if run and not (said == before and _sequence(reading) > _sequence(run[-1]) and reading.part is None):
            yield run
            run = []
        run.append(reading)
    if run:
        yield run


def _said_once(reading: Reading) -> tuple[object, ...]:
    numbers = None if reading.bays is None else tuple(bay.bay for bay in reading.bays)
    return reading.station_id, reading.stream_id, reading.location, reading.firmware, numbers, reading.part


def _pack(
    run: Sequence[Reading], *, room: int, backlog: bool, minutes: Sequence[MinuteAggregate] = ()
) -> list[EncodedBatch]:
    """Cut ``run``, where it does not fit, into as many pieces as its size asks for, and pack those."""
    pieces = _fewest_countable(run)
    if pieces == 1:
        batch = _encode(run, backlog=backlog, minutes=minutes)
        if len(batch.payload) <= room:
            return [batch]
        if len(run) == 1:
            return _pack_in_parts(run[0], room=room, backlog=backlog, minutes=minutes)
        pieces = min(max(2, math.ceil(len(batch.payload) / max(room, 1))), len(run))
    batches: list[EncodedBatch] = []
    for number, (start, end) in enumerate(pairwise(_edges(len(run), pieces))):
        batches += _pack(run[start:end], room=room, backlog=backlog, minutes=minutes if number == 0 else ())
    return batches


def _pack_in_parts(
    reading: Reading, *, room: int, backlog: bool, minutes: Sequence[MinuteAggregate]
) -> list[EncodedBatch]:
    """Spread the bays of ``reading`` over as few batches as hold them."""
    bays = reading.bays or ()
    for count in range(2, len(bays) + 1):
        batches = [
            _encode([part], backlog=backlog, minutes=minutes if number == 0 else ())
            for number, part in enumerate(_parts(reading, bays, count))
        ]
        if all(len(batch.payload) <= room for batch in batches):
            return batches
    raise OversizedMessage(
        field="", rule=f"one bay has to fit into {room} bytes", value=codec.encode(reading)
    )


def _parts(reading: Reading, bays: Sequence[Bay], count: int) -> list[Reading]:
    return [
        msgspec.structs.replace(reading, bays=tuple(bays[start:end]), part=Part(index=index, count=count))
        for index, (start, end) in enumerate(pairwise(_edges(len(bays), count)))
    ]


def _edges(length: int, pieces: int) -> list[int]:
    """Where to cut ``length`` things into ``pieces`` that differ by one at most."""
    return [length * index // pieces for index in range(pieces + 1)]


def _fewest_countable(run: Sequence[Reading]) -> int:
    """Into how many pieces to cut ``run`` for the limits on what one batch may hold."""
    bays = len(run[0].bays or ())
    return math.ceil(max(len(run) / MAX_BATCH_SAMPLES, len(run) * bays / MAX_BATCH_BAY_SAMPLES))


def _encode(run: Sequence[Reading], *, backlog: bool, minutes: Sequence[MinuteAggregate]) -> EncodedBatch:
    first = run[0]
    sequences = [_sequence(reading) for reading in run]
    moments = [epoch_microseconds(reading.timestamp) for reading in run]
    document = BatchDocument(
        v=1,
        station_id=first.station_id,
        stream_id=first.stream_id or "",
        samples=len(run),
        sequence=sequences[0],
        sequence_steps=_column(_steps(sequences)) if len(run) > 1 else 1,
        timestamp=moments[0],
        timestamp_steps=_column(_steps(moments)) if len(run) > 1 else 0,
        quality={index: reading.quality for index, reading in enumerate(run) if reading.quality} or None,
        bays=_bay_columns(run),
        part=first.part,
        location=first.location,
        firmware=first.firmware,
        minutes=tuple(minutes),
        backlog=backlog,
        **{name: _column(list(map(attrgetter(name), run))) for name in SAMPLE_COLUMNS},
    )
    return EncodedBatch(payload=zlib.compress(codec.encode(document), 9), sequences=tuple(sequences))


def _sequence(reading: Reading) -> int:
    if reading.sequence is None:
        raise InvalidField(field="sequence", rule="required in a batch", value=None)
    return reading.sequence


def _steps(values: Sequence[int]) -> list[int]:
    return [after - before for before, after in pairwise(values)]


def _column(values: Sequence[Any]) -> Any:
    """One value where all are the same, else all of them."""
    first = values[0]
    return first if values.count(first) == len(values) else tuple(values)


def _bay_columns(run: Sequence[Reading]) -> tuple[BayColumns, ...] | None:
    bays_by_sample = [reading.bays for reading in run if reading.bays is not None]
    if not bays_by_sample:
        return None
    return tuple(_columns_of(bays) for bays in zip(*bays_by_sample, strict=True))


def _columns_of(bays: Sequence[Bay]) -> BayColumns:
    states = {name: _column(list(map(attrgetter(name), bays))) for name in BAY_COLUMNS}
    values = {name: _column([getattr(bay.battery, name, None) for bay in bays]) for name in BATTERY_COLUMNS}
    return BayColumns(bay=bays[0].bay, **states, **values)
