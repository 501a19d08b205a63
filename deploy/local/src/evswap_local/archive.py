"""Looking at the archive: raw copies, what is distinct among them, and one station's readings."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from evswap_cloud.archive import readings_in
from evswap_schema import Reading, SchemaError, decode_reading, identity_of

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

PREFIXES = ("telemetry/", "bulk/")


@dataclass(frozen=True, kw_only=True)
class Count:
    """``versions`` counts each object as often as it was written; ``raw`` the readings in all of them."""

    objects: int
    versions: int
    raw: int
    distinct: int
    unreadable: int

    @property
    def duplicates(self) -> int:
        """Raw readings beyond the first of each identity."""
        return self.raw - self.distinct

    def as_dict(self) -> dict[str, int]:
        """All of it, for programs."""
        return {
            "objects": self.objects,
            "versions": self.versions,
            "raw": self.raw,
            "distinct": self.distinct,
            "duplicates": self.duplicates,
            "unreadable": self.unreadable,
        }


def count_archive(s3: "S3Client", bucket: str) -> Count:
    """Counts what lies under ``telemetry/`` (an object a reading) and ``bulk/`` (a line a reading)."""
    keys: set[str] = set()
    identities: set[UUID] = set()
    versions = raw = unreadable = 0
    for key, version_id in _versions(s3, bucket):
        keys.add(key)
        versions += 1
        body = s3.get_object(Bucket=bucket, Key=key, VersionId=version_id)["Body"].read()
        for message in readings_in(key, body):
            try:
                identities.add(identity_of(decode_reading(message)).uuid)
                raw += 1
            except SchemaError:
                unreadable += 1
    return Count(
        objects=len(keys), versions=versions, raw=raw, distinct=len(identities), unreadable=unreadable
    )


def list_archive(
    s3: "S3Client", bucket: str, *, station: str | None = None, since: datetime | None = None
) -> Iterator[Reading]:
    """Every reading as often as the archive holds it, in the order of the objects' names.

    ``station`` leaves out the others, ``since`` what was sampled earlier; an object that was written before
    ``since`` is not opened. What is no reading is left out: `count_archive` counts it.
    """
    for key in _keys(s3, bucket, written_since=since):
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        for message in readings_in(key, body):
            reading = _reading(message)
            if reading is not None and _is_asked_for(reading, station, since):
                yield reading


def _reading(message: bytes) -> Reading | None:
    try:
        return decode_reading(message)
    except SchemaError:
        return None


def _is_asked_for(reading: Reading, station: str | None, since: datetime | None) -> bool:
    of_station = station is None or reading.station_id == station
    return of_station and (since is None or reading.timestamp >= since)


def _keys(s3: "S3Client", bucket: str, *, written_since: datetime | None) -> Iterator[str]:
    """S3 tells the time of writing in whole seconds."""
    earliest = written_since.replace(microsecond=0) if written_since else None
    for prefix in PREFIXES:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                if earliest is None or entry["LastModified"] >= earliest:
                    yield entry["Key"]


def _versions(s3: "S3Client", bucket: str) -> Iterator[tuple[str, str]]:
    for prefix in PREFIXES:
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
            for version in page.get("Versions", []):
                yield version["Key"], version["VersionId"]
