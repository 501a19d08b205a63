"""The latest state of each station: one item of at most 1 KB, moved by conditional writes.

DynamoDB bills the whole item in steps of 1 KB, also when the condition fails, so the item holds a header
only. The bays are items of their own (``bays``).
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from evswap_cloud.aws import error_code, number
from evswap_cloud.connection.contact import NOTHING_HEARD, Contact, contact_from_item
from evswap_cloud.errors import LatestStateError
from evswap_cloud.marks import NO_MARKS, Marks, marks
from evswap_cloud.order import PLACE, Condition, place_item, superseding
from evswap_cloud.places import CELL_CHARACTERS, Entry, decode, encode
from evswap_schema import Clock, Location, StationStatus, format_timestamp, parse_timestamp

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_dynamodb.type_defs import (
        AttributeValueTypeDef,
        KeysAndAttributesOutputTypeDef,
        KeysAndAttributesTypeDef,
        QueryInputTypeDef,
        ScanInputTypeDef,
    )

MAX_ITEM_BYTES: Final = 1_024
"""One write unit. ``tests/cloud`` holds the largest possible item against it."""

INDEX: Final = "by-place"
"""Of the stations that have said where they stand: the cell, and in it the geohash. Neither ever changes
while the station stands, so the index costs no write beside the state's own."""

MOST_EXAMINED: Final = 1_000
"""Items that a page of some of the states may read."""


class Flag(StrEnum):
    """What is odd about a reading that was taken all the same."""

    FUTURE_TIMESTAMP = "future_timestamp"


class LatestState(Struct, frozen=True, kw_only=True):
    """A station's newest reading, without its bays.

    ``timestamp`` is the station's own; ``observed_at`` is the same, but never more than the tolerance after
    ``received_at``: it decides between streams, so a clock that runs ahead cannot hold a station's state for
    ever. ``location`` is the last that the station has told, and stays when a reading tells none.
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
    location: Location | None = None
    contact: Contact = NOTHING_HEARD
    """What else is known of the station's link; it stays as it is when a state is offered."""


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


class Wanted(Struct, frozen=True, kw_only=True):
    """Which states are asked for; None leaves it open."""

    status: StationStatus | None = None
    min_available: int | None = None

    @property
    def is_any(self) -> bool:
        """Whether every state is."""
        return self == ANY

    def admits(self, state: LatestState) -> bool:
        """Whether ``state`` is one of them."""
        return self.status in {None, state.status} and state.battery_available >= (self.min_available or 0)


ANY: Final = Wanted()


class Page(Struct, frozen=True, kw_only=True):
    """Some of the states. Where others may follow, ``after`` is the station to go on after. ``examined``
    counts the items that were read."""

    states: tuple[LatestState, ...]
    after: str | None
    examined: int


class LatestReader(Protocol):
    """Where the API takes states from. Both methods raise ``LatestStateError``."""

    def get(self, station_id: str) -> LatestState | None:
        """The state of ``station_id``, or None when it has never reported."""

    def page(self, *, limit: int, after: str | None, wanted: Wanted = ANY) -> Page:
        """At most ``limit`` of the states that are ``wanted``, of those that follow station ``after`` in the
        store's own order. ``MOST_EXAMINED`` are looked at, so a page of some may be short, or empty, while
        others follow."""


_ABSENT_WHERE_NOT_SAID: Final = ("stream_id", "sequence", "clock", "flags")
_BATCHES: Final = 3
"""How often the rest of a batch is asked for, which DynamoDB may leave when it is pressed."""

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

    def page(self, *, limit: int, after: str | None, wanted: Wanted = ANY) -> Page:
        """One more than ``limit`` is looked for, so that the last page never announces an empty one."""
        items: list[Mapping[str, AttributeValueTypeDef]] = []
        examined, reached = 0, after
        request: ScanInputTypeDef = {"TableName": self._table}
        _filter(request, wanted)
        while len(items) <= limit and examined < MOST_EXAMINED:
            if reached is not None:
                request["ExclusiveStartKey"] = {"station_id": {"S": reached}}
            request["Limit"] = limit + 1 - len(items) if wanted.is_any else MOST_EXAMINED - examined
            try:
                answer = self._client.scan(**request)
            except (ClientError, BotoCoreError) as error:
                raise _failed("read", "all stations", error) from error
            items += answer["Items"]
            examined += answer["ScannedCount"]
            last = answer.get("LastEvaluatedKey")
            reached = str(last["station_id"]["S"]) if last else None
            if reached is None:
                break
        states = tuple(map(from_item, items[:limit]))
        if len(items) > limit:
            reached = states[-1].station_id
        return Page(states=states, after=reached, examined=examined)

    def all(self) -> Iterator[LatestState]:
        """Every state, in no order; raises ``LatestStateError``. It reads the whole table."""
        request: ScanInputTypeDef = {"TableName": self._table}
        while True:
            try:
                answer = self._client.scan(**request)
            except (ClientError, BotoCoreError) as error:
                raise _failed("read", "all stations", error) from error
            yield from map(from_item, answer["Items"])
            if not (last := answer.get("LastEvaluatedKey")):
                return
            request["ExclusiveStartKey"] = last

    def entries(self, cell: str, *, limit: int) -> list[Entry]:
        """One query, or more where they do not fit into an answer of 1 MB."""
        entries: list[Entry] = []
        request: QueryInputTypeDef = {
            "TableName": self._table,
            "IndexName": INDEX,
            "KeyConditionExpression": "cell = :cell AND begins_with(geohash, :geohash)",
            "ExpressionAttributeValues": {":cell": {"S": cell[:CELL_CHARACTERS]}, ":geohash": {"S": cell}},
        }
        while len(entries) < limit:
            request["Limit"] = limit - len(entries)
            try:
                answer = self._client.query(**request)
            except (ClientError, BotoCoreError) as error:
                raise _failed("read", f"stations in {cell}", error) from error
            entries += (
                Entry(station_id=item["station_id"]["S"], geohash=item["geohash"]["S"])
                for item in answer["Items"]
            )
            if not (last := answer.get("LastEvaluatedKey")):
                break
            request["ExclusiveStartKey"] = last
        return entries

    def get_many(self, station_ids: Sequence[str]) -> list[LatestState]:
        """One batch, and again what DynamoDB leaves of it."""
        items: list[Mapping[str, AttributeValueTypeDef]] = []
        wanted: Mapping[str, KeysAndAttributesTypeDef | KeysAndAttributesOutputTypeDef] = {
            self._table: {"Keys": [{"station_id": {"S": name}} for name in station_ids]}
        }
        for _ in range(_BATCHES):
            try:
                answer = self._client.batch_get_item(RequestItems=wanted)
            except (ClientError, BotoCoreError) as error:
                raise _failed("read", f"{len(station_ids)} stations", error) from error
            items += answer["Responses"].get(self._table, ())
            if not (wanted := answer["UnprocessedKeys"]):
                return list(map(from_item, items))
        raise LatestStateError(operation="read", target=f"{len(station_ids)} stations", code="Unprocessed")


def _filter(request: "ScanInputTypeDef", wanted: Wanted) -> None:
    """Let DynamoDB leave out of its answer what is not ``wanted``. It reads, and bills, that all the same."""
    clauses: list[str] = []
    values: dict[str, AttributeValueTypeDef] = {}
    if wanted.status is not None:
        clauses.append("#status = :status")
        values[":status"] = {"S": wanted.status.value}
        request["ExpressionAttributeNames"] = {"#status": "status"}
    if wanted.min_available is not None:
        clauses.append("battery_available >= :available")
        values[":available"] = {"N": str(wanted.min_available)}
    if clauses:
        request["FilterExpression"] = " AND ".join(clauses)
        request["ExpressionAttributeValues"] = values


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
    if state.location is not None:
        geohash = encode(state.location)
        item |= {"cell": {"S": geohash[:CELL_CHARACTERS]}, "geohash": {"S": geohash}}
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
        location=decode(item["geohash"]["S"]) if "geohash" in item else None,
        contact=contact_from_item(item),
    )


def _number(value: float | None) -> "AttributeValueTypeDef":
    return {"NULL": True} if value is None else number(value)


def _float(value: "AttributeValueTypeDef") -> float | None:
    return None if "NULL" in value else float(value["N"])


def _flags(values: Sequence["AttributeValueTypeDef"]) -> tuple[Flag, ...]:
    return tuple(Flag(value["S"]) for value in values)


def _failed(operation: str, target: str, error: ClientError | BotoCoreError) -> LatestStateError:
    return LatestStateError(operation=operation, target=target, code=error_code(error))
