"""Where a snapshot comes from: the table of states, read consistently."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from evswap_cloud.aws import error_code
from evswap_cloud.errors import LatestStateError
from evswap_cloud.latest import INDEX
from evswap_cloud.places import CELL_CHARACTERS
from evswap_cloud.watching.requests import Kind, Scope
from evswap_cloud.watching.shown import Shown, shown_of

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

Item = Mapping[str, "AttributeValueTypeDef"]

_MOST_KEYS: Final = 100
"""In one request for items by their keys."""

_TRIES: Final = 5


class ShownReader(Protocol):
    """What a subscription begins with."""

    def of(self, scope: Scope, *, limit: int) -> tuple[Shown, ...] | None:
        """The stations that ``scope`` covers, each as it is now or later; None where there are more than
        ``limit``. Raises ``LatestStateError``."""


class DynamoShown:
    """The table of states. All reads of states are consistent: a snapshot never misses what was written
    before it was asked for. The index of places may be a moment late for a station that has just been set
    up."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def of(self, scope: Scope, *, limit: int) -> tuple[Shown, ...] | None:
        items: list[Item] = []
        for page in self._pages(scope, limit + 1):
            items += (item for item in page if "status" in item)
            if len(items) > limit:
                return None
        return tuple(map(shown_of, items))

    def _pages(self, scope: Scope, limit: int) -> Iterator[Sequence[Item]]:
        match scope.kind:
            case Kind.ALL:
                return self._every("scan", {"ConsistentRead": True, "Limit": limit})
            case Kind.REGION:
                return self._named(self._in_region(scope.geohash or "", limit))
            case Kind.STATIONS:
                return self._named(scope.stations or ())

    def _in_region(self, geohash: str, limit: int) -> list[str]:
        request = {
            "IndexName": INDEX,
            "KeyConditionExpression": "cell = :cell AND begins_with(geohash, :geohash)",
            "ExpressionAttributeValues": {
                ":cell": {"S": geohash[:CELL_CHARACTERS]},
                ":geohash": {"S": geohash},
            },
            "Limit": limit,
        }
        found: list[str] = []
        for page in self._every("query", request):
            found += (item["station_id"]["S"] for item in page)
            if len(found) >= limit:
                break
        return found

    def _every(self, operation: str, request: Mapping[str, Any]) -> Iterator[Sequence[Item]]:
        """Page by page, for as long as somebody asks."""
        start: dict[str, Any] = {}
        while True:
            answer = self._ask(operation, {"TableName": self._table, **request, **start})
            yield answer["Items"]
            if not (last := answer.get("LastEvaluatedKey")):
                return
            start = {"ExclusiveStartKey": last}

    def _named(self, station_ids: Sequence[str]) -> Iterator[Sequence[Item]]:
        for first in range(0, len(station_ids), _MOST_KEYS):
            keys = [{"station_id": {"S": name}} for name in station_ids[first : first + _MOST_KEYS]]
            yield self._batch({self._table: {"Keys": keys, "ConsistentRead": True}})

    def _batch(self, wanted: Mapping[str, Any]) -> list[Item]:
        items: list[Item] = []
        for _ in range(_TRIES):
            answer = self._ask("batch_get_item", {"RequestItems": wanted})
            items += answer["Responses"].get(self._table, ())
            if not (wanted := answer["UnprocessedKeys"]):
                return items
        raise LatestStateError(operation="read", target="stations", code="UnprocessedKeys")

    def _ask(self, operation: str, request: Mapping[str, Any]) -> Any:
        try:
            return getattr(self._client, operation)(**request)
        except (ClientError, BotoCoreError) as error:
            raise LatestStateError(operation="read", target="stations", code=error_code(error)) from error


class MemoryShown:
    """Stations in a dictionary: ``stations`` by station_id."""

    def __init__(self) -> None:
        self.stations: dict[str, Shown] = {}

    def of(self, scope: Scope, *, limit: int) -> tuple[Shown, ...] | None:
        found = tuple(filter(scope.covers, self.stations.values()))
        return found if len(found) <= limit else None
