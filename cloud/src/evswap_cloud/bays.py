"""The bays of each station as it last told of them: an item of at most 1 KB a bay, written when it says
something new.

A station tells of all its bays with each sample, and nearly always the same. Writing that would cost a write
unit a bay and minute; comparing costs one read a station (``is_news``).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from evswap_cloud.aws import error_code, number
from evswap_cloud.errors import LatestStateError
from evswap_cloud.latest import LatestState, Offer
from evswap_cloud.order import place_item, supersedes, superseding
from evswap_schema import (
    Battery,
    Bay,
    Charge,
    Health,
    Lock,
    Occupancy,
    Reservation,
    format_timestamp,
    parse_timestamp,
)
from evswap_schema.limits import MAX_BAYS

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

SOC_STEP: Final = 10.0
"""Percent points by which the state of charge has to differ from what is shown: a battery charges in some
eight writes instead of one a sample. At half of it the bays cost two thirds more (docs/cost.md)."""

SOH_STEP: Final = 1.0
"""Percent points of the state of health: it falls by some 20 in a battery's life."""

TEMPERATURE_STEP: Final = 5.0
"""Degrees Celsius of the hottest cell."""

REFRESH: Final = timedelta(days=1)
"""How old what is shown may become while it holds: an untouched bay is written once a day."""

KEPT: Final = timedelta(days=30)
"""How long a bay is shown that is told of no more, as the cabinet has fewer bays than it had."""


class BatteryState(Struct, frozen=True, kw_only=True):
    """The battery in a bay: states of charge and health in percent, its hottest cell in degrees Celsius."""

    serial_number: str
    soc: float
    soh: float
    temperature: float
    cycles: int


class BayState(Struct, frozen=True, kw_only=True):
    """A bay as a reading told of it. ``timestamp`` is the reading's own; ``observed_at``, ``stream_id`` and
    ``sequence`` are its place among the station's readings (``order``)."""

    station_id: str
    bay: int
    occupancy: Occupancy
    charge: Charge
    lock: Lock
    reservation: Reservation
    health: Health
    battery: BatteryState | None
    timestamp: datetime
    observed_at: datetime
    stream_id: str | None = None
    sequence: int | None = None


class BayReader(Protocol):
    """Where the API takes bays from."""

    def of_station(self, station_id: str) -> tuple[BayState, ...]:
        """The bays of ``station_id`` by their numbers; none where it never told of any. Raises
        ``LatestStateError``."""


class BayStates(BayReader, Protocol):
    """Where ingest puts bays."""

    def offer(self, state: BayState) -> Offer:
        """Store ``state`` if it supersedes the stored one; raises ``LatestStateError``."""


def bay_state(bay: Bay, told: LatestState) -> BayState:
    """``bay`` as the reading behind ``told`` names it."""
    return BayState(
        station_id=told.station_id,
        bay=bay.bay,
        occupancy=bay.occupancy,
        charge=bay.charge,
        lock=bay.lock,
        reservation=bay.reservation,
        health=bay.health,
        battery=None if bay.battery is None else _battery_state(bay.battery),
        timestamp=told.timestamp,
        observed_at=told.observed_at,
        stream_id=told.stream_id,
        sequence=told.sequence,
    )


def _battery_state(battery: Battery) -> BatteryState:
    return BatteryState(
        serial_number=battery.serial_number,
        soc=battery.soc,
        soh=battery.soh,
        temperature=battery.temperature,
        cycles=battery.cycles,
    )


def is_news(new: BayState, stored: BayState | None) -> bool:
    """Whether ``new`` is worth a write: any state, another battery or cycle at once; a measured value when it
    has moved by its step from what is shown, so that a slow drift is shown too; the rest once a day.
    """
    if stored is None:
        return True
    if not supersedes(new, stored):
        return False
    if _states(new) != _states(stored) or new.observed_at - stored.observed_at >= REFRESH:
        return True
    return new.battery is not None and stored.battery is not None and _has_moved(new.battery, stored.battery)


def _states(bay: BayState) -> tuple[object, ...]:
    battery = bay.battery and (bay.battery.serial_number, bay.battery.cycles)
    return bay.occupancy, bay.charge, bay.lock, bay.reservation, bay.health, battery


def _has_moved(new: BatteryState, stored: BatteryState) -> bool:
    return (
        abs(new.soc - stored.soc) >= SOC_STEP
        or abs(new.soh - stored.soh) >= SOH_STEP
        or abs(new.temperature - stored.temperature) >= TEMPERATURE_STEP
    )


class DynamoBays:
    """The bays in a DynamoDB table whose key is ``station_id`` and the number ``bay``."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def of_station(self, station_id: str) -> tuple[BayState, ...]:
        """One query: items of 1 KB make a page of more bays than a station may have. Read consistently, as
        what has just been written must not be taken for what it replaced."""
        try:
            answer = self._client.query(
                TableName=self._table,
                KeyConditionExpression="station_id = :station_id",
                ExpressionAttributeValues={":station_id": {"S": station_id}},
                ConsistentRead=True,
                Limit=MAX_BAYS,
            )
        except (ClientError, BotoCoreError) as error:
            raise _failed("read", f"bays of {station_id}", error) from error
        return tuple(map(from_item, answer["Items"]))

    def offer(self, state: BayState) -> Offer:
        """One conditional write. A failed condition means that the stored bay is as new or newer."""
        condition = superseding(state)
        try:
            self._client.put_item(
                TableName=self._table,
                Item=to_item(state),
                ConditionExpression=condition.expression,
                ExpressionAttributeNames=condition.names,
                ExpressionAttributeValues=condition.values,
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return Offer.NOT_NEWER
        except (ClientError, BotoCoreError) as error:
            raise _failed("write", f"bay {state.bay} of {state.station_id}", error) from error
        return Offer.MOVED


def to_item(state: BayState) -> dict[str, "AttributeValueTypeDef"]:
    """Write ``state`` as DynamoDB's attribute values, with the second after which it may go."""
    item: dict[str, AttributeValueTypeDef] = {
        "station_id": {"S": state.station_id},
        "bay": {"N": str(state.bay)},
        "occupancy": {"S": state.occupancy.value},
        "charge": {"S": state.charge.value},
        "lock": {"S": state.lock.value},
        "reservation": {"S": state.reservation.value},
        "health": {"S": state.health.value},
        "timestamp": {"S": format_timestamp(state.timestamp)},
        "expires_at": {"N": str(int((state.observed_at + KEPT).timestamp()))},
        **place_item(state),
    }
    if state.battery is not None:
        item["battery"] = {
            "M": {
                "serial_number": {"S": state.battery.serial_number},
                "soc": number(state.battery.soc),
                "soh": number(state.battery.soh),
                "temperature": number(state.battery.temperature),
                "cycles": {"N": str(state.battery.cycles)},
            }
        }
    return item


def from_item(item: Mapping[str, "AttributeValueTypeDef"]) -> BayState:
    """The reverse of ``to_item``. Attributes that later versions add are left out."""
    return BayState(
        station_id=item["station_id"]["S"],
        bay=int(item["bay"]["N"]),
        occupancy=Occupancy(item["occupancy"]["S"]),
        charge=Charge(item["charge"]["S"]),
        lock=Lock(item["lock"]["S"]),
        reservation=Reservation(item["reservation"]["S"]),
        health=Health(item["health"]["S"]),
        battery=_battery(item["battery"]["M"]) if "battery" in item else None,
        timestamp=parse_timestamp(item["timestamp"]["S"]),
        observed_at=parse_timestamp(item["observed_at"]["S"]),
        stream_id=item["stream_id"]["S"] if "stream_id" in item else None,
        sequence=int(item["sequence"]["N"]) if "sequence" in item else None,
    )


def _battery(item: Mapping[str, "AttributeValueTypeDef"]) -> BatteryState:
    return BatteryState(
        serial_number=item["serial_number"]["S"],
        soc=float(item["soc"]["N"]),
        soh=float(item["soh"]["N"]),
        temperature=float(item["temperature"]["N"]),
        cycles=int(item["cycles"]["N"]),
    )


def _failed(operation: str, target: str, error: ClientError | BotoCoreError) -> LatestStateError:
    return LatestStateError(operation=operation, target=target, code=error_code(error))
