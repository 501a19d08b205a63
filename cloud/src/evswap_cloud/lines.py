"""Reading an archive of events line by line, from a folder or from a bucket."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from evswap_cloud.archive import readings_in
from evswap_cloud.audit import Line
from evswap_cloud.aws import error_code
from evswap_cloud.errors import ArchiveError

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

_ENDINGS: Final = (".jsonl", ".jsonl.gz")


def lines_of_folder(folder: Path) -> Iterator[Line]:
    """The lines of all files below ``folder`` that end in .jsonl or .jsonl.gz; raises ``OSError``."""
    for path in sorted(folder.rglob("*")):
        if path.name.endswith(_ENDINGS):
            yield from _lines(str(path.relative_to(folder)), path.read_bytes())


def lines_of_bucket(s3: "S3Client", bucket: str, prefix: str) -> Iterator[Line]:
    """The lines of all objects under ``prefix``; raises ``ArchiveError``."""
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                body = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
                yield from _lines(entry["Key"], body)
    except (ClientError, BotoCoreError) as error:
        raise ArchiveError(operation="read", target=f"{bucket}/{prefix}", code=error_code(error)) from error


def _lines(name: str, body: bytes) -> Iterator[Line]:
    contents = readings_in(name, body) if name.endswith(".gz") else body.splitlines()
    for number, content in enumerate(contents, 1):
        yield Line(f"{name}:{number}", content)
