"""What the contract costs per message: writing and reading a reading, and a batch for each of its samples."""

import json
import zlib

import msgspec

from evswap_schema import (
    Channel,
    Reading,
    aws_topic,
    decode_batch,
    decode_reading,
    encode_batches,
    encode_reading,
)
from tests.benchmarks.figures import Figure, cost_us
from tests.shared.cabinets import minute_of_readings


def measure() -> list[Figure]:
    return [*_reading_costs(), *_batch_costs(35)]


def _reading_costs() -> list[Figure]:
    [reading] = minute_of_readings(0, samples=1)
    raw = encode_reading(reading)
    typed = msgspec.json.Decoder(Reading)
    plain = json.loads(raw)
    return [
        Figure(
            name=f"reading written ({len(raw)} bytes)",
            per_item_us=cost_us(lambda: encode_reading(reading)),
            floor_name="msgspec.json.encode of the same as a dict",
            floor_us=cost_us(lambda: msgspec.json.encode(plain)),
        ),
        Figure(
            name="reading read, every rule checked",
            per_item_us=cost_us(lambda: decode_reading(raw)),
            floor_name="msgspec alone (lets duplicate keys and non-RFC 3339 times pass)",
            floor_us=cost_us(lambda: typed.decode(raw)),
        ),
    ]


def _batch_costs(bay_count: int) -> list[Figure]:
    readings = minute_of_readings(bay_count)
    topic = aws_topic(Channel.BATCH, readings[0].station_id)
    [batch] = encode_batches(readings, topic=topic)
    document = zlib.decompress(batch.payload)
    samples = len(readings)
    return [
        Figure(
            name=f"sample of {bay_count} bays into a batch ({len(batch.payload) // samples} bytes each)",
            per_item_us=cost_us(lambda: encode_batches(readings, topic=topic), items=samples),
            floor_name="zlib.compress of the same document",
            floor_us=cost_us(lambda: zlib.compress(document, 9), items=samples),
        ),
        Figure(
            name=f"sample of {bay_count} bays out of a batch, every rule checked",
            per_item_us=cost_us(lambda: decode_batch(batch.payload), items=samples),
            floor_name="zlib.decompress and json.loads",
            floor_us=cost_us(lambda: json.loads(zlib.decompress(batch.payload)), items=samples),
        ),
    ]
