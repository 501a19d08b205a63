"""What a watcher sees of a station."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from evswap_cloud.marks import VERSION
from evswap_schema import StationStatus, parse_timestamp

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class Shown(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A station as it is sent. Of two with the same ``station_id`` the one with the higher ``version``
    counts.

    ``timestamp`` is that of the reading behind it. A reading that says nothing new is not sent, so it may lie
    behind what the REST API answers.
    """

    station_id: str
    version: int
    status: StationStatus
    battery_available: int
    battery_charging: int
    temperature: float | None
    timestamp: datetime
    connection: str | None = None
    geohash: str | None = None

    def differs_from(self, other: "Shown") -> bool:
        """Whether a watcher is to be told: the version and the time alone are no news."""
        return replace(self, version=0, timestamp=_EPOCH) != replace(other, version=0, timestamp=_EPOCH)


def shown_of(item: Mapping[str, "AttributeValueTypeDef"]) -> Shown:
    """The station in an item of the table of states. One that was written before there were versions has
    0."""
    return Shown(
        station_id=item["station_id"]["S"],
        version=int(item[VERSION]["N"]) if VERSION in item else 0,
        status=StationStatus(item["status"]["S"]),
        battery_available=int(item["battery_available"]["N"]),
        battery_charging=int(item["battery_charging"]["N"]),
        temperature=_temperature(item["temperature"]),
        timestamp=parse_timestamp(item["timestamp"]["S"]),
        connection=_text(item, "connection"),
        geohash=_text(item, "geohash"),
    )


def newest_of_each(stations: Iterable[Shown]) -> tuple[Shown, ...]:
    """Each station once, as it was seen last."""
    newest: dict[str, Shown] = {}
    for one in stations:
        known = newest.get(one.station_id)
        if known is None or one.version > known.version:
            newest[one.station_id] = one
    return tuple(newest.values())


def news_in(records: Iterable[Mapping[str, Any]]) -> tuple[Shown, ...]:
    """What the records of the table's stream say that a watcher has not been told, each station once."""
    return newest_of_each(filter(None, map(_news, records)))


def _news(record: Mapping[str, Any]) -> Shown | None:
    change = record["dynamodb"]
    if not _is_state(change.get("NewImage")):
        return None
    new = shown_of(change["NewImage"])
    if _is_state(change.get("OldImage")) and not new.differs_from(shown_of(change["OldImage"])):
        return None
    return new


def _is_state(image: Mapping[str, Any] | None) -> bool:
    """False of a station that was removed, and of one of which nothing but a connection is known."""
    return image is not None and "status" in image


def _temperature(value: "AttributeValueTypeDef") -> float | None:
    return None if "NULL" in value else float(value["N"])


def _text(item: Mapping[str, "AttributeValueTypeDef"], name: str) -> str | None:
    return item[name]["S"] if name in item else None
