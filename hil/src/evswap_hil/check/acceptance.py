"""What every running stack must do, seen from outside."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from evswap_hil.check.outcome import Check, Measured
from evswap_hil.deadline import NotInTime, Waited, wait_until
from evswap_hil.observers import mqtt
from evswap_hil.observers.listeners import listeners
from evswap_hil.observers.rest import SEED_FIELDS, ApiError, RestObserver, Station
from evswap_hil.stack import Stack
from evswap_schema import Channel, aws_topic, format_timestamp

Found = TypeVar("Found")

MISBEHAVIOUR = (ApiError, NotInTime, mqtt.MqttError)
"""What a stack can do to fail a check. Anything else is a fault of the bench and ends it."""

FORGED_COUNT = 999
"""More batteries than any station has: where it turns up, a forgery got through."""


@dataclass(frozen=True)
class Limits:
    """What counts as good, in seconds, and how many stations there are to be, at least one."""

    stations: int
    visible_within: float = 30.0
    shown_within: float = 5.0
    moves_within: float = 15.0


class Acceptance:
    """The checks of one stack. They run in the order given: each relies on what the earlier ones showed."""

    def __init__(self, stack: Stack, api: RestObserver, limits: Limits) -> None:
        self._stack = stack
        self._api = api
        self._limits = limits
        self._visitor = stack.visitor_station_id
        self._victim = next(iter(stack.station_ids()), "station-01")

    def checks(self) -> Iterable[Check]:
        limits = self._limits
        yield Check(
            "stations are visible with the seed's seven fields",
            f"{limits.stations} within {limits.visible_within:g} s",
            self._are_visible,
        )
        yield self._served("what the visitor publishes is in the API")
        yield Check(
            "the visitor on another station's topic", "refused, and nothing changes", self._foreign_topic
        )
        yield Check("the visitor under another client id", "refused", self._foreign_client_id)
        yield Check("the visitor without a certificate", "refused", self._no_certificate)
        # These two tell a refusal from a broker that is down, and that the refused did no harm.
        yield self._served("the visitor is still served after these")
        yield Check(
            "the state of the stations moves",
            f"{limits.stations} within {limits.moves_within:g} s",
            self._do_move,
        )
        yield Check("where the stack listens", "on loopback only", self._loopback_only)

    def _served(self, name: str) -> Check:
        return Check(name, f"within {self._limits.shown_within:g} s", self._is_shown)

    def _are_visible(self) -> Measured:
        waited = self._enough(self._others, "visible", self._limits.visible_within)
        incomplete = [
            str(station.get("station_id"))
            for station in waited.found
            if not set(SEED_FIELDS) <= station.keys()
        ]
        value = f"{len(waited.found)} after {waited.seconds:.1f} s"
        if incomplete:
            value += f", incomplete: {', '.join(incomplete)}"
        return Measured(value, passed=not incomplete)

    def _do_move(self) -> Measured:
        before = self._timestamps()

        def moved() -> list[str]:
            return [
                station
                for station, timestamp in self._timestamps().items()
                if before.get(station) != timestamp
            ]

        waited = self._enough(moved, "moving", self._limits.moves_within)
        return Measured(f"{len(waited.found)} after {waited.seconds:.1f} s", passed=True)

    def _enough(self, probe: Callable[[], list[Found]], what: str, within: float) -> Waited[list[Found]]:
        """Wait until `probe` finds as many as there are to be. Raises NotInTime with the number there was."""
        found: list[Found] = []

        def as_many_as_there_are_to_be() -> list[Found] | None:
            found[:] = probe()
            return list(found) if len(found) >= self._limits.stations else None

        try:
            return wait_until(as_many_as_there_are_to_be, what=what, within=within)
        except NotInTime:
            raise NotInTime(f"{self._limits.stations} {what} (there were {len(found)})", within) from None

    def _is_shown(self) -> Measured:
        reading = seed_reading(self._visitor)
        with self._connect(self._visitor) as visitor:
            visitor.publish(_topic(self._visitor), msgspec.json.encode(reading))
            waited = self._api.wait_until(
                lambda api: _holds(api.station(self._visitor), reading),
                what="the visitor's reading in the API",
                within=self._limits.shown_within,
            )
        return Measured(f"after {waited.seconds:.2f} s", passed=True)

    def _foreign_topic(self) -> Measured:
        victim = self._victim

        def publish_a_forgery() -> None:
            with self._connect(self._visitor) as visitor:
                visitor.publish(_topic(victim), msgspec.json.encode(forged_reading(victim)))

        refusal = _refusal_of(publish_a_forgery)
        with suppress(NotInTime):
            self._api.wait_until(
                lambda api: is_forged(api.station(victim)), what="a forgery", within=self._limits.shown_within
            )
            return Measured(f"{refusal.value}, and {victim} shows the forged state", passed=False)
        return refusal

    def _foreign_client_id(self) -> Measured:
        return _refusal_of(lambda: self._enter(client_id=self._victim))

    def _no_certificate(self) -> Measured:
        return _refusal_of(lambda: self._enter(client_id=self._visitor, with_certificate=False))

    def _loopback_only(self) -> Measured:
        addresses = [self._stack.api_url, self._stack.aws_endpoint_url, self._stack.dashboard_url]
        ports = {urlsplit(address).port for address in addresses if address} | {self._stack.mqtt_port}
        found = listeners(port for port in ports if port is not None)
        open_to_others = [listener for listener in found if not listener.on_loopback]
        if open_to_others:
            return Measured(f"open: {', '.join(map(str, open_to_others))}", passed=False)
        return Measured(", ".join(map(str, found)) or "none found on this machine", passed=bool(found))

    def _enter(self, *, client_id: str, with_certificate: bool = True) -> None:
        with self._connect(client_id, with_certificate=with_certificate):
            pass

    def _connect(
        self, client_id: str, *, with_certificate: bool = True
    ) -> AbstractContextManager[mqtt.Visitor]:
        stack = self._stack
        return mqtt.connect(
            stack.mqtt_host,
            stack.mqtt_port,
            ca=stack.ca_file,
            certificate=stack.certificate_of(self._visitor) if with_certificate else None,
            client_id=client_id,
        )

    def _others(self) -> list[Station]:
        return [station for station in self._api.stations() if station.get("station_id") != self._visitor]

    def _timestamps(self) -> dict[str, str]:
        return {str(station.get("station_id")): str(station.get("timestamp")) for station in self._others()}


def _refusal_of(attempt: Callable[[], None]) -> Measured:
    """Passed where the broker said no or hung up; a broker that is not there is no refusal."""
    try:
        attempt()
    except mqtt.REFUSALS as refusal:
        return Measured(str(refusal), passed=True)
    return Measured("accepted", passed=False)


def seed_reading(station_id: str, *, battery_available: int = 5) -> dict[str, Any]:
    """A message with the seed's seven fields and the current time, made without the product's codec."""
    now = datetime.now(UTC)
    return {
        "station_id": station_id,
        "battery_available": battery_available,
        "battery_charging": 2,
        "temperature": 21.5,
        "humidity": 48.0,
        "status": "operational",
        "timestamp": format_timestamp(now.replace(microsecond=now.microsecond // 1000 * 1000)),
    }


def forged_reading(station_id: str) -> dict[str, Any]:
    """What `station_id` never said, recognisable by its count."""
    return seed_reading(station_id, battery_available=FORGED_COUNT)


def is_forged(station: Station | None) -> bool:
    return station is not None and station.get("battery_available") == FORGED_COUNT


def _holds(station: Station | None, reading: dict[str, Any]) -> bool:
    return station is not None and all(station.get(field) == reading[field] for field in SEED_FIELDS)


def _topic(station_id: str) -> str:
    return aws_topic(Channel.TELEMETRY, station_id)
