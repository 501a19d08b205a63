"""The raw archive: what stations sent, unchanged, under names that tell where and when.

At least once: a message that is delivered twice has the same name, so the archive keeps one. Objects are
never overwritten.
"""

import gzip
import hashlib
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol
from uuid import UUID, uuid5

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from evswap_cloud.aws import error_code
from evswap_cloud.errors import ArchiveError
from evswap_cloud.latest import Flag
from evswap_schema import Reading, compact_timestamp, format_timestamp, identity_of

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client


class LinesFolder(StrEnum):
    """What is archived many to an object, and where."""

    BULK = "bulk"
    EVENTS = "events"


_LINES_NAMESPACE: Final = UUID("2f0d3b6c-7a41-5d6e-8c58-1f6b9a7c2e90")
"""Never changes: object names made from it have to be the same for ever."""

_LINES_SUFFIX: Final = ".jsonl.gz"

_EXISTS: Final = "PreconditionFailed"
DIGEST: Final = "sha256"


class ArchiveObject(Struct, frozen=True, kw_only=True):
    """Something to keep: ``metadata`` stands beside the body, which is stored byte for byte."""

    key: str
    body: bytes
    content_type: str
    metadata: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of the body, hexadecimal."""
        return hashlib.sha256(self.body).hexdigest()


class Addition(StrEnum):
    """What became of an object: CONFLICT means that another body already has the name."""

    STORED = "stored"
    REPEATED = "repeated"
    CONFLICT = "conflict"


class Archive(Protocol):
    """Where raw messages are kept."""

    def add(self, item: ArchiveObject) -> Addition:
        """Keep ``item`` unless its key is taken; durable when this returns; raises ``ArchiveError``."""


def reading_object(
    reading: Reading, body: bytes, *, received_at: datetime, client_id: str, flags: tuple[Flag, ...]
) -> ArchiveObject:
    """The object of one telemetry message: its own bytes, in the folder of the day of its own timestamp."""
    name = f"{reading.station_id}_{compact_timestamp(reading.timestamp)}_{identity_of(reading).uuid}.json"
    return ArchiveObject(
        key=f"telemetry/{day_folder(reading.timestamp)}/{name}",
        body=body,
        content_type="application/json",
        metadata={
            "received-at": format_timestamp(received_at),
            "client-id": client_id,
            **({"flags": ",".join(flags)} if flags else {}),
        },
    )


def lines_object(folder: LinesFolder, lines: bytes, *, received_at: datetime, messages: int) -> ArchiveObject:
    """The object of many messages as gzipped JSON lines, in the folder of the day they were received.

    The name follows from the lines: the same lines give the same object. Athena reads gzip (RFC 1952) by the
    name's ending, and samples of bays differ so little from each other that little is left of them.
    """
    name = uuid5(_LINES_NAMESPACE, hashlib.sha256(lines).hexdigest())
    return ArchiveObject(
        key=f"{folder}/{day_folder(received_at)}/{compact_timestamp(received_at)}_{name}{_LINES_SUFFIX}",
        body=gzip.compress(lines, mtime=0),
        content_type="application/gzip",
        metadata={"received-at": format_timestamp(received_at), "messages": str(messages)},
    )


def readings_in(key: str, body: bytes) -> list[bytes]:
    """The readings in an archived object, each as JSON: one message, or the lines of a bulk object."""
    return gzip.decompress(body).splitlines() if key.endswith(_LINES_SUFFIX) else [body]


def day_folder(moment: datetime) -> str:
    """The Hive-style partition of ``moment``: ``year=2024/month=01/day=15``."""
    return f"year={moment.year:04}/month={moment.month:02}/day={moment.day:02}"


class S3Archive:
    """The archive in an S3 bucket."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def add(self, item: ArchiveObject) -> Addition:
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=item.key,
                Body=item.body,
                ContentType=item.content_type,
                Metadata={**item.metadata, DIGEST: item.digest},
                IfNoneMatch="*",
            )
        except (ClientError, BotoCoreError) as error:
            if error_code(error) == _EXISTS:
                return self._compare(item)
            raise ArchiveError(operation="put", target=item.key, code=error_code(error)) from error
        return Addition.STORED

    def _compare(self, item: ArchiveObject) -> Addition:
        try:
            stored = self._client.head_object(Bucket=self._bucket, Key=item.key)
        except (ClientError, BotoCoreError) as error:
            raise ArchiveError(operation="compare", target=item.key, code=error_code(error)) from error
        same = stored["Metadata"].get(DIGEST) == item.digest
        return Addition.REPEATED if same else Addition.CONFLICT
