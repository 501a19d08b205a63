"""What ingest costs per message beside what any reader of the envelope pays. The stores are in memory."""

import base64
import itertools
import json
import zlib
from datetime import timedelta

from msgspec.structs import replace

from evswap_cloud.ingest import BulkIngest, Delivery, LiveIngest
from evswap_cloud.memory import MemoryArchive, MemoryHistory, MemoryLatestStates, MemoryQuarantine
from evswap_schema import Reading, encode_reading
from tests.benchmarks.figures import Figure, cost_us
from tests.cloud.messages import NOW, delivered, delivered_batches
from tests.shared.cabinets import minute_of_readings

_LIVE_RECORDS = 100
_BULK_STATIONS = 20


def measure() -> list[Figure]:
    return [_live_cost(0), _live_cost(8), _bulk_cost(8)]


def _live_cost(bay_count: int) -> Figure:
    """A full batch of the live function: ten readings each of ten stations."""
    run = minute_of_readings(bay_count, samples=10)
    readings = _of_stations(run, _LIVE_RECORDS // len(run))
    records = [delivered(one, f"r{index}") for index, one in enumerate(readings)]
    size = len(encode_reading(run[0]))
    return Figure(
        name=f"single reading ingested ({size} bytes, {bay_count} bays)",
        per_item_us=cost_us(lambda: _live().process(records), items=len(records)),
        floor_name="json.loads and base64 of the same bytes",
        floor_us=cost_us(lambda: [_open(record) for record in records], items=len(records)),
    )


def _bulk_cost(bay_count: int) -> Figure:
    """A minute of twenty stations."""
    run = minute_of_readings(bay_count)
    records = [
        record
        for number in range(_BULK_STATIONS)
        for record in delivered_batches([_moved(one, number) for one in run], f"r{number}")
    ]
    samples = len(run) * _BULK_STATIONS
    return Figure(
        name=f"sample of a batch ingested ({bay_count} bays)",
        per_item_us=cost_us(lambda: _bulk().process(records), items=samples),
        floor_name="json.loads, base64 and zlib.decompress of the same bytes",
        floor_us=cost_us(lambda: [_inflate(record) for record in records], items=samples),
    )


def _of_stations(run: list[Reading], count: int) -> list[Reading]:
    return [_moved(one, number) for number, one in itertools.product(range(count), run)]


def _moved(one: Reading, number: int) -> Reading:
    """The same reading of another station, taken just before the tests' now."""
    taken = NOW - timedelta(minutes=1) + timedelta(seconds=5) * ((one.sequence or 0) % 12)
    return replace(one, station_id=f"station-{number:02}", timestamp=taken)


def _live() -> LiveIngest:
    return LiveIngest(
        archive=MemoryArchive(),
        latest=MemoryLatestStates(),
        quarantine=MemoryQuarantine(),
    )


def _bulk() -> BulkIngest:
    return BulkIngest(
        archive=MemoryArchive(),
        latest=MemoryLatestStates(),
        history=MemoryHistory(),
        quarantine=MemoryQuarantine(),
    )


def _open(record: Delivery) -> object:
    return json.loads(base64.b64decode(json.loads(record.body)["payload"]))


def _inflate(record: Delivery) -> object:
    return json.loads(zlib.decompress(base64.b64decode(json.loads(record.body)["payload"])))
