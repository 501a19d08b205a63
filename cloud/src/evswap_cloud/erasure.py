"""Removing a person from every store: events, ledger, commands, archive with all versions, quarantine.

A person is the keyed hash of a token. It is replaced by ``FORGOTTEN``, so that the batteries' history, and
the auditor, go on; what was only about the person is removed. Doing it again finds nothing, unless a station
has brought events of before meanwhile.
"""

import gzip
import hashlib
import re
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct
from msgspec.structs import replace

from evswap_cloud.archive import DIGEST, LinesFolder
from evswap_cloud.aws import error_code
from evswap_cloud.errors import ErasureError
from evswap_cloud.ledger import Battery, Book, batteries, swaps
from evswap_cloud.remote.forgetting import without_person
from evswap_cloud.remote.store import from_item
from evswap_schema import encode_command

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_s3.client import S3Client

FORGOTTEN: Final = "0" * 64
"""Stands where a token's hash stood. No token has it: that would take a preimage of SHA-256."""

_HASH: Final = re.compile(r"[0-9a-f]{64}")


class Erased(Struct, frozen=True, kw_only=True):
    """What was found of a person and is no more. ``objects`` are those of the archive that were rewritten,
    ``versions`` older ones that were removed, ``quarantined`` refused messages that were removed."""

    events: int
    batteries: int
    swaps: int
    authorisations: int
    commands: int
    objects: int
    versions: int
    quarantined: int


class Stores(Struct, frozen=True, kw_only=True):
    """Where persons may be."""

    dynamodb: "DynamoDBClient"
    s3: "S3Client"
    events_table: str
    commands_table: str
    archive_bucket: str
    ledger: Book


class NoTokenHash(ValueError):
    """``text`` cannot be a person: it has to be 64 hexadecimal digits, and not those of ``FORGOTTEN``."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__("a token's hash is 64 hexadecimal digits in lower case, and not all zeros")


def erase(id_token: str, stores: Stores) -> Erased:
    """Remove the person with ``id_token``; raises ``NoTokenHash``, ``StoreError``.

    The archive goes last: as long as something of the person is there, all of it is done again.
    """
    if not _HASH.fullmatch(id_token) or id_token == FORGOTTEN:
        raise NoTokenHash(id_token)
    try:
        events = sum(1 for _ in _forget_events(id_token, stores))
        known, journeys, granted = _forget_in_ledger(id_token, stores.ledger)
        commanded = sum(1 for _ in _forget_commands(id_token, stores))
        quarantined = sum(1 for _ in _forget_refused(id_token, stores))
        objects, versions = _forget_archived(id_token, stores)
    except (ClientError, BotoCoreError) as error:
        raise ErasureError(operation="erase", target="a person", code=error_code(error)) from error
    return Erased(
        events=events,
        batteries=known,
        swaps=journeys,
        authorisations=granted,
        commands=commanded,
        objects=objects,
        versions=versions,
        quarantined=quarantined,
    )


def _forget_events(id_token: str, stores: Stores) -> Iterator[str]:
    pages = stores.dynamodb.get_paginator("scan").paginate(
        TableName=stores.events_table,
        ConsistentRead=True,
        FilterExpression="contains(#event, :token)",
        ExpressionAttributeNames={"#event": "event"},
        ExpressionAttributeValues={":token": {"S": id_token}},
    )
    for page in pages:
        for item in page["Items"]:
            stores.dynamodb.update_item(
                TableName=stores.events_table,
                Key={name: item[name] for name in ("station_id", "event_id")},
                UpdateExpression="SET #event = :forgotten",
                ConditionExpression="attribute_exists(station_id)",
                ExpressionAttributeNames={"#event": "event"},
                ExpressionAttributeValues={
                    ":forgotten": {"S": item["event"]["S"].replace(id_token, FORGOTTEN)}
                },
            )
            yield item["event_id"]["S"]


def _forget_commands(id_token: str, stores: Stores) -> Iterator[str]:
    """A command about others too goes on without the person."""
    table = stores.commands_table
    for page in stores.dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        for item in page["Items"]:
            command = from_item(item).command
            left = without_person(command, id_token)
            key = {name: item[name] for name in ("station_id", "command_id")}
            if left is None:
                stores.dynamodb.delete_item(TableName=table, Key=key)
            elif left != command:
                stores.dynamodb.update_item(
                    TableName=table,
                    Key=key,
                    UpdateExpression="SET #command = :command",
                    ConditionExpression="attribute_exists(command_id)",
                    ExpressionAttributeNames={"#command": "command"},
                    ExpressionAttributeValues={":command": {"S": encode_command(left).decode()}},
                )
            if left != command:
                yield command.command_id


def _forget_in_ledger(id_token: str, ledger: Book) -> tuple[int, int, int]:
    """Batteries, swaps and authorisations. Where the batteries are stays known."""
    known = journeys = granted = 0
    for serial, battery in ledger.batteries.every():
        if any(one.id_token == id_token for one in battery.sightings):
            ledger.batteries.change(serial, partial(_without, id_token=id_token, found=battery))
            known += 1
    for key, swap in ledger.swaps.every():
        if key.id_token == id_token:
            anonymous = replace(key, id_token=FORGOTTEN)
            ledger.swaps.change(anonymous, partial(swaps.absorb, key=anonymous, steps=swap.steps))
            ledger.swaps.remove(key)
            journeys += 1
    for name, account in ledger.accounts.every():
        if account.grant is not None and account.grant.id_token == id_token:
            ledger.accounts.remove(name)
            granted += 1
    return known, journeys, granted


def _without(battery: Battery | None, *, id_token: str, found: Battery) -> Battery:
    """The battery as it is now, or as it was ``found`` a moment ago."""
    return batteries.without_token(battery or found, id_token)


def _forget_refused(id_token: str, stores: Stores) -> Iterator[str]:
    """Refused messages may say anything anywhere: one that names the person goes as a whole."""
    for key, version, _ in _versions(stores, "quarantine/"):
        found = stores.s3.get_object(Bucket=stores.archive_bucket, Key=key, VersionId=version)
        texts = [found["Body"].read().decode(errors="replace"), *found["Metadata"].values()]
        if any(id_token in text.lower() for text in texts):
            stores.s3.delete_object(Bucket=stores.archive_bucket, Key=key, VersionId=version)
            yield key


def _forget_archived(id_token: str, stores: Stores) -> tuple[int, int]:
    """A newest version is rewritten under its name before any older one goes: no line is ever without a
    copy."""
    rewritten = removed = 0
    token = id_token.encode()
    for key, version, is_latest in _versions(stores, f"{LinesFolder.EVENTS}/"):
        found = stores.s3.get_object(Bucket=stores.archive_bucket, Key=key, VersionId=version)
        lines = gzip.decompress(found["Body"].read())
        if token not in lines:
            continue
        if is_latest:
            body = gzip.compress(lines.replace(token, FORGOTTEN.encode()), mtime=0)
            written = stores.s3.put_object(
                Bucket=stores.archive_bucket,
                Key=key,
                Body=body,
                ContentType=found["ContentType"],
                Metadata={**found["Metadata"], DIGEST: hashlib.sha256(body).hexdigest()},
            )
            rewritten += 1
            if written.get("VersionId", version) == version:
                continue  # a bucket that keeps no versions has replaced it already
        else:
            removed += 1
        stores.s3.delete_object(Bucket=stores.archive_bucket, Key=key, VersionId=version)
    return rewritten, removed


def _versions(stores: Stores, prefix: str) -> list[tuple[str, str, bool]]:
    """Every version of every object, as they are now, and whether it is the newest."""
    pages = stores.s3.get_paginator("list_object_versions").paginate(
        Bucket=stores.archive_bucket, Prefix=prefix
    )
    return [
        (version["Key"], version["VersionId"], version["IsLatest"])
        for page in pages
        for version in page.get("Versions", [])
    ]
