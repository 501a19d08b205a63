"""The latest state of each station with its bays: one item, moved by conditional writes.

DynamoDB bills the whole item in steps of 1 KB, also when the condition fails. The state has at most one such
step, and with its bays packed (``packed_bays``) so has the item of a typical station of 35 bays. Bays of more
cost a step more, and are written all the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from evswap_cloud.aws import error_code, number
from evswap_cloud.bays import Bays, BayState, heard
from evswap_cloud.connection.contact import NOTHING_HEARD, Contact, contact_from_item
from evswap_cloud.errors import DamagedBays, LatestStateError
from evswap_cloud.marks import NEWS, marks
from evswap_cloud.order import (
    are_of_one_reading,
    place_from_item,
    place_item,
    supersedes,
    superseding,
)
from evswap_cloud.packed_bays import pack, unpack
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
        UpdateItemInputTypeDef,
    )

    _Item = Mapping[str, AttributeValueTypeDef]

MAX_ITEM_BYTES: Final = 1_024
"""One write unit. ``tests/cloud`` holds the largest possible state against it, and a typical station's 35
bays with theirs."""

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


class Offered(Struct, frozen=True, kw_only=True):
    """What became of a state, and of the bays that were offered with it."""

    state: Offer
    bays: Offer


class StationState(Struct, frozen=True, kw_only=True):
    """A station's state and its bays by their numbers; none where it never told of any."""

    state: LatestState
    bays: tuple[BayState, ...]


class LatestWriter(Protocol):
    """Where ingest puts states. Both methods raise ``LatestStateError``."""

    def offer(self, state: LatestState) -> Offer:
        """Store ``state`` if it supersedes the stored one (``order``)."""

    def offer_with_bays(self, state: LatestState, bays: Bays) -> Offered:
        """The same, and store what its station has told of ``bays`` unless a newer reading told of some
        (``heard``). They are of the same reading, or of an earlier one."""


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
    """Where the API takes states from. All methods raise ``LatestStateError``."""

    def get(self, station_id: str) -> LatestState | None:
        """The state of ``station_id``, or None when it has never reported."""

    def get_with_bays(self, station_id: str) -> StationState | None:
        """The same with its bays."""

    def page(self, *, limit: int, after: str | None, wanted: Wanted = ANY) -> Page:
        """At most ``limit`` of the states that are ``wanted``, of those that follow station ``after`` in the
        store's own order. ``MOST_EXAMINED`` are looked at, so a page of some may be short, or empty, while
        others follow."""


_ABSENT_WHERE_NOT_SAID: Final = frozenset({"stream_id", "sequence", "clock", "flags"})
_BATCHES: Final = 3
"""How often the rest of a batch is asked for, which DynamoDB may leave when it is pressed."""

_ATTEMPTS: Final = 5
"""Two invocations at most write bays of one station at once; more often than that something else is wrong."""

_BAYS: Final = "bays"
"""The attribute of the packed bays. A change without bays moves the state past a batch that has them, so they
have a place of their own in them."""

_BAY_NUMBERS: Final = "bay_numbers"
"""Which bays those are: whoever tells of the very same ones need not know what is stored to replace them."""


class DynamoLatestStates:
    """The states in a DynamoDB table whose partition key is ``station_id``."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def offer(self, state: LatestState) -> Offer:
        """One conditional write. A failed condition means that the stored state is as new or newer."""
        is_done, _ = self._send(_Write(state.station_id).move(state))
        return Offer.MOVED if is_done else Offer.NOT_NEWER

    def offer_with_bays(self, state: LatestState, bays: Bays) -> Offered:
        """One conditional write where both are of one reading, it is the newest, and the bays are those that
        are stored: so it is with nearly all. What was stored comes back with the answer, without being read;
        what is left to do then takes a second write."""
        write, are_one = _Write(state.station_id).move(state), are_of_one_reading(state, bays.place)
        if are_one:
            write.replace_same(bays)
        is_done, before = self._send(write, returns_before=not are_one)
        if is_done and are_one:
            return Offered(state=Offer.MOVED, bays=Offer.MOVED)
        return self._offer_rest(state, bays, before, has_moved=is_done)

    def _offer_rest(self, state: LatestState, bays: Bays, stored: "_Item", *, has_moved: bool) -> Offered:
        for _ in range(_ATTEMPTS):
            moves = not has_moved and _is_news(state, stored)
            kept = heard(_stored_bays(stored), bays)
            outcome = Offered(
                state=Offer.MOVED if has_moved or moves else Offer.NOT_NEWER,
                bays=Offer.NOT_NEWER if kept is None else Offer.MOVED,
            )
            write = _Write(state.station_id)
            if kept is not None:
                write.replace(kept, stored)
            if moves:
                write.move(state)
            elif kept is not None:
                write.stay_quiet()
            else:
                return outcome
            is_done, stored = self._send(write)
            if is_done:
                return outcome
        raise LatestStateError(operation="write", target=state.station_id, code="Contended")

    def _send(self, write: "_Write", *, returns_before: bool = False) -> "tuple[bool, _Item]":
        """Whether it was done, and what stood there before where it was not; with ``returns_before`` also
        where it was."""
        request = write.request(self._table)
        if returns_before:
            request["ReturnValues"] = "ALL_OLD"
        try:
            answer = self._client.update_item(**request)
        except self._client.exceptions.ConditionalCheckFailedException as refusal:
            refused: Mapping[str, Any] = refusal.response
            return False, refused.get("Item", {})
        except (ClientError, BotoCoreError) as error:
            raise _failed("write", write.station_id, error) from error
        return True, answer.get("Attributes", {})

    def get_with_bays(self, station_id: str) -> StationState | None:
        """One item. Packed bays that are damaged are an error of their own."""
        item = self._get(station_id)
        if item is None:
            return None
        try:
            bays = unpack(bytes(item[_BAYS]["B"])).bays if _BAYS in item else ()
        except DamagedBays as error:
            raise LatestStateError(
                operation="read", target=f"bays of {station_id}", code=type(error).__name__
            ) from error
        return StationState(state=from_item(item), bays=bays)

    def get(self, station_id: str) -> LatestState | None:
        item = self._get(station_id)
        return None if item is None else from_item(item)

    def _get(self, station_id: str) -> "_Item | None":
        try:
            answer = self._client.get_item(TableName=self._table, Key={"station_id": {"S": station_id}})
        except (ClientError, BotoCoreError) as error:
            raise _failed("read", station_id, error) from error
        return answer.get("Item")

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


class _Write:
    """An update of a station's item, put together from what it is to do. Attributes go by aliases: some of
    their names are reserved words."""

    def __init__(self, station_id: str) -> None:
        self.station_id = station_id
        self._assignments: list[str] = []
        self._absent: list[str] = []
        self._conditions: list[str] = []
        self._names: dict[str, str] = {}
        self._values: dict[str, AttributeValueTypeDef] = {}

    def move(self, state: LatestState) -> "_Write":
        """Store ``state`` where it supersedes the stored one."""
        item = to_item(state)
        del item["station_id"]
        self._set(item)
        self._absent = sorted(_ABSENT_WHERE_NOT_SAID - item.keys())
        self._names |= {f"#set_{name}": name for name in self._absent}
        told, condition = marks(state), superseding(state)
        self._assignments += told.assignments
        self._conditions.append(condition.expression)
        self._names |= {**told.names, **condition.names}
        self._values |= {**told.values, **condition.values}
        return self

    def replace_same(self, bays: Bays) -> None:
        """Store ``bays`` where the very same ones are stored, as older, or none."""
        self._set_bays(bays)
        self._conditions.append(
            f"attribute_not_exists(#set_{_BAYS}) OR #set_{_BAY_NUMBERS} = :set_{_BAY_NUMBERS}"
        )

    def replace(self, bays: Bays, stored: "_Item") -> None:
        """Store ``bays`` where still those of ``stored`` are."""
        self._set_bays(bays)
        if _BAYS in stored:
            self._conditions.append(f"#set_{_BAYS} = :stored_bays")
            self._values[":stored_bays"] = stored[_BAYS]
        else:
            self._conditions.append(f"attribute_not_exists(#set_{_BAYS})")

    def stay_quiet(self) -> None:
        """Say that no state moves: those who watch see no difference, and a station that was removed
        meanwhile does not come back."""
        self._set({NEWS: {"N": "0"}})
        self._conditions.append("attribute_exists(station_id)")

    def request(self, table: str) -> "UpdateItemInputTypeDef":
        """All of it, for ``table``; a refusal brings what stands there along."""
        removing = f" REMOVE {', '.join(f'#set_{name}' for name in self._absent)}" if self._absent else ""
        return {
            "TableName": table,
            "Key": {"station_id": {"S": self.station_id}},
            "UpdateExpression": f"SET {', '.join(self._assignments)}{removing}",
            "ConditionExpression": " AND ".join(f"({condition})" for condition in self._conditions),
            "ExpressionAttributeNames": self._names,
            "ExpressionAttributeValues": self._values,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    def _set_bays(self, bays: Bays) -> None:
        self._set({_BAYS: {"B": pack(bays)}, _BAY_NUMBERS: {"S": bays.numbers}})

    def _set(self, item: "Mapping[str, AttributeValueTypeDef]") -> None:
        self._assignments += [f"#set_{name} = :set_{name}" for name in item]
        self._names |= {f"#set_{name}": name for name in item}
        self._values |= {f":set_{name}": value for name, value in item.items()}


def _is_news(state: LatestState, stored: "_Item") -> bool:
    return not stored or supersedes(state, place_from_item(stored))


def _stored_bays(stored: "_Item") -> Bays | None:
    """Damaged ones count for nothing: what the station tells replaces them."""
    if _BAYS not in stored:
        return None
    try:
        return unpack(bytes(stored[_BAYS]["B"]))
    except DamagedBays:
        return None


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
