"""The fleet in figures, as it was counted last: one item, so that whoever asks reads no station."""

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from evswap_cloud.aws import error_code
from evswap_cloud.connection.judgement import Connection
from evswap_cloud.errors import LatestStateError
from evswap_cloud.latest import LatestState
from evswap_schema import StationStatus

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient


class Figures(Struct, frozen=True, kw_only=True):
    """How many stations are how, and how many batteries they have. ``as_of`` is when counting began."""

    as_of: datetime
    stations: int
    connection: dict[Connection, int]
    status: dict[StationStatus, int]
    battery_available: int
    battery_charging: int


class FiguresStore(Protocol):
    """Where the figures are kept. Both methods raise ``LatestStateError``."""

    def put(self, figures: Figures) -> None:
        """Keep ``figures`` in place of those before."""

    def get(self) -> Figures | None:
        """The last figures; None where nobody has counted yet."""


class Count:
    """A count that goes on."""

    def __init__(self, as_of: datetime) -> None:
        self._as_of = as_of
        self._connection: Counter[Connection] = Counter()
        self._status: Counter[StationStatus] = Counter()
        self._available = 0
        self._charging = 0

    def add(self, state: LatestState, connection: Connection) -> None:
        """One station more."""
        self._connection[connection] += 1
        self._status[state.status] += 1
        self._available += state.battery_available
        self._charging += state.battery_charging

    def figures(self) -> Figures:
        """What has been counted so far. What was not met stands there with 0."""
        return Figures(
            as_of=self._as_of,
            stations=self._connection.total(),
            connection={one: self._connection[one] for one in Connection},
            status={one: self._status[one] for one in StationStatus},
            battery_available=self._available,
            battery_charging=self._charging,
        )


_KEY: Final = "figures"
_FLEET: Final = "fleet"


class DynamoFigures:
    """The figures in a DynamoDB table of one item."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def put(self, figures: Figures) -> None:
        content = msgspec.json.encode(figures).decode()
        try:
            self._client.put_item(
                TableName=self._table, Item={_KEY: {"S": _FLEET}, "content": {"S": content}}
            )
        except (ClientError, BotoCoreError) as error:
            raise LatestStateError(operation="write", target=_KEY, code=error_code(error)) from error

    def get(self) -> Figures | None:
        try:
            answer = self._client.get_item(TableName=self._table, Key={_KEY: {"S": _FLEET}})
        except (ClientError, BotoCoreError) as error:
            raise LatestStateError(operation="read", target=_KEY, code=error_code(error)) from error
        item = answer.get("Item")
        return None if item is None else msgspec.json.decode(item["content"]["S"], type=Figures)
