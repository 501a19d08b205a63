"""Who is connected, and what each of them watches."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct
from msgspec.structs import replace

from evswap_cloud.aws import error_code
from evswap_cloud.errors import WatcherError
from evswap_cloud.watching.limits import MAX_AGE, MAX_SILENCE, SECOND
from evswap_cloud.watching.requests import Scope, read_scope, write_scope

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef, ScanInputTypeDef


class Watcher(Struct, frozen=True, kw_only=True):
    """A connection. ``endpoint`` is where its API manages it, ``heard_at`` the newest frame that it is known
    to have read (its beginning before that), ``scope`` what it watches since ``subscribed_at``."""

    connection_id: str
    endpoint: str
    opened_at: int
    heard_at: int
    scope: Scope | None = None
    subscribed_at: int = 0

    @property
    def closes_at(self) -> int:
        """When API Gateway ends it."""
        return self.opened_at + MAX_AGE

    def is_over(self, now: int) -> bool:
        """Whether it has lasted its time, or is silent or slow."""
        return now >= self.closes_at or now - self.heard_at > MAX_SILENCE


class Watchers(Protocol):
    """Where connections are kept. All raise ``WatcherError``."""

    def open(self, watcher: Watcher) -> None:
        """Keep a new one."""

    def find(self, connection_id: str) -> Watcher | None:
        """The one with this id."""

    def subscribe(self, connection_id: str, scope: Scope, at: int) -> bool:
        """From now on it watches ``scope``; False where it has left."""

    def heard(self, connection_id: str, at: int) -> bool:
        """It has read the frame of ``at``; False where it has left."""

    def close(self, connection_id: str) -> None:
        """It has left. Also where it is not kept."""

    def all(self) -> tuple[Watcher, ...]:
        """Those that watch something: every one whose ``subscribe`` has returned."""


class DynamoWatchers:
    """Connections in a DynamoDB table whose partition key is ``connection_id``."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def open(self, watcher: Watcher) -> None:
        try:
            self._client.put_item(TableName=self._table, Item=_to_item(watcher))
        except (ClientError, BotoCoreError) as error:
            raise _failed("write", watcher.connection_id, error) from error

    def find(self, connection_id: str) -> Watcher | None:
        try:
            answer = self._client.get_item(
                TableName=self._table, Key=_key(connection_id), ConsistentRead=True
            )
        except (ClientError, BotoCoreError) as error:
            raise _failed("read", connection_id, error) from error
        item = answer.get("Item")
        return None if item is None else _from_item(item)

    def subscribe(self, connection_id: str, scope: Scope, at: int) -> bool:
        return self._set(connection_id, {"scope": {"S": write_scope(scope)}, "subscribed_at": {"N": str(at)}})

    def heard(self, connection_id: str, at: int) -> bool:
        return self._set(connection_id, {"heard_at": {"N": str(at)}})

    def close(self, connection_id: str) -> None:
        try:
            self._client.delete_item(TableName=self._table, Key=_key(connection_id))
        except (ClientError, BotoCoreError) as error:
            raise _failed("remove", connection_id, error) from error

    def all(self) -> tuple[Watcher, ...]:
        """Consistent: whoever has subscribed before a change was written is told of the change."""
        watchers: list[Watcher] = []
        request: ScanInputTypeDef = {
            "TableName": self._table,
            "ConsistentRead": True,
            "FilterExpression": "attribute_exists(#scope)",
            "ExpressionAttributeNames": {"#scope": "scope"},
        }
        while True:
            try:
                answer = self._client.scan(**request)
            except (ClientError, BotoCoreError) as error:
                raise _failed("read", "all connections", error) from error
            watchers += map(_from_item, answer["Items"])
            if not (last := answer.get("LastEvaluatedKey")):
                return tuple(watchers)
            request["ExclusiveStartKey"] = last

    def _set(self, connection_id: str, wanted: Mapping[str, "AttributeValueTypeDef"]) -> bool:
        """A connection that was removed meanwhile does not come back."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_key(connection_id),
                UpdateExpression=f"SET {', '.join(f'#{name} = :{name}' for name in wanted)}",
                ConditionExpression="attribute_exists(connection_id)",
                ExpressionAttributeNames={f"#{name}": name for name in wanted},
                ExpressionAttributeValues={f":{name}": value for name, value in wanted.items()},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        except (ClientError, BotoCoreError) as error:
            raise _failed("write", connection_id, error) from error
        return True


class MemoryWatchers:
    """Connections in a dictionary: ``watchers`` by connection_id."""

    def __init__(self) -> None:
        self.watchers: dict[str, Watcher] = {}

    def open(self, watcher: Watcher) -> None:
        self.watchers[watcher.connection_id] = watcher

    def find(self, connection_id: str) -> Watcher | None:
        return self.watchers.get(connection_id)

    def subscribe(self, connection_id: str, scope: Scope, at: int) -> bool:
        if (watcher := self.find(connection_id)) is not None:
            self.watchers[connection_id] = replace(watcher, scope=scope, subscribed_at=at)
        return watcher is not None

    def heard(self, connection_id: str, at: int) -> bool:
        if (watcher := self.find(connection_id)) is not None:
            self.watchers[connection_id] = replace(watcher, heard_at=at)
        return watcher is not None

    def close(self, connection_id: str) -> None:
        self.watchers.pop(connection_id, None)

    def all(self) -> tuple[Watcher, ...]:
        return tuple(watcher for watcher in self.watchers.values() if watcher.scope is not None)


_LEFT_OVER: Final = 3_600
"""Seconds after which DynamoDB removes a connection of whose end nobody has heard."""


def _to_item(watcher: Watcher) -> dict[str, "AttributeValueTypeDef"]:
    return {
        "connection_id": {"S": watcher.connection_id},
        "endpoint": {"S": watcher.endpoint},
        "opened_at": {"N": str(watcher.opened_at)},
        "heard_at": {"N": str(watcher.heard_at)},
        "expires_at": {"N": str(watcher.closes_at // SECOND + _LEFT_OVER)},
    }


def _from_item(item: Mapping[str, "AttributeValueTypeDef"]) -> Watcher:
    return Watcher(
        connection_id=item["connection_id"]["S"],
        endpoint=item["endpoint"]["S"],
        opened_at=int(item["opened_at"]["N"]),
        heard_at=int(item["heard_at"]["N"]),
        scope=read_scope(item["scope"]["S"]) if "scope" in item else None,
        subscribed_at=int(item["subscribed_at"]["N"]) if "subscribed_at" in item else 0,
    )


def _key(connection_id: str) -> dict[str, "AttributeValueTypeDef"]:
    return {"connection_id": {"S": connection_id}}


def _failed(operation: str, target: str, error: ClientError | BotoCoreError) -> WatcherError:
    return WatcherError(operation=operation, target=target, code=error_code(error))
