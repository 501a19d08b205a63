"""The latest state of each station: one item of at most 1 KB, moved by conditional writes.

DynamoDB bills the whole item in steps of 1 KB, also when the condition fails, so the item holds a header
only. The bays are items of their own (``bays``).
"""

from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from evswap_cloud.aws import error_code, number
from evswap_cloud.errors import LatestStateError
from evswap_cloud.marks import NO_MARKS, Marks, marks
from evswap_cloud.order import PLACE, Condition, place_item, superseding
from evswap_schema import Clock, StationStatus, format_timestamp, parse_timestamp

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef, ScanInputTypeDef

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

    def offer(self, state: LatestState, *, tells_bays: bool = False) -> Offer:
        """Store ``state`` if it supersedes the stored one (``order``); with ``tells_bays`` its reading is
        from then on the newest that told of bays. Raises ``LatestStateError``."""

    def offer_bays(self, state: LatestState) -> Offer:
        """Note that the reading behind ``state`` told of bays, unless a newer one did. The same one again is
        taken, for its other parts and to repair what was half done. A state of the station has been offered
        before. Raises ``LatestStateError``."""


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


_ABSENT_WHERE_NOT_SAID: Final = ("stream_id", "sequence", "clock", "flags")
_BAYS: Final = "bays_"
"""Begins the attributes that hold the place of the newest reading that told of bays. A change without bays
moves the state past a batch that has them, so the state's own place cannot say whether bays are new."""


class DynamoLatestStates:
    """The states in a DynamoDB table whose partition key is ``station_id``."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def offer(self, state: LatestState, *, tells_bays: bool = False) -> Offer:
        """One conditional write. A failed condition means that the stored state is as new or newer."""
        item = to_item(state)
        del item["station_id"]
        wanted = item | (place_item(state, prefix=_BAYS) if tells_bays else {})
        known = {*_ABSENT_WHERE_NOT_SAID, *(f"{_BAYS}{name}" for name in PLACE if tells_bays)}
        return self._update(state, wanted, known - wanted.keys(), superseding(state), marks(state))

    def offer_bays(self, state: LatestState) -> Offer:
        """One conditional write of the place alone."""
        condition = superseding(state, prefix=_BAYS, or_same=True)
        wanted = place_item(state, prefix=_BAYS)
        return self._update(state, wanted, {f"{_BAYS}{name}" for name in PLACE} - wanted.keys(), condition)

    def _update(
        self,
        state: LatestState,
        wanted: Mapping[str, "AttributeValueTypeDef"],
        absent: Set[str],
        condition: Condition,
        told: Marks = NO_MARKS,
    ) -> Offer:
        """Every attribute goes by an alias: some of their names are reserved words."""
        setting = ", ".join((*(f"#set_{name} = :set_{name}" for name in wanted), *told.assignments))
        removing = f" REMOVE {', '.join(f'#set_{name}' for name in sorted(absent))}" if absent else ""
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"station_id": {"S": state.station_id}},
                UpdateExpression=f"SET {setting}{removing}",
                ConditionExpression=condition.expression,
                ExpressionAttributeNames={
                    **{f"#set_{name}": name for name in {*wanted, *absent}},
                    **condition.names,
                    **told.names,
                },
                ExpressionAttributeValues={
                    **{f":set_{name}": value for name, value in wanted.items()},
                    **condition.values,
                    **told.values,
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return Offer.NOT_NEWER
        except (ClientError, BotoCoreError) as error:
            raise _failed("write", state.station_id, error) from error
        return Offer.MOVED

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
        "received_at": {"S": format_timestamp(state.received_at)},
        **place_item(state),
    }
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


def _number(value: float | None) -> "AttributeValueTypeDef":
    return {"NULL": True} if value is None else number(value)


def _float(value: "AttributeValueTypeDef") -> float | None:
    return None if "NULL" in value else float(value["N"])


def _flags(values: Sequence["AttributeValueTypeDef"]) -> tuple[Flag, ...]:
    return tuple(Flag(value["S"]) for value in values)


def _failed(operation: str, target: str, error: ClientError | BotoCoreError) -> LatestStateError:
    return LatestStateError(operation=operation, target=target, code=error_code(error))
