"""What a client says: what it wants to see, and that it is still there."""

import re
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct

from evswap_cloud.api.problems import bad_parameter
from evswap_cloud.watching.limits import MAX_CELL, MAX_FRAME_BYTES, MAX_STATIONS, MAX_VERSION, MIN_CELL
from evswap_cloud.watching.shown import Shown
from evswap_schema import STATION_ID_PATTERN

_CELL: Final = re.compile(rf"[0-9b-hjkmnp-z]{{{MIN_CELL},{MAX_CELL}}}")


class Kind(StrEnum):
    """Of a subscription: every station, those whose geohash begins with the region's, or those named."""

    ALL = "all"
    REGION = "region"
    STATIONS = "stations"


class Scope(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is watched. ``geohash`` belongs to a region, ``stations`` to named stations."""

    kind: Kind
    geohash: str | None = None
    stations: tuple[str, ...] | None = None

    def covers(self, station: Shown) -> bool:
        """Whether ``station`` is watched."""
        match self.kind:
            case Kind.ALL:
                return True
            case Kind.REGION:
                return (station.geohash or "").startswith(self.geohash or "")
            case Kind.STATIONS:
                return station.station_id in (self.stations or ())


class Subscribe(
    Struct, frozen=True, kw_only=True, tag_field="action", tag="subscribe", forbid_unknown_fields=True
):
    """Takes the place of the subscription before. ``have`` gives the versions that the client has: what is
    not newer is not sent again."""

    scope: Scope
    have: dict[str, int] = {}


class Alive(Struct, frozen=True, kw_only=True, tag_field="action", tag="alive", forbid_unknown_fields=True):
    """``at`` is that of the newest frame that the client has read, 0 before the first."""

    at: int


Request = Subscribe | Alive

_decoder: Final[msgspec.json.Decoder[Request]] = msgspec.json.Decoder(Request)


def read_request(body: str) -> Request:
    """The request in a frame; raises ``ProblemError``."""
    if len(body.encode(errors="replace")) > MAX_FRAME_BYTES:
        raise bad_parameter("body", f"A message has at most {MAX_FRAME_BYTES} bytes.")
    try:
        request = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise bad_parameter("body", f"This is no request: {error}. docs/live.md describes them.") from error
    match request:
        case Subscribe(scope=scope, have=have):
            _demand_meaning(scope)
            _demand_versions(have)
        case Alive(at=at) if not 0 <= at <= MAX_VERSION:
            raise bad_parameter("at", "at has to be that of a frame, or 0 before the first.")
    return request


def _demand_meaning(scope: Scope) -> None:
    if (scope.kind is Kind.REGION) != (scope.geohash is not None):
        raise bad_parameter("geohash", "geohash belongs to a region, and to nothing else.")
    if (scope.kind is Kind.STATIONS) != (scope.stations is not None):
        raise bad_parameter("stations", "stations belong to the kind stations, and to nothing else.")
    if scope.geohash is not None and not _CELL.fullmatch(scope.geohash):
        raise bad_parameter("geohash", f"geohash has {MIN_CELL} to {MAX_CELL} characters of a geohash.")
    if scope.stations is not None:
        _demand_station_ids(scope.stations)


def _demand_station_ids(station_ids: tuple[str, ...]) -> None:
    if not 1 <= len(set(station_ids)) == len(station_ids) <= MAX_STATIONS:
        raise bad_parameter("stations", f"stations are 1 to {MAX_STATIONS}, each once.")
    if not all(re.match(STATION_ID_PATTERN, station_id) for station_id in station_ids):
        raise bad_parameter("stations", f"Each station has to match {STATION_ID_PATTERN}.")


def _demand_versions(have: dict[str, int]) -> None:
    if not all(0 <= version <= MAX_VERSION for version in have.values()):
        raise bad_parameter("have", f"A version is a number from 0 to {MAX_VERSION}.")


def read_scope(text: str) -> Scope:
    """A scope as ``write_scope`` wrote it."""
    return msgspec.json.decode(text, type=Scope)


def write_scope(scope: Scope) -> str:
    """``scope`` as text, for a store."""
    return msgspec.json.encode(scope).decode()
