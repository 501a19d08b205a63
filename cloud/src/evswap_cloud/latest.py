"""The latest state of each station: one item of at most 1 KB, moved by conditional writes.

DynamoDB bills the whole item in steps of 1 KB, also when the condition fails, so the item holds a header
only.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from evswap_cloud.aws import error_code
from evswap_cloud.errors import LatestStateError
from evswap_schema import Clock, StationStatus, format_timestamp, parse_timestamp

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef, PutItemInputTypeDef, ScanInputTypeDef

MAX_ITEM_BYTES: Final = 1_024
"""One write unit. ``tests/cloud`` holds the largest possible item against it."""


class Flag(StrEnum):
    """What is odd about a reading that was taken all the same."""

    FUTURE_TIMESTAMP = "future_timestamp"


class LatestState(Struct, frozen=True, kw_only=True):
    """A station's newest reading, without its bays.

    ``timestamp`` is the station's own; ``observed_at`` is the same, but never more than the tolerance after
    ``received_at``: it decides between streams, so a clock that runs ahead cannot hold a station's state for
    ever.
    """

    station_id: str
    battery_available: int
    battery_charging: int
    temperature: float | None
    humidity: float | None
    status: StationStatus
    timestamp: datetime
    observed_at: datetime
    received_at: datetime
    stream_id: str | None = None
    sequence: int | None = None
    clock: Clock | None = None
    flags: tuple[Flag, ...] = ()


class Offer(StrEnum):
    """What became of a state that was offered. Both are success."""

    MOVED = "moved"
    NOT_NEWER = "not-newer"


class LatestWriter(Protocol):
    """Where ingest puts states."""

    def offer(self, state: LatestState) -> Offer:
        """Store ``state`` if it supersedes the stored one (``ingest.order``); raises ``LatestStateError``."""


class Page(Struct, frozen=True, kw_only=True):
    """Some of the states; ``more`` says whether others follow the last of them."""

    states: tuple[LatestState, ...]
    more: bool


class LatestReader(Protocol):
    """Where the API takes states from. Both methods raise ``LatestStateError``."""

    def get(self, station_id: str) -> LatestState | None:
        """The state of ``station_id``, or None when it has never reported."""

    def page(self, *, limit: int, after: str | None) -> Page:
        """At most ``limit`` states, of those that follow station ``after`` in the store's own order."""


# "sequence" is one of DynamoDB's reserved words, hence its alias.
_SAME_STREAM: Final = "stream_id = :stream_id AND #sequence < :sequence"
_EARLIER: Final = (
    "(attribute_not_exists(stream_id) OR stream_id <> :stream_id) AND (observed_at < :observed_at"
    " OR (observed_at = :observed_at AND (attribute_not_exists(stream_id) OR stream_id < :stream_id)))"
)
_SUPERSEDES_FROM_STREAM: Final = f"attribute_not_exists(station_id) OR ({_SAME_STREAM}) OR ({_EARLIER})"
_SUPERSEDES_WITHOUT_STREAM: Final = "attribute_not_exists(station_id) OR observed_at < :observed_at"


class DynamoLatestStates:
    """The states in a DynamoDB table whose partition key is ``station_id``."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def offer(self, state: LatestState) -> Offer:
        """One conditional write. A failed condition means that the stored state is as new or newer."""
        try:
            self._client.put_item(**self._conditional_write(state))
        except self._client.exceptions.ConditionalCheckFailedException:
            return Offer.NOT_NEWER
        except (ClientError, BotoCoreError) as error:
            raise _failed("write", state.station_id, error) from error
        return Offer.MOVED

    def _conditional_write(self, state: LatestState) -> "PutItemInputTypeDef":
        item = to_item(state)
        request: PutItemInputTypeDef = {"TableName": self._table, "Item": item}
        operands = ["observed_at"]
        if state.stream_id is None:
            request["ConditionExpression"] = _SUPERSEDES_WITHOUT_STREAM
        else:
            operands += ["stream_id", "sequence"]
            request["ConditionExpression"] = _SUPERSEDES_FROM_STREAM
            request["ExpressionAttributeNames"] = {"#sequence": "sequence"}
        request["ExpressionAttributeValues"] = {f":{name}": item[name] for name in operands}
        return request

    def get(self, station_id: str) -> LatestState | None:
        try:
            answer = self._client.get_item(TableName=self._table, Key={"station_id": {"S": station_id}})
        except (ClientError, BotoCoreError) as error:
            raise _failed("read", station_id, error) from error
        item = answer.get("Item")
        return None if item is None else from_item(item)

    def page(self, *, limit: int, after: str | None) -> Page:
        """One more than ``limit`` is read, so that the last page never announces an empty one."""
        items: list[Mapping[str, AttributeValueTypeDef]] = []
        request: ScanInputTypeDef = {"TableName": self._table}
        if after is not None:
            request["ExclusiveStartKey"] = {"station_id": {"S": after}}
        while len(items) <= limit:
            request["Limit"] = limit + 1 - len(items)
            try:
                answer = self._client.scan(**request)
            except (ClientError, BotoCoreError) as error:
                raise _failed("read", "all stations", error) from error
            items += answer["Items"]
            if not (last := answer.get("LastEvaluatedKey")):
                break
            request["ExclusiveStartKey"] = last
        return Page(states=tuple(map(from_item, items[:limit])), more=len(items) > limit)


def to_item(state: LatestState) -> dict[str, "AttributeValueTypeDef"]:
    """Write ``state`` as DynamoDB's attribute values. What a station did not say is absent, not null."""
    item: dict[str, AttributeValueTypeDef] = {
        "station_id": {"S": state.station_id},
        "battery_available": {"N": str(state.battery_available)},
        "battery_charging": {"N": str(state.battery_charging)},
        "temperature": _number(state.temperature),
        "humidity": _number(state.humidity),
        "status": {"S": state.status.value},
        "timestamp": {"S": format_timestamp(state.timestamp)},
        "observed_at": {"S": sortable(state.observed_at)},
        "received_at": {"S": format_timestamp(state.received_at)},
    }
    if state.stream_id is not None:
        item["stream_id"] = {"S": state.stream_id}
        item["sequence"] = {"N": str(state.sequence)}
    if state.clock is not None:
        item["clock"] = {"S": state.clock.value}
    if state.flags:
        item["flags"] = {"L": [{"S": flag.value} for flag in state.flags]}
    return item


def from_item(item: Mapping[str, "AttributeValueTypeDef"]) -> LatestState:
    """The reverse of ``to_item``. Attributes that later versions add are left out."""
    return LatestState(
        station_id=item["station_id"]["S"],
        battery_available=int(item["battery_available"]["N"]),
        battery_charging=int(item["battery_charging"]["N"]),
        temperature=_float(item["temperature"]),
        humidity=_float(item["humidity"]),
        status=StationStatus(item["status"]["S"]),
        timestamp=parse_timestamp(item["timestamp"]["S"]),
        observed_at=parse_timestamp(item["observed_at"]["S"]),
        received_at=parse_timestamp(item["received_at"]["S"]),
        stream_id=item["stream_id"]["S"] if "stream_id" in item else None,
        sequence=int(item["sequence"]["N"]) if "sequence" in item else None,
        clock=Clock(item["clock"]["S"]) if "clock" in item else None,
        flags=_flags(item["flags"]["L"]) if "flags" in item else (),
    )


def sortable(moment: datetime) -> str:
    """Write ``moment`` so that text sorts as time: RFC 3339 in UTC, always with microseconds."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _number(value: float | None) -> "AttributeValueTypeDef":
    """By way of the shortest text that reads back as the same float, so nothing is rounded."""
    return {"NULL": True} if value is None else {"N": str(Decimal(str(value)))}


def _float(value: "AttributeValueTypeDef") -> float | None:
    return None if "NULL" in value else float(value["N"])


def _flags(values: Sequence["AttributeValueTypeDef"]) -> tuple[Flag, ...]:
    return tuple(Flag(value["S"]) for value in values)


def _failed(operation: str, target: str, error: ClientError | BotoCoreError) -> LatestStateError:
    return LatestStateError(operation=operation, target=target, code=error_code(error))
