"""A table as it was at a moment (point-in-time recovery), with the settings put back that AWS leaves out.

AWS restores into a new table, which has no expiry (TTL), stream, tags, protection or recovery of its own.
What is in it is then copied to where the functions look: what is missing there, or all of it.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from evswap_cloud.operations.clients import PARALLEL
from evswap_cloud.operations.failing import operating

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

Tell = Callable[[str], object]

_POLL_S: Final = 2.0


class Restored(Struct, frozen=True, kw_only=True):
    """The new table, the settings that were put back to what ``source`` has, and how long it took."""

    source: str
    table: str
    settings: tuple[str, ...]
    seconds: float


class Copied(Struct, frozen=True, kw_only=True):
    """Items that were written, and those that were there already and stayed."""

    written: int
    kept: int
    seconds: float


def restore_table(
    dynamodb: "DynamoDBClient", source: str, table: str, *, moment: datetime | None, tell: Tell
) -> Restored:
    """``source`` as it was at ``moment`` (the latest there is, if None) as the new ``table``.

    Raises ``NotOperated``, also where ``table`` is there already or the moment cannot be had."""
    began = time.monotonic()
    when: Any = {"UseLatestRestorableTime": True} if moment is None else {"RestoreDateTime": moment}
    with operating("restore", source):
        dynamodb.restore_table_to_point_in_time(SourceTableName=source, TargetTableName=table, **when)
        while (status := dynamodb.describe_table(TableName=table)["Table"]["TableStatus"]) != "ACTIVE":
            tell(f"{table}: {status.lower()}, {time.monotonic() - began:.0f} s")
            time.sleep(_POLL_S)
    return Restored(
        source=source,
        table=table,
        settings=put_back(dynamodb, source, table),
        seconds=time.monotonic() - began,
    )


def put_back(dynamodb: "DynamoDBClient", source: str, table: str) -> tuple[str, ...]:
    """Give ``table`` the settings of ``source`` that a restore leaves out, and name them; again is harmless.

    Alarms watch a table by its name: those of ``source`` do not see ``table``. Raises ``NotOperated``."""
    with operating("set up", table):
        described = dynamodb.describe_table(TableName=source)["Table"]
        done = [
            _expiry(dynamodb, source, table),
            _recovery(dynamodb, source, table),
            _stream(dynamodb, described, table),
            _protection(dynamodb, described, table),
            _tags(dynamodb, described, table),
        ]
    return tuple(setting for setting in done if setting)


def _expiry(dynamodb: "DynamoDBClient", source: str, table: str) -> str:
    found = dynamodb.describe_time_to_live(TableName=source)["TimeToLiveDescription"]
    there = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    wanted = found.get("AttributeName")
    if found["TimeToLiveStatus"] not in ("ENABLED", "ENABLING") or wanted is None:
        return ""
    if there["TimeToLiveStatus"] not in ("ENABLED", "ENABLING"):
        dynamodb.update_time_to_live(
            TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": wanted}
        )
    return f"expiry by {wanted}"


def _recovery(dynamodb: "DynamoDBClient", source: str, table: str) -> str:
    found = dynamodb.describe_continuous_backups(TableName=source)["ContinuousBackupsDescription"]
    recovery = found.get("PointInTimeRecoveryDescription", {})
    if recovery.get("PointInTimeRecoveryStatus") != "ENABLED":
        return ""
    dynamodb.update_continuous_backups(
        TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    return "point-in-time recovery"


def _stream(dynamodb: "DynamoDBClient", source: Any, table: str) -> str:
    wanted = source.get("StreamSpecification", {})
    if not wanted.get("StreamEnabled"):
        return ""
    if not dynamodb.describe_table(TableName=table)["Table"].get("StreamSpecification"):
        dynamodb.update_table(TableName=table, StreamSpecification=wanted)
    return f"stream of {wanted['StreamViewType']}"


def _protection(dynamodb: "DynamoDBClient", source: Any, table: str) -> str:
    if not source.get("DeletionProtectionEnabled"):
        return ""
    dynamodb.update_table(TableName=table, DeletionProtectionEnabled=True)
    return "protection against deletion"


def _tags(dynamodb: "DynamoDBClient", source: Any, table: str) -> str:
    tags = dynamodb.list_tags_of_resource(ResourceArn=source["TableArn"]).get("Tags", [])
    if not tags:
        return ""
    arn = dynamodb.describe_table(TableName=table)["Table"]["TableArn"]
    dynamodb.tag_resource(ResourceArn=arn, Tags=tags)
    return f"{len(tags)} tags"


def copy_items(dynamodb: "DynamoDBClient", source: str, table: str, *, overwrite: bool, tell: Tell) -> Copied:
    """Copy every item of ``source`` to ``table``; what is there already stays, unless ``overwrite``.

    Raises ``NotOperated``; again is harmless."""
    began, written, kept = time.monotonic(), 0, 0
    with operating("copy", f"{source} to {table}"), ThreadPoolExecutor(PARALLEL) as pool:
        [key, *_] = dynamodb.describe_table(TableName=table)["Table"]["KeySchema"]
        unless_there: Any = (
            {}
            if overwrite
            else {
                "ConditionExpression": "attribute_not_exists(#key)",
                "ExpressionAttributeNames": {"#key": key["AttributeName"]},
            }
        )

        def put(item: Any) -> bool:
            try:
                dynamodb.put_item(TableName=table, Item=item, **unless_there)
            except dynamodb.exceptions.ConditionalCheckFailedException:
                return False
            return True

        for page in dynamodb.get_paginator("scan").paginate(TableName=source, ConsistentRead=True):
            outcomes = list(pool.map(put, page["Items"]))
            written += sum(outcomes)
            kept += len(outcomes) - sum(outcomes)
            tell(f"{table}: {written} written, {kept} kept")
    return Copied(written=written, kept=kept, seconds=time.monotonic() - began)
