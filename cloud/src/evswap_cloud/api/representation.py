"""How the API shows stations and events: numbers are JSON's own, what a station did not say is absent."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from evswap_cloud.api.paging import encode_cursor
from evswap_cloud.events import EventPage, StationEvent
from evswap_cloud.latest import Flag, LatestState, Page
from evswap_schema import Clock, StationStatus


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
    stream_id: str | None = None
    sequence: int | None = None
    clock: Clock | None = None
    flags: tuple[Flag, ...] = ()


class StationPage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The schema ``StationPage`` of openapi.yaml. ``count`` is the number of stations on this page."""

    count: int
    stations: tuple[Station, ...]
    next_cursor: str | None = None


class EventsOfStation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The schema ``EventPage`` of openapi.yaml. ``count`` is the number of events on this page."""

    count: int
    events: tuple[dict[str, Any], ...]
    next_cursor: str | None = None


def station_json(state: LatestState) -> str:
    """One station."""
    return _encode(_station(state))


def page_json(page: Page) -> str:
    """One page of stations."""
    stations = tuple(map(_station, page.states))
    cursor = encode_cursor(stations[-1].station_id) if page.more else None
    return _encode(StationPage(count=len(stations), stations=stations, next_cursor=cursor))


def event_page_json(page: EventPage) -> str:
    """One page of a station's events, the newest first."""
    events = tuple(map(_event, page.events))
    cursor = encode_cursor(page.events[-1].place) if page.more else None
    return _encode(EventsOfStation(count=len(events), events=events, next_cursor=cursor))


def _event(one: StationEvent) -> dict[str, Any]:
    """The event's own fields and the arrival's; that it asked for an acknowledgement is nobody's business."""
    shown: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(one.event, acknowledge=False))
    arrival = {"received_at": one.received_at, **({"flags": one.flags} if one.flags else {})}
    return shown | arrival


def _station(state: LatestState) -> Station:
    return Station(**{name: getattr(state, name) for name in Station.__struct_fields__})


def _encode(answer: Struct) -> str:
    return msgspec.json.encode(answer).decode()
