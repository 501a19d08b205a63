"""From a batch to readings, whatever a hostile sender put into it."""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any

from evswap_schema import codec
from evswap_schema.batch import BATTERY_COLUMNS, BAY_COLUMNS, SAMPLE_COLUMNS, Batch, BatchDocument, BayColumns
from evswap_schema.bay import Battery, Bay
from evswap_schema.errors import InvalidField, MalformedMessage, OversizedMessage
from evswap_schema.fields import Quality
from evswap_schema.limits import (
    MAX_BATCH_BAY_SAMPLES,
    MAX_BATCH_BYTES,
    MAX_BATCH_INFLATED_BYTES,
    MAX_SEQUENCE,
)
from evswap_schema.reading import Reading
from evswap_schema.timestamps import from_epoch_microseconds


def decode_batch(raw: bytes) -> Batch:
    """Read a batch.

    Raises ``OversizedMessage`` (as sent, or once inflated), ``MalformedMessage`` or ``InvalidField``.
    """
    if len(raw) > MAX_BATCH_BYTES:
        raise OversizedMessage(field="", rule=f"at most {MAX_BATCH_BYTES} bytes", value=f"{len(raw)} bytes")
    document = codec.decode(inflate_batch(raw), BatchDocument, limit=MAX_BATCH_INFLATED_BYTES)
    return Batch(
        station_id=document.station_id,
        stream_id=document.stream_id,
        readings=tuple(_readings(document)),
        minutes=document.minutes,
        backlog=document.backlog,
        acknowledge=document.acknowledge,
    )


def inflate_batch(raw: bytes) -> bytes:
    """The JSON of a batch, which may be deflated or not; raises ``OversizedMessage`` or
    ``MalformedMessage``."""
    return raw if raw.lstrip()[:1] == b"{" else _inflate(raw)


def _inflate(raw: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(raw, MAX_BATCH_INFLATED_BYTES)
    except zlib.error as error:
        raise MalformedMessage(field="", rule="has to be JSON, plain or deflated", value=raw) from error
    if inflater.unconsumed_tail:
        rule = f"at most {MAX_BATCH_INFLATED_BYTES} bytes once inflated"
        raise OversizedMessage(field="", rule=rule, value=raw)
    if not inflater.eof or inflater.unused_data:
        raise MalformedMessage(field="", rule="has to be one whole deflated document", value=raw)
    return text


def _readings(document: BatchDocument) -> Iterator[Reading]:
    sequences = _running("sequence", document.sequence, document.sequence_steps, document.samples)
    moments = _running("timestamp", document.timestamp, document.timestamp_steps, document.samples)
    columns = {name: _values(name, getattr(document, name), document.samples) for name in SAMPLE_COLUMNS}
    quality = _quality_by_sample(document)
    bays = _bays_by_sample(document)
    for index in range(document.samples):
        yield _reading(
            station_id=document.station_id,
            stream_id=document.stream_id,
            sequence=_within_sequence_range(sequences[index]),
            timestamp=_moment(moments[index]),
            quality=quality.get(index),
            bays=bays[index],
            part=document.part,
            location=document.location,
            firmware=document.firmware,
            **{name: values[index] for name, values in columns.items()},
        )


def _reading(**fields: Any) -> Reading:
    """A reading whose fields are each in range already; what they say together can still be wrong."""
    try:
        return Reading(**fields)
    except ValueError as error:
        raise InvalidField(field="", rule=str(error), value=fields["sequence"]) from error


def _running(name: str, first: int, steps: int | tuple[int, ...], samples: int) -> list[int]:
    return list(accumulate(_values(f"{name}_steps", steps, samples - 1), initial=first))


def _values(name: str, column: Any, samples: int) -> Sequence[Any]:
    if not isinstance(column, tuple):
        return (column,) * samples
    if len(column) != samples:
        raise InvalidField(
            field=name, rule=f"one value, or one for each of {samples}", value=f"{len(column)} values"
        )
    return column


def _within_sequence_range(sequence: int) -> int:
    if sequence > MAX_SEQUENCE:
        raise InvalidField(field="sequence", rule=f"at most {MAX_SEQUENCE}", value=sequence)
    return sequence


def _moment(microseconds: int) -> datetime:
    try:
        return from_epoch_microseconds(microseconds)
    except OverflowError as error:
        raise InvalidField(
            field="timestamp", rule="has to be within the calendar", value=microseconds
        ) from error


def _quality_by_sample(document: BatchDocument) -> dict[int, dict[str, Quality]]:
    quality = document.quality or {}
    for index in quality:
        if not 0 <= index < document.samples:
            raise InvalidField(
                field=f"quality.{index}", rule=f"one of {document.samples} samples", value=index
            )
    return quality


def _bays_by_sample(document: BatchDocument) -> Sequence[tuple[Bay, ...] | None]:
    if document.bays is None:
        return (None,) * document.samples
    if document.samples * len(document.bays) > MAX_BATCH_BAY_SAMPLES:
        rule = f"samples times bays at most {MAX_BATCH_BAY_SAMPLES}"
        raise InvalidField(field="bays", rule=rule, value=f"{document.samples} x {len(document.bays)}")
    if not document.bays:
        return ((),) * document.samples
    columns = [
        _bay_values(bay, document.samples, f"bays[{index}]") for index, bay in enumerate(document.bays)
    ]
    return tuple(zip(*columns, strict=True))


def _bay_values(columns: BayColumns, samples: int, path: str) -> list[Bay]:
    """The bay at each sample; samples between which nothing changed share one object."""
    names = (*BAY_COLUMNS, *BATTERY_COLUMNS)
    rows: Iterable[tuple[Any, ...]] = zip(
        *(_values(f"{path}.{name}", getattr(columns, name), samples) for name in names), strict=True
    )
    bays: list[Bay] = []
    last: tuple[Any, ...] | None = None
    for row in rows:
        bays.append(bays[-1] if row == last else _bay(columns.bay, row, path))
        last = row
    return bays


def _bay(number: int, row: tuple[Any, ...], path: str) -> Bay:
    """Called for each bay of each sample: most of what a batch costs to read is here."""
    states, values = row[: len(BAY_COLUMNS)], row[len(BAY_COLUMNS) :]
    absent = values.count(None)
    if absent and absent != len(values):
        name = BATTERY_COLUMNS[values.index(None)]
        raise InvalidField(field=f"{path}.{name}", rule="all fields of a battery, or none", value=None)
    battery = None if absent else Battery(**dict(zip(BATTERY_COLUMNS, values, strict=True)))
    return Bay(bay=number, battery=battery, **dict(zip(BAY_COLUMNS, states, strict=True)))
