"""The events of the stations, each once: an item by its identity, found by time through the table's index.

A delivery that is repeated meets its own item. An event whose time was estimated gives way to the same event
with its time corrected; nothing else ever takes an item's place.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from evswap_cloud.aws import error_code
from evswap_cloud.errors import EventStoreError
from evswap_cloud.latest import Flag
from evswap_cloud.order import sortable
from evswap_schema import Clock, Event, decode_event, encode_event, format_timestamp, parse_timestamp
from evswap_schema.limits import MAX_SEQUENCE

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef, PutItemInputTypeDef, QueryInputTypeDef

RETENTION: Final = timedelta(days=30)
"""How long events, and the swaps that they tell of, can be asked for where no setting says otherwise; the
archive keeps the events."""

INDEX: Final = "by-time"

_SEQUENCE_DIGITS: Final = len(str(MAX_SEQUENCE))
PLACE_PATTERN: Final = (
    rf"^\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{6}}Z/[A-Za-z0-9_-]{{1,64}}/\d{{{_SEQUENCE_DIGITS}}}\Z"
)
"""What ``StationEvent.place`` looks like."""

# "clock" is one of DynamoDB's reserved words, hence its alias.
_NEW: Final = "attribute_not_exists(station_id)"
_NEW_OR_CORRECTED: Final = f"{_NEW} OR #clock = :estimated"


class StationEvent(Struct, frozen=True, kw_only=True):
    """An event as it was received. ``occurred_at`` is its own timestamp, but never more than the tolerance
    after ``received_at``: a clock that runs ahead cannot keep an event the newest for ever.
    """

    event: Event
    occurred_at: datetime
    received_at: datetime
    flags: tuple[Flag, ...] = ()

    @property
    def event_id(self) -> str:
        """Unique within the station: the event's stream and its place in it."""
        return f"{self.event.stream_id}/{self.event.sequence:0{_SEQUENCE_DIGITS}}"

    @property
    def place(self) -> str:
        """Sorts a station's events by time; those of one moment by their identity."""
        return f"{sortable(self.occurred_at)}/{self.event_id}"


class Keeping(StrEnum):
    """What became of an event. Both are success."""

    KEPT = "kept"
    KNOWN = "known"


class EventWriter(Protocol):
    """Where ingest puts events."""

    def keep(self, event: StationEvent) -> Keeping:
        """Keep ``event`` unless it is there (``supersedes``); raises ``EventStoreError``."""


class EventPage(Struct, frozen=True, kw_only=True):
    """Some of a station's events, the newest first; ``more`` says whether older ones follow the last."""

    events: tuple[StationEvent, ...]
    more: bool


class EventReader(Protocol):
    """Where the API takes events from."""

    def page(self, station_id: str, *, limit: int, before: str | None) -> EventPage:
        """At most ``limit`` events, of those before the ``place`` given; raises ``EventStoreError``."""


def supersedes(new: StationEvent, stored: StationEvent) -> bool:
    """Whether ``new`` takes the place of the same event as it is ``stored``.

    ``DynamoEvents`` says the same as a condition, and a test compares the two.
    """
    return new.event.clock is Clock.SYNCHRONIZED and stored.event.clock is Clock.ESTIMATED


class DynamoEvents:
    """The events in a DynamoDB table of ``station_id`` and ``event_id``, with a local index by ``place``."""

    def __init__(self, client: "DynamoDBClient", table: str, *, kept: timedelta = RETENTION) -> None:
        """DynamoDB removes what is written here some time after it has been there for as long as ``kept``."""
        self._client = client
        self._table = table
        self._kept = kept

    def keep(self, event: StationEvent) -> Keeping:
        """One conditional write. A failed condition means that the event is there."""
        request: PutItemInputTypeDef = {
            "TableName": self._table,
            "Item": to_item(event, kept=self._kept),
            "ConditionExpression": _NEW,
        }
        if event.event.clock is Clock.SYNCHRONIZED:
            request["ConditionExpression"] = _NEW_OR_CORRECTED
            request["ExpressionAttributeNames"] = {"#clock": "clock"}
            request["ExpressionAttributeValues"] = {":estimated": {"S": Clock.ESTIMATED.value}}
        try:
            self._client.put_item(**request)
        except self._client.exceptions.ConditionalCheckFailedException:
            return Keeping.KNOWN
        except (ClientError, BotoCoreError) as error:
            raise _failed("write", event.event.station_id, error) from error
        return Keeping.KEPT

    def page(self, station_id: str, *, limit: int, before: str | None) -> EventPage:
        """One more than ``limit`` is read, so that the last page never announces an empty one."""
        items: list[Mapping[str, AttributeValueTypeDef]] = []
        request: QueryInputTypeDef = {
            "TableName": self._table,
            "IndexName": INDEX,
            "KeyConditionExpression": "station_id = :station_id",
            "ExpressionAttributeValues": {":station_id": {"S": station_id}},
            "ScanIndexForward": False,
        }
        if before is not None:
            request["ExclusiveStartKey"] = _key(station_id, before)
        while len(items) <= limit:
            request["Limit"] = limit + 1 - len(items)
            try:
                answer = self._client.query(**request)
            except (ClientError, BotoCoreError) as error:
                raise _failed("read", station_id, error) from error
            items += answer["Items"]
            if not (last := answer.get("LastEvaluatedKey")):
                break
            request["ExclusiveStartKey"] = last
        return EventPage(events=tuple(map(from_item, items[:limit])), more=len(items) > limit)


def to_item(event: StationEvent, *, kept: timedelta = RETENTION) -> dict[str, "AttributeValueTypeDef"]:
    """Write ``event`` as DynamoDB's attribute values. DynamoDB removes it some time after ``expires_at``."""
    item: dict[str, AttributeValueTypeDef] = {
        **_key(event.event.station_id, event.place),
        "event": {"S": encode_event(event.event).decode()},
        "clock": {"S": event.event.clock.value},
        "occurred_at": {"S": format_timestamp(event.occurred_at)},
        "received_at": {"S": format_timestamp(event.received_at)},
        "expires_at": {"N": str(int((event.received_at + kept).timestamp()))},
    }
    if event.flags:
        item["flags"] = {"L": [{"S": flag.value} for flag in event.flags]}
    return item


def from_item(item: Mapping[str, "AttributeValueTypeDef"]) -> StationEvent:
    """The reverse of ``to_item``. Attributes that later versions add are left out."""
    return StationEvent(
        event=decode_event(item["event"]["S"].encode()),
        occurred_at=parse_timestamp(item["occurred_at"]["S"]),
        received_at=parse_timestamp(item["received_at"]["S"]),
        flags=tuple(Flag(value["S"]) for value in item["flags"]["L"]) if "flags" in item else (),
    )


def _key(station_id: str, place: str) -> dict[str, "AttributeValueTypeDef"]:
    """The key of the table and of its index: a place ends in the event's id."""
    return {
        "station_id": {"S": station_id},
        "event_id": {"S": place.partition("/")[2]},
        "place": {"S": place},
    }


def _failed(operation: str, target: str, error: ClientError | BotoCoreError) -> EventStoreError:
    return EventStoreError(operation=operation, target=target, code=error_code(error))
