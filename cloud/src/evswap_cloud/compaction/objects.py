"""What lies in a bucket, as far as compaction and queries need it."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from evswap_cloud.aws import error_code
from evswap_cloud.errors import HistoryError, Overtaken

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

_OVERTAKEN: Final = ("PreconditionFailed", "ConditionalRequestConflict")
_MISSING: Final = ("NoSuchKey", "404")
_MOST_DELETED_AT_ONCE: Final = 1_000


def batches(keys: Iterable[str], most: int) -> Iterator[list[str]]:
    """``keys`` in lists of at most ``most``, none of them empty."""
    left = iter(keys)
    while some := list(islice(left, most)):
        yield some


class Listed(Struct, frozen=True, kw_only=True):
    """An object's entry in the bucket's list; ``size`` in bytes."""

    key: str
    size: int
    modified: datetime


class Document(Struct, frozen=True, kw_only=True):
    """A small object as it was read; ``etag`` names this content of it."""

    body: bytes
    etag: str


class Objects(Protocol):
    """A bucket. Everything raises ``HistoryError`` when the bucket does not do it."""

    @property
    def address(self) -> str:
        """What goes before ``/`` and a key in an address: ``s3://bucket``."""

    def every(self, prefix: str) -> Iterator[Listed]:
        """What lies under ``prefix``, sorted by key."""

    def read(self, key: str) -> Document | None:
        """A small object; None where there is none."""

    def fetch(self, key: str, path: Path) -> Mapping[str, str]:
        """Copy an object into the file ``path``; returns the object's metadata."""

    def put(self, key: str, path: Path) -> None:
        """Keep the file ``path`` as an object."""

    def write(self, key: str, body: bytes) -> None:
        """Keep ``body`` as an object, whatever was there."""

    def replace(self, key: str, body: bytes, *, expected: str | None) -> None:
        """Keep ``body`` where the content is still the one of the etag ``expected``, or nothing for None;
        raises ``Overtaken`` where it is another.
        """

    def remove(self, keys: Iterable[str]) -> None:
        """Remove objects; what is not there is no error."""


class S3Objects:
    """A bucket of S3."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    @property
    def address(self) -> str:
        return f"s3://{self._bucket}"

    def every(self, prefix: str) -> Iterator[Listed]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        try:
            for page in pages:
                for entry in page.get("Contents", []):
                    yield Listed(key=entry["Key"], size=entry["Size"], modified=entry["LastModified"])
        except (ClientError, BotoCoreError) as error:
            raise self._failed("list", prefix, error) from error

    def read(self, key: str) -> Document | None:
        try:
            found = self._client.get_object(Bucket=self._bucket, Key=key)
            return Document(body=found["Body"].read(), etag=found["ETag"])
        except (ClientError, BotoCoreError) as error:
            if error_code(error) in _MISSING:
                return None
            raise self._failed("read", key, error) from error

    def fetch(self, key: str, path: Path) -> Mapping[str, str]:
        try:
            found = self._client.get_object(Bucket=self._bucket, Key=key)
            with path.open("wb") as file:
                for chunk in found["Body"].iter_chunks(1 << 20):
                    file.write(chunk)
        except (ClientError, BotoCoreError) as error:
            raise self._failed("fetch", key, error) from error
        return found["Metadata"]

    def put(self, key: str, path: Path) -> None:
        try:
            with path.open("rb") as file:
                self._client.put_object(Bucket=self._bucket, Key=key, Body=file)
        except (ClientError, BotoCoreError) as error:
            raise self._failed("put", key, error) from error

    def write(self, key: str, body: bytes) -> None:
        try:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=body)
        except (ClientError, BotoCoreError) as error:
            raise self._failed("write", key, error) from error

    def replace(self, key: str, body: bytes, *, expected: str | None) -> None:
        try:
            if expected is None:
                self._client.put_object(Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*")
            else:
                self._client.put_object(Bucket=self._bucket, Key=key, Body=body, IfMatch=expected)
        except (ClientError, BotoCoreError) as error:
            if error_code(error) in _OVERTAKEN:
                raise Overtaken(key) from error
            raise self._failed("replace", key, error) from error

    def remove(self, keys: Iterable[str]) -> None:
        for some in batches(keys, _MOST_DELETED_AT_ONCE):
            try:
                answer = self._client.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": [{"Key": key} for key in some], "Quiet": True}
                )
            except (ClientError, BotoCoreError) as error:
                raise self._failed("remove", some[0], error) from error
            for refused in answer.get("Errors", []):
                raise HistoryError(
                    operation="remove", target=refused.get("Key", ""), code=refused.get("Code", "")
                )

    def _failed(self, operation: str, target: str, error: ClientError | BotoCoreError) -> HistoryError:
        return HistoryError(operation=operation, target=f"{self.address}/{target}", code=error_code(error))
