"""A raw archive as ingest writes it, in memory, and what is compacted of it."""

import tempfile
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from evswap_cloud.compaction import READINGS, Compactor, Kind, Limits, Objects, Outcome, Resources
from evswap_cloud.compaction.engine import read_parquet
from evswap_cloud.compaction.manifest import Manifest, load
from evswap_cloud.compaction.memory import MemoryObjects
from evswap_schema import Event, Reading
from tests.cloud.messages import NOW, delivered, delivered_batches, reading
from tests.cloud.station_events import delivered_event
from tests.cloud.stores import Stores

SMALL = Resources(memory_mb=256, threads=1)
DEFAULT = Limits()
Row = dict[str, Any]


def run(station_id: str = "station-01", count: int = 12, **changes: Any) -> list[Reading]:
    """Readings of one stream, each five seconds after the one before, the last at ``NOW``."""
    return [
        sampled(number, NOW - timedelta(seconds=5 * (count - number)), station_id, **changes)
        for number in range(1, count + 1)
    ]


def sampled(number: int, at: datetime, station_id: str = "station-01", **changes: Any) -> Reading:
    """The ``number``-th reading of the station's stream."""
    fields = {"stream_id": f"stream-of-{station_id}", "sequence": number, "battery_available": number % 9}
    return reading(station_id=station_id, timestamp=at, **(fields | changes))


class History:
    """Both buckets, at a moment that a test moves."""

    def __init__(self) -> None:
        self.now = NOW + timedelta(minutes=10)
        self.archive = MemoryObjects(lambda: self.now)
        self.compacted = MemoryObjects(lambda: self.now)

    def receive(self, readings: Sequence[Reading], received_at: datetime = NOW) -> None:
        """A batch of one station."""
        stores = Stores()
        report = stores.bulk.process(delivered_batches(readings, received_at=received_at))
        assert (report.failures, report.quarantined) == ((), ())
        self._archive(stores)

    def receive_singly(self, one: Reading, received_at: datetime = NOW) -> None:
        """A seed message, or one of a station in mode every-sample."""
        stores = Stores()
        report = stores.live.process([delivered(one, received_at=received_at)])
        assert (report.failures, report.quarantined) == ((), ())
        self._archive(stores)

    def receive_events(self, events: Iterable[Event], received_at: datetime = NOW) -> None:
        stores = Stores()
        deliveries = [delivered_event(one, str(number), received_at) for number, one in enumerate(events)]
        report = stores.events.process(deliveries)
        assert (report.failures, report.quarantined) == ((), ())
        self._archive(stores)

    def _archive(self, stores: Stores) -> None:
        for key, item in stores.archive.objects.items():
            self.archive.write(key, item.body)
            self.archive.metadata[key] = item.metadata

    def compact(
        self,
        kind: Kind = READINGS,
        limits: Limits = DEFAULT,
        *,
        archive: Objects | None = None,
        compacted: Objects | None = None,
    ) -> Outcome:
        compactor = Compactor(
            kind,
            archive=archive or self.archive,
            compacted=compacted or self.compacted,
            resources=SMALL,
            progress=lambda _text: None,
            clock=lambda: self.now,
        )
        return compactor.run(limits)

    def manifest(self, kind: Kind = READINGS) -> Manifest:
        return load(self.compacted, kind).manifest

    def days(self, kind: Kind = READINGS) -> dict[str, list[Row]]:
        """The current rows by day, in the order in which the files have them."""
        days = self.manifest(kind).days
        return {
            day: [row for file in each.files for row in self.file(file.key, kind)]
            for day, each in days.items()
        }

    def rows(self, kind: Kind = READINGS) -> list[Row]:
        return [row for rows in self.days(kind).values() for row in rows]

    def file(self, key: str, kind: Kind = READINGS) -> list[Row]:
        with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
            path = Path(folder) / "file.parquet"
            self.compacted.fetch(key, path)
            found = connection.execute(read_parquet(kind, [path]))
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
