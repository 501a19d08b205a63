"""The commands in DynamoDB, each an item under its station and id.

While a command has no result it stands in two sparse indexes beside: ``waiting`` (local, read consistently:
what a station that connects has to be sent) and ``by-deadline`` (what may have to be given up). A result
takes it out of both, so both are as long as there are commands on their way. ``by-time`` lists a station's
commands.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from evswap_cloud.aws import error_code
from evswap_cloud.errors import CommandError
from evswap_cloud.order import sortable
from evswap_cloud.remote.records import Overdue, Record, State, Step, Wait
from evswap_schema import decode_command, encode_command, format_timestamp, parse_timestamp

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef, QueryInputTypeDef

RETENTION: Final = timedelta(days=30)
"""How long after its expiry a command can be asked for, and its idempotency key is remembered."""

BY_TIME: Final = "by-time"
WAITING: Final = "waiting"
BY_DEADLINE: Final = "by-deadline"

_OPEN: Final = ("waiting", "waits", "deadline")
"""The attributes that a command has while it waits."""


class CommandPage(Struct, frozen=True, kw_only=True):
    """Some of a station's commands, the newest first; ``more`` says whether older ones follow the last."""

    records: tuple[Record, ...]
    more: bool


class CommandReader(Protocol):
    """Where commands are looked up. All of it raises ``CommandError``."""

    def get(self, station_id: str, command_id: str) -> Record | None:
        """The command, as it is now."""

    def page(self, station_id: str, *, limit: int, before: str | None) -> CommandPage:
        """At most ``limit`` commands, of those before the ``place`` given."""


class CommandStore(CommandReader, Protocol):
    """Where commands are kept. All of it raises ``CommandError``."""

    def add(self, record: Record) -> Record | None:
        """Keep a new command. None: it is kept; else the one that has its id already."""

    def advance(
        self, station_id: str, command_id: str, step: Step, *, overdue: Overdue | None = None
    ) -> bool:
        """Note ``step``, unless more is known already (``advanced``), or the command is not."""

    def waiting(self, station_id: str, *, limit: int) -> tuple[Record, ...]:
        """The oldest commands of the station that have no result; none that was added before is missed."""

    def overdue(self, now: datetime) -> Iterator[Overdue]:
        """The commands whose deadline is over; a moment old."""


class DynamoCommands:
    """The commands in a DynamoDB table of ``station_id`` and ``command_id`` with the three indexes."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def add(self, record: Record) -> Record | None:
        """One conditional write, and a read where the id is taken."""
        station_id, command_id = record.command.station_id, record.command.command_id
        try:
            self._client.put_item(
                TableName=self._table,
                Item=to_item(record),
                ConditionExpression="attribute_not_exists(command_id)",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return self.get(station_id, command_id)
        except (ClientError, BotoCoreError) as error:
            raise _failed("write", station_id, error) from error
        return None

    def get(self, station_id: str, command_id: str) -> Record | None:
        try:
            answer = self._client.get_item(
                TableName=self._table, Key=_key(station_id, command_id), ConsistentRead=True
            )
        except (ClientError, BotoCoreError) as error:
            raise _failed("read", station_id, error) from error
        item = answer.get("Item")
        return None if item is None else from_item(item)

    def advance(
        self, station_id: str, command_id: str, step: Step, *, overdue: Overdue | None = None
    ) -> bool:
        """One conditional write. A failed condition means that more is known, or nothing at all."""
        wanted, absent = _changes(step)
        values = {":rank": wanted["rank"]}
        condition = "#rank < :rank"
        if overdue is not None:
            condition += " AND #waits = :waits AND #deadline = :deadline"
            values |= {":waits": {"S": overdue.waits.value}, ":deadline": {"S": sortable(overdue.deadline)}}
        setting = ", ".join(f"#{name} = :new_{name}" for name in wanted)
        removing = f" REMOVE {', '.join(f'#{name}' for name in absent)}" if absent else ""
        named = {*wanted, *absent, "rank", *(("waits", "deadline") if overdue is not None else ())}
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_key(station_id, command_id),
                UpdateExpression=f"SET {setting}{removing}",
                ConditionExpression=condition,
                ExpressionAttributeNames={f"#{name}": name for name in named},
                ExpressionAttributeValues={
                    **{f":new_{name}": value for name, value in wanted.items()},
                    **values,
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        except (ClientError, BotoCoreError) as error:
            raise _failed("write", station_id, error) from error
        return True

    def waiting(self, station_id: str, *, limit: int) -> tuple[Record, ...]:
        """A consistent read of the local index: what is added before a station asks is there."""
        items = self._query(
            {
                "TableName": self._table,
                "IndexName": WAITING,
                "KeyConditionExpression": "station_id = :station_id",
                "ExpressionAttributeValues": {":station_id": {"S": station_id}},
                "ConsistentRead": True,
            },
            limit,
        )
        return tuple(map(from_item, items))

    def page(self, station_id: str, *, limit: int, before: str | None) -> CommandPage:
        """One more than ``limit`` is read, so that the last page never announces an empty one."""
        request: QueryInputTypeDef = {
            "TableName": self._table,
            "IndexName": BY_TIME,
            "KeyConditionExpression": "station_id = :station_id",
            "ExpressionAttributeValues": {":station_id": {"S": station_id}},
            "ScanIndexForward": False,
        }
        if before is not None:
            last = _key(station_id, before.partition("/")[2])
            request["ExclusiveStartKey"] = {**last, "place": {"S": before}}
        items = self._query(request, limit + 1)
        return CommandPage(records=tuple(map(from_item, items[:limit])), more=len(items) > limit)

    def overdue(self, now: datetime) -> Iterator[Overdue]:
        for waits in Wait:
            pages = self._client.get_paginator("query").paginate(
                TableName=self._table,
                IndexName=BY_DEADLINE,
                KeyConditionExpression="#waits = :waits AND #deadline <= :now",
                ExpressionAttributeNames={"#waits": "waits", "#deadline": "deadline"},
                ExpressionAttributeValues={":waits": {"S": waits.value}, ":now": {"S": sortable(now)}},
            )
            try:
                for page in pages:
                    yield from map(_overdue, page["Items"])
            except (ClientError, BotoCoreError) as error:
                raise _failed("read", "deadlines", error) from error

    def _query(self, request: "QueryInputTypeDef", limit: int) -> list[Mapping[str, "AttributeValueTypeDef"]]:
        items: list[Mapping[str, AttributeValueTypeDef]] = []
        while len(items) < limit:
            request["Limit"] = limit - len(items)
            try:
                answer = self._client.query(**request)
            except (ClientError, BotoCoreError) as error:
                raise _failed("read", "commands", error) from error
            items += answer["Items"]
            if not (last := answer.get("LastEvaluatedKey")):
                break
            request["ExclusiveStartKey"] = last
        return items


def to_item(record: Record) -> dict[str, "AttributeValueTypeDef"]:
    """Write ``record`` as DynamoDB's attribute values. DynamoDB removes it some time after ``expires_at``."""
    command = record.command
    item: dict[str, AttributeValueTypeDef] = {
        **_key(command.station_id, command.command_id),
        "place": {"S": record.place},
        "command": {"S": encode_command(command).decode()},
        "issued_by": {"S": record.issued_by},
        "state": {"S": record.state.value},
        "rank": {"N": str(record.rank)},
        "changed_at": {"S": format_timestamp(record.changed_at)},
        "expires_at": {"N": str(int((command.expires_at + RETENTION).timestamp()))},
    }
    if record.said_at is not None:
        item["said_at"] = {"S": format_timestamp(record.said_at)}
    if record.reason is not None:
        item["reason"] = {"S": record.reason}
    if record.waits is not None and record.deadline is not None:
        item |= {
            "waiting": {"S": record.place},
            "waits": {"S": record.waits.value},
            "deadline": {"S": sortable(record.deadline)},
        }
    return item


def from_item(item: Mapping[str, "AttributeValueTypeDef"]) -> Record:
    """The reverse of ``to_item``. Attributes that later versions add are left out."""
    return Record(
        command=decode_command(item["command"]["S"].encode()),
        issued_by=item["issued_by"]["S"],
        state=State(item["state"]["S"]),
        changed_at=parse_timestamp(item["changed_at"]["S"]),
        said_at=parse_timestamp(item["said_at"]["S"]) if "said_at" in item else None,
        reason=item["reason"]["S"] if "reason" in item else None,
        deadline=parse_timestamp(item["deadline"]["S"]) if "deadline" in item else None,
    )


def _changes(step: Step) -> tuple[dict[str, "AttributeValueTypeDef"], set[str]]:
    """What a step sets, and what it takes away."""
    wanted: dict[str, AttributeValueTypeDef] = {
        "state": {"S": step.state.value},
        "rank": {"N": str(step.rank)},
        "changed_at": {"S": format_timestamp(step.at)},
    }
    if step.said_at is not None:
        wanted["said_at"] = {"S": format_timestamp(step.said_at)}
    if step.reason is not None:
        wanted["reason"] = {"S": step.reason}
    if step.waits is None:
        return wanted, {"said_at", "reason", *_OPEN} - wanted.keys()
    wanted["waits"] = {"S": step.waits.value}
    if step.deadline is not None:
        wanted["deadline"] = {"S": sortable(step.deadline)}
    return wanted, {"said_at", "reason"} - wanted.keys()


def _overdue(item: Mapping[str, "AttributeValueTypeDef"]) -> Overdue:
    return Overdue(
        station_id=item["station_id"]["S"],
        command_id=item["command_id"]["S"],
        waits=Wait(item["waits"]["S"]),
        deadline=parse_timestamp(item["deadline"]["S"]),
    )


def _key(station_id: str, command_id: str) -> dict[str, "AttributeValueTypeDef"]:
    return {"station_id": {"S": station_id}, "command_id": {"S": command_id}}


def _failed(operation: str, target: str, error: ClientError | BotoCoreError) -> CommandError:
    return CommandError(operation=operation, target=f"commands of {target}", code=error_code(error))
