"""Counting the archive: raw copies, and what is distinct among them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from evswap_cloud.archive import readings_in
from evswap_schema import SchemaError, decode_reading, identity_of

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


def _versions(s3: "S3Client", bucket: str) -> Iterator[tuple[str, str]]:
    for prefix in PREFIXES:
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
            for version in page.get("Versions", []):
                yield version["Key"], version["VersionId"]
