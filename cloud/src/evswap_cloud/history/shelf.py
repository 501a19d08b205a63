"""Where quarters are kept: an item of at most 1 KB each, written once, gone after 90 days.

A delivery that is repeated meets its own item and changes nothing. Where a quarter is told in pieces, each
finds what came before it, and both are merged, whichever is first.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from evswap_cloud.aws import error_code
from evswap_cloud.errors import MinuteStoreError
from evswap_cloud.history.quarters import Quarter, merged, packed, start_of, unpacked

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef, PutItemInputTypeDef, QueryInputTypeDef

RETENTION: Final = timedelta(days=90)
"""How long minutes can be asked for; the archive keeps the samples that they are made of."""

_ATTEMPTS: Final = 5
"""Two invocations at most tell of one quarter at once; more often than that something else is wrong."""


class Keeping(StrEnum):
    """What became of a quarter. Each is success."""

    KEPT = "kept"
    KNOWN = "known"


class HistoryWriter(Protocol):
    """Where ingest puts quarters."""

    def keep(self, quarter: Quarter) -> Keeping:
        """Keep what ``quarter`` tells beside what is kept of it; raises ``MinuteStoreError``."""


class HistoryReader(Protocol):
    """Where the API takes quarters from."""

    def between(self, station_id: str, begin: datetime, end: datetime) -> tuple[Quarter, ...]:
        """The quarters that have anything of the time from ``begin`` to before ``end``, in their order;
        raises ``MinuteStoreError``."""


class DynamoHistory:
    """The quarters in a DynamoDB table of ``station_id`` and ``quarter``, its start in seconds since 1970."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def keep(self, quarter: Quarter) -> Keeping:
        """One conditional write where nothing is kept of it. What is, comes back with the refusal, so that it
        is not read for a second time."""
        stored = self._put(quarter, instead_of=None)
        for _ in range(_ATTEMPTS):
            if stored is None:
                return Keeping.KEPT
            both = merged(stored, quarter)
            if both == stored:
                return Keeping.KNOWN
            stored = self._put(both, instead_of=stored)
        raise MinuteStoreError(operation="write", target=_name(quarter), code="Contended")

    def _put(self, quarter: Quarter, *, instead_of: Quarter | None) -> Quarter | None:
        """What stands there where that is not ``instead_of``, and so was left standing; None: it is done."""
        request: PutItemInputTypeDef = {
            "TableName": self._table,
            "Item": to_item(quarter),
            "ConditionExpression": "attribute_not_exists(station_id)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        if instead_of is not None:
            request["ConditionExpression"] += " OR packed = :stored"
            request["ExpressionAttributeValues"] = {":stored": {"B": packed(instead_of)}}
        try:
            self._client.put_item(**request)
        except self._client.exceptions.ConditionalCheckFailedException as refusal:
            answer: Mapping[str, Any] = refusal.response
            return from_item(answer["Item"])
        except (ClientError, BotoCoreError) as error:
            raise _failed("write", _name(quarter), error) from error
        return None

    def between(self, station_id: str, begin: datetime, end: datetime) -> tuple[Quarter, ...]:
        """A page of DynamoDB's, 1 MB, holds those of 18 days."""
        quarters: list[Quarter] = []
        request: QueryInputTypeDef = {
            "TableName": self._table,
            "KeyConditionExpression": "station_id = :station_id AND quarter BETWEEN :first AND :last",
            "ExpressionAttributeValues": {
                ":station_id": {"S": station_id},
                ":first": _seconds(start_of(begin)),
                ":last": _seconds(end - timedelta(seconds=1)),
            },
        }
        while True:
            try:
                answer = self._client.query(**request)
            except (ClientError, BotoCoreError) as error:
                raise _failed("read", f"minutes of {station_id}", error) from error
            quarters += map(from_item, answer["Items"])
            if not (last := answer.get("LastEvaluatedKey")):
                return tuple(quarters)
            request["ExclusiveStartKey"] = last


def to_item(quarter: Quarter) -> dict[str, "AttributeValueTypeDef"]:
    """Write ``quarter`` as DynamoDB's attribute values: at most 574 bytes, names included."""
    return {
        "station_id": {"S": quarter.station_id},
        "quarter": _seconds(quarter.start),
        "packed": {"B": packed(quarter)},
        "expires_at": _seconds(quarter.start + RETENTION),
    }


def from_item(item: Mapping[str, "AttributeValueTypeDef"]) -> Quarter:
    """The reverse of ``to_item``. Attributes that later versions add are left out."""
    start = datetime.fromtimestamp(int(item["quarter"]["N"]), UTC)
    return Quarter(
        station_id=item["station_id"]["S"],
        start=start,
        minutes=unpacked(start, bytes(item["packed"]["B"])),
    )


def _seconds(moment: datetime) -> "AttributeValueTypeDef":
    return {"N": str(int(moment.timestamp()))}


def _name(quarter: Quarter) -> str:
    return f"quarter {quarter.start:%Y-%m-%dT%H:%MZ} of {quarter.station_id}"


def _failed(operation: str, target: str, error: ClientError | BotoCoreError) -> MinuteStoreError:
    return MinuteStoreError(operation=operation, target=target, code=error_code(error))
