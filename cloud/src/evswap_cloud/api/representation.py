"""How the API shows stations and events: numbers are JSON's own, what a station did not say is absent."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from evswap_cloud.api.paging import encode_cursor
from evswap_cloud.bays import BatteryState, BayState
from evswap_cloud.connection import Connection, connection_of
from evswap_cloud.connection.figures import Figures
from evswap_cloud.events import EventPage, StationEvent
from evswap_cloud.latest import Flag, LatestState, Page
from evswap_cloud.ledger import Answer, Code, Place
from evswap_cloud.ledger.batteries import Seen, Sighting
from evswap_cloud.nearby import Nearby
from evswap_schema import Charge, Clock, Health, Location, Lock, Occupancy, Reservation, StationStatus

_KM_DECIMALS: Final = 3
_NOT_OF_STATE: Final = ("bays", "connection", "distance_km")


class Station(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The schema ``Station`` of openapi.yaml. A failed sensor's field is null; it is never absent."""

    station_id: str
    battery_available: int
    battery_charging: int
    temperature: float | None
    humidity: float | None
    status: StationStatus
    timestamp: datetime
    received_at: datetime
    connection: Connection
    stream_id: str | None = None
    sequence: int | None = None
    clock: Clock | None = None
    flags: tuple[Flag, ...] = ()
    location: Location | None = None
    distance_km: float | None = None
    bays: tuple["BayShown", ...] = ()


class BayShown(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The schema ``Bay`` of openapi.yaml."""

    bay: int
    occupancy: Occupancy
    charge: Charge
    lock: Lock
    reservation: Reservation
    health: Health
    timestamp: datetime
    battery: BatteryState | None = None


class StationPage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The schema ``StationPage`` of openapi.yaml. ``count`` is the number of stations on this page; all that
    are within ``searched_km`` were looked at."""

    count: int
    stations: tuple[Station, ...]
    next_cursor: str | None = None
    searched_km: float | None = None


class EventsOfStation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The schema ``EventPage`` of openapi.yaml. ``count`` is the number of events on this page."""

    count: int
    events: tuple[dict[str, Any], ...]
    next_cursor: str | None = None


class BatteryOnRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The schema ``Battery`` of openapi.yaml."""

    serial_number: str
    place: Place
    station_id: str
    bay: int
    since: datetime
    seen_at: datetime
    soc: float | None = None
    soh: float | None = None
    id_token: str | None = None
    owed: bool
    orphan: bool
    unregistered: bool
    findings: tuple["FindingShown", ...] = ()
    history: tuple["SightingShown", ...]


class FindingShown(Struct, frozen=True, kw_only=True):
    """The schema ``Finding`` of openapi.yaml."""

    code: Code
    detail: str


class SightingShown(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The schema ``Sighting`` of openapi.yaml."""

    seen: Seen
    station_id: str
    bay: int
    timestamp: datetime
    clock: Clock
    soc: float | None = None
    soh: float | None = None
    request_id: int | None = None


def battery_json(answer: Answer) -> str:
    """One battery. State of charge and health are of the last sighting that knew them."""
    battery, where = answer.battery, answer.whereabouts
    shown = BatteryOnRecord(
        serial_number=battery.serial_number,
        place=where.place,
        station_id=where.station_id,
        bay=where.bay,
        since=where.since,
        seen_at=battery.last.stamp.at,
        soc=_last_known(one.soc for one in battery.sightings),
        soh=_last_known(one.soh for one in battery.sightings),
        id_token=where.id_token,
        owed=answer.is_owed,
        orphan=answer.is_orphan,
        unregistered=answer.is_unregistered,
        findings=tuple(FindingShown(code=one.code, detail=one.detail) for one in answer.findings),
        history=tuple(map(_sighting, battery.sightings)),
    )
    return _encode(shown)


def station_json(state: LatestState, bays: Iterable[BayState], now: datetime) -> str:
    """One station with its bays. A page of stations is without: a hundred cabinets would be a long answer."""
    return _encode(msgspec.structs.replace(_station(state, now), bays=tuple(map(_bay, bays))))


def page_json(page: Page, now: datetime) -> str:
    """One page of stations."""
    stations = tuple(_station(state, now) for state in page.states)
    cursor = encode_cursor(page.after) if page.after else None
    return _encode(StationPage(count=len(stations), stations=stations, next_cursor=cursor))


def nearby_json(nearby: Nearby, now: datetime) -> str:
    """The stations near a place, the nearest first."""
    stations = tuple(
        msgspec.structs.replace(_station(one.state, now), distance_km=round(one.distance_km, _KM_DECIMALS))
        for one in nearby.neighbours
    )
    searched_km = round(nearby.searched_km, _KM_DECIMALS)
    return _encode(StationPage(count=len(stations), stations=stations, searched_km=searched_km))


def event_page_json(page: EventPage) -> str:
    """One page of a station's events, the newest first."""
    events = tuple(map(_event, page.events))
    cursor = encode_cursor(page.events[-1].place) if page.more else None
    return _encode(EventsOfStation(count=len(events), events=events, next_cursor=cursor))


def _last_known(values: Iterable[float | None]) -> float | None:
    return next((value for value in values if value is not None), None)


def _sighting(one: Sighting) -> SightingShown:
    return SightingShown(
        seen=one.seen,
        station_id=one.stamp.station_id,
        bay=one.bay,
        timestamp=one.stamp.at,
        clock=one.stamp.clock,
        soc=one.soc,
        soh=one.soh,
        request_id=one.request_id,
    )


def _event(one: StationEvent) -> dict[str, Any]:
    """The event's own fields and the arrival's; that it asked for an acknowledgement is nobody's business."""
    shown: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(one.event, acknowledge=False))
    arrival = {"received_at": one.received_at, **({"flags": one.flags} if one.flags else {})}
    return shown | arrival


def fleet_json(figures: Figures) -> str:
    """The fleet in figures, the schema ``Fleet`` of openapi.yaml."""
    return _encode(figures)


def _station(state: LatestState, now: datetime) -> Station:
    said = {name: getattr(state, name) for name in Station.__struct_fields__ if name not in _NOT_OF_STATE}
    return Station(**said, connection=connection_of(state, now))


def _bay(state: BayState) -> BayShown:
    return BayShown(**{name: getattr(state, name) for name in BayShown.__struct_fields__})


def _encode(answer: Struct) -> str:
    return msgspec.json.encode(answer).decode()
