"""What a station, or a fleet of simulated ones, is told to do: YAML in, frozen settings out.

Every default stands here, or with the driver or transport that it belongs to.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Final, Generic, TypeVar

from msgspec import Meta, Struct

from evswap_edge import confirmations
from evswap_edge.documents import Document, KeyPath
from evswap_edge.drivers import WHOLE_STATION, DriverKind, Role, SettingRefused, load_driver
from evswap_edge.drivers.composition import (
    BAY_ROLES,
    Composition,
    CompositionRefused,
    Part,
    require_whole,
)
from evswap_edge.outbox import LEAST_BYTES, Bounds
from evswap_edge.plugins import PluginError
from evswap_edge.provisioning.terms import Provisioning
from evswap_edge.reporting import Mode
from evswap_edge.transports import TransportKind, load_transport
from evswap_schema import Location
from evswap_schema.fields import StationId

KindT = TypeVar("KindT", DriverKind[Any], TransportKind[Any])

OUTBOX_NAME: Final = "outbox.sqlite"

_KM_PER_DEGREE: Final = 111.195
_DECIMALS: Final = 6
"""Of a degree: 11 cm."""

_MISSED_SAMPLES: Final = 3
_GRACE_S: Final = 10.0

_NAME: Final = "name"
"""The key that chooses the driver or the transport; the rest of the section is its settings."""
_NO_DRIVER: Final = "has to be a driver, such as {{name: simulated}}; found {found}"


class Sampling(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often the sensors are read, and how long one may take (never more than 0.8 of the interval)."""

    interval_s: Annotated[float, Meta(ge=0.005, le=3600)] = 5.0
    sensor_timeout_s: Annotated[float, Meta(ge=0.01, le=60)] = 2.0

    @property
    def patience_s(self) -> float:
        """After so many seconds without a sample the station is not at work."""
        return _MISSED_SAMPLES * self.interval_s + _GRACE_S


class Reporting(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How samples travel; ``batch_age_s`` is how old the oldest of a batch may get. The bands (degrees
    Celsius, percent relative humidity) are how far the climate may move without being news."""

    mode: Mode = Mode.ON_CHANGE
    batch_age_s: Annotated[float, Meta(ge=1, le=3600)] = 60.0
    temperature_band: Annotated[float, Meta(ge=0, le=50)] = 0.5
    humidity_band: Annotated[float, Meta(ge=0, le=100)] = 2.0


class OutboxLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much may wait for its delivery: all files of the outbox together, and the age of a sample."""

    max_bytes: Annotated[int, Meta(ge=LEAST_BYTES)] = Bounds().max_bytes
    max_age_days: Annotated[float, Meta(ge=0.01, le=3650)] = Bounds().max_age_days

    def bounds(self) -> Bounds:
        """The same as the outbox wants it."""
        return Bounds(max_bytes=self.max_bytes, max_age_days=self.max_age_days)


class OutboxFile(OutboxLimits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where samples wait for their delivery."""

    path: Path


class Publishing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Messages under way at once, the seconds for a last delivery when stopped, the bounds of the backoff,
    how long the cloud may take to confirm what a transport only handed over, and, for what has waited through
    an outage, messages a second (0: no limit, and no pause) and the longest of the random pauses before
    it."""

    window: Annotated[int, Meta(ge=1, le=100)] = 20
    drain_s: Annotated[float, Meta(ge=0, le=60)] = 5.0
    retry_min_s: Annotated[float, Meta(ge=0.01, le=60)] = 0.5
    retry_max_s: Annotated[float, Meta(ge=0.01, le=3600)] = 60.0
    backlog_per_s: Annotated[float, Meta(ge=0, le=1_000)] = 5.0
    backlog_jitter_s: Annotated[float, Meta(ge=0, le=3600)] = 10.0
    confirmation_timeout_s: Annotated[float, Meta(ge=0.1, le=86_400)] = confirmations.TIMEOUT_S

    def __post_init__(self) -> None:
        if self.retry_max_s < self.retry_min_s:
            raise ValueError("retry_max_s has to be at least retry_min_s")


class Commands(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether commands and configuration are taken from afar; how long the hardware may take to answer an
    order, and how long a bay to show what was ordered."""

    enabled: bool = True
    answer_timeout_s: Annotated[float, Meta(ge=0.1, le=60)] = 5.0
    feedback_timeout_s: Annotated[float, Meta(ge=0, le=300)] = 10.0


class SwapOrder(StrEnum):
    """Which battery moves first; OCPP 2.1: BatterySwapCtrlr.SwapOrder."""

    IN_FIRST = "in_first"
    OUT_FIRST = "out_first"


class WhenFull(StrEnum):
    """What becomes of a customer who is to give first where no bay is empty, and none is about to be."""

    OUT_FIRST = "out_first"
    """They take first, and give into the slot that they emptied."""
    DECLINE = "decline"


class EstimatedClock(StrEnum):
    """What an authorisation is worth while the station's clock is a guess."""

    ACCEPT = "accept"
    """It holds unless it has certainly expired: the cloud cannot be asked, which is what it is for."""
    REFUSE = "refuse"


class Tier(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The least that the batteries for customers of a tier have, in percent."""

    min_soc: Annotated[float, Meta(ge=0, le=100)] = 0.0
    min_soh: Annotated[float, Meta(ge=0, le=100)] = 0.0


class SwapRules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether and how the station swaps.

    A battery is given away at ``target_soc`` and ``min_soh`` percent or more; ``batteries`` is what the whole
    serial number of one of this network looks like. The time-outs are how long a customer has for either
    half (OCPP 2.1: BatterySwapCtrlr.Timeout), ``relock_s`` how long a door may take to shut after that.
    Something is believed when it was seen for ``confirm_s``; a battery may take ``identify_s`` to say who
    it is. The bays are looked at every ``watch_s`` while a swap is under way, every ``idle_s`` otherwise.
    ``token_key_file`` holds the network's key for tokens in hex, and ``authorisation_keys`` are the
    Ed25519 public keys (PEM) by which authorisations are believed.
    """

    enabled: bool = False
    order: SwapOrder = SwapOrder.IN_FIRST
    when_full: WhenFull = WhenFull.OUT_FIRST
    at_once: Annotated[int, Meta(ge=1, le=4)] = 2
    target_soc: Annotated[float, Meta(ge=0, le=100)] = 95.0
    min_soh: Annotated[float, Meta(ge=0, le=100)] = 60.0
    tiers: dict[str, Tier] = {}
    batteries: Annotated[str, Meta(min_length=1)] = ".+"
    in_timeout_s: Annotated[float, Meta(ge=1, le=3600)] = 60.0
    out_timeout_s: Annotated[float, Meta(ge=1, le=3600)] = 60.0
    relock_s: Annotated[float, Meta(ge=1, le=600)] = 30.0
    confirm_s: Annotated[float, Meta(ge=0, le=60)] = 1.0
    identify_s: Annotated[float, Meta(ge=0, le=600)] = 10.0
    watch_s: Annotated[float, Meta(ge=0.05, le=10)] = 0.5
    idle_s: Annotated[float, Meta(ge=0.5, le=600)] = 5.0
    token_key_file: Path | None = None
    authorisation_keys: dict[str, Path] = {}
    estimated_clock: EstimatedClock = EstimatedClock.ACCEPT

    def __post_init__(self) -> None:
        if self.relock_s < max(self.confirm_s, self.watch_s):
            raise ValueError("relock_s has to be at least confirm_s and watch_s")
        try:
            re.compile(self.batteries)
        except re.error as error:
            raise ValueError(f"batteries has to be a regular expression: {error}") from error


class SafetyRules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the interlock cuts charging and locks out a bay, or the cabinet.

    The hardware is looked at every ``every_s`` seconds; a reading may take ``read_timeout_s``, an order
    ``order_timeout_s``, and ``feedback_s`` pass until the feedback shows that charging is off. What was not
    read for ``unread_s`` is dangerous. Temperatures in degrees Celsius: of a battery's hottest cell, and of
    the air in the cabinet; a cause is gone when it is the hysteresis (kelvin) below its limit. A battery that
    grows hotter by ``rise_k_per_s`` kelvin a second over ``rise_for_s`` seconds is dangerous at any
    temperature.
    """

    enabled: bool = True
    every_s: Annotated[float, Meta(ge=0.1, le=10)] = 1.0
    read_timeout_s: Annotated[float, Meta(ge=0.05, le=10)] = 2.0
    order_timeout_s: Annotated[float, Meta(ge=0.05, le=10)] = 1.0
    feedback_s: Annotated[float, Meta(ge=0.5, le=60)] = 5.0
    unread_s: Annotated[float, Meta(ge=1, le=600)] = 30.0
    battery_limit_c: Annotated[float, Meta(ge=30, le=80)] = 60.0
    battery_hysteresis_k: Annotated[float, Meta(ge=1, le=40)] = 10.0
    rise_k_per_s: Annotated[float, Meta(ge=0.05, le=10)] = 1.0
    rise_for_s: Annotated[float, Meta(ge=0.5, le=60)] = 3.0
    cabinet_limit_c: Annotated[float, Meta(ge=30, le=90)] = 60.0
    cabinet_hysteresis_k: Annotated[float, Meta(ge=1, le=40)] = 5.0

    def __post_init__(self) -> None:
        if self.unread_s < self.every_s + self.read_timeout_s:
            raise ValueError("unread_s has to be at least every_s and read_timeout_s together")


class Level(StrEnum):
    """From which level on there are logs."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Log(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is logged."""

    level: Level = Level.INFO


class MetricsEndpoint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where Prometheus finds the figures of this process: loopback, unless another of its addresses is
    named."""

    port: Annotated[int, Meta(ge=1, le=65535)]
    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"


class Place(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a station stands: WGS 84, in degrees."""

    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]

    def location(self) -> Location:
        return Location(latitude=self.latitude, longitude=self.longitude)


class Area(Place, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a fleet's stations stand: all over the square of ``across_km`` around the place, each always at
    the same spot, which its name decides."""

    across_km: Annotated[float, Meta(gt=0, le=1000)] = 20.0

    def location_of(self, station_id: str) -> Location:
        digest = blake2b(station_id.encode(), digest_size=8).digest()
        north, east = (int.from_bytes(half, "big") / 2**32 - 0.5 for half in (digest[:4], digest[4:]))
        across = self.across_km / _KM_PER_DEGREE
        narrowing = max(math.cos(math.radians(self.latitude)), 0.01)
        latitude = min(max(self.latitude + north * across, -90.0), 90.0)
        longitude = (self.longitude + east * across / narrowing + 180) % 360 - 180
        return Location(latitude=round(latitude, _DECIMALS), longitude=round(longitude, _DECIMALS))


class CommonFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What station.yaml and fleet.yaml share."""

    driver: dict[str, Any]
    transport: dict[str, Any]
    sampling: Sampling = Sampling()
    reporting: Reporting = Reporting()
    publishing: Publishing = Publishing()
    commands: Commands = Commands()
    swaps: SwapRules = SwapRules()
    safety: SafetyRules = SafetyRules()
    provisioning: Provisioning = Provisioning()
    metrics: MetricsEndpoint | None = None
    log: Log = Log()


class StationFile(CommonFile, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """station.yaml, key by key."""

    station_id: StationId
    outbox: OutboxFile
    location: Place | None = None


class Numbered(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stations named by counting from 1: ``{prefix: station-, count: 10}`` is station-01 to station-10.

    A station keeps its name when the count grows: station-99 is followed by station-100.
    """

    count: Annotated[int, Meta(ge=1, le=10_000)]
    prefix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,58}\Z")] = "station-"

    def names(self) -> tuple[str, ...]:
        return tuple(f"{self.prefix}{number:02}" for number in range(1, self.count + 1))


class FleetFile(CommonFile, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """fleet.yaml, key by key: many stations that differ by name, certificate and outbox."""

    stations: Annotated[tuple[StationId, ...], Meta(min_length=1)] | Numbered
    certificates_dir: Path
    data_dir: Path
    outbox: OutboxLimits = OutboxLimits()
    area: Area | None = None


@dataclass(frozen=True, slots=True)
class Chosen(Generic[KindT]):
    """A driver or transport by name, and its settings."""

    name: str
    kind: KindT
    settings: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class StationConfig:
    """All that one station needs to know."""

    station_id: str
    driver: Chosen[DriverKind[Any]]
    transport: Chosen[TransportKind[Any]]
    outbox_path: Path
    outbox_bounds: Bounds
    sampling: Sampling
    reporting: Reporting
    publishing: Publishing
    commands: Commands
    swaps: SwapRules
    safety: SafetyRules
    provisioning: Provisioning
    location: Location | None = None
    """Where it stands, if it is to say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What a file told: one station or many, and how to log. ``metrics`` is None where nobody asked for
    them."""

    stations: tuple[StationConfig, ...]
    log: Log
    metrics: MetricsEndpoint | None = None


def read_station(file: Path) -> Configuration:
    """Read station.yaml. Raises ``ConfigurationError``."""
    return station_of(Document(file))


def station_of(document: Document) -> Configuration:
    """The one station that ``document`` tells of, key by key as in station.yaml. Raises
    ``ConfigurationError``."""
    station = document.convert(document.data, StationFile)
    driver = _driver(document, station.driver)
    transport = _PluginSection(document, ("transport",), station.transport, load_transport)
    _require_short(document, ("station_id",), station.station_id, transport)
    only = StationConfig(
        station_id=station.station_id,
        driver=driver,
        transport=transport.chosen(),
        outbox_path=station.outbox.path,
        outbox_bounds=station.outbox.bounds(),
        sampling=station.sampling,
        reporting=station.reporting,
        publishing=station.publishing,
        commands=station.commands,
        swaps=station.swaps,
        safety=station.safety,
        provisioning=station.provisioning,
        location=None if station.location is None else station.location.location(),
    )
    return Configuration(stations=(only,), log=station.log, metrics=station.metrics)


def read_fleet(file: Path) -> Configuration:
    """Read fleet.yaml. Raises ``ConfigurationError``."""
    document = Document(file)
    fleet = document.convert(document.data, FleetFile)
    driver = _driver(document, fleet.driver)
    transport = _PluginSection(document, ("transport",), fleet.transport, load_transport)
    stations = tuple(
        StationConfig(
            station_id=station_id,
            driver=driver,
            transport=transport.chosen(
                transport.kind.station_files(fleet.certificates_dir, station_id), source="certificates_dir"
            ),
            outbox_path=fleet.data_dir / station_id / OUTBOX_NAME,
            outbox_bounds=fleet.outbox.bounds(),
            sampling=fleet.sampling,
            reporting=fleet.reporting,
            publishing=fleet.publishing,
            commands=fleet.commands,
            swaps=fleet.swaps,
            safety=fleet.safety,
            provisioning=fleet.provisioning,
            location=None if fleet.area is None else fleet.area.location_of(station_id),
        )
        for station_id in _names(document, fleet, transport)
    )
    return Configuration(stations=stations, log=fleet.log, metrics=fleet.metrics)


def read_any(file: Path) -> Configuration:
    """Read either kind of file: a fleet's has the key ``stations``. Raises ``ConfigurationError``."""
    data = Document(file).data
    return read_fleet(file) if isinstance(data, Mapping) and "stations" in data else read_station(file)


def describe(station: StationConfig) -> str:
    """What would be run, in one line."""
    return (
        f"{station.station_id}: a sample of the driver {station.driver.name} every "
        f"{station.sampling.interval_s:g} s, {station.reporting.mode} over {station.transport.name}, "
        f"outbox {station.outbox_path}"
    )


def _names(
    document: Document, fleet: FleetFile, transport: "_PluginSection[TransportKind[Any]]"
) -> tuple[str, ...]:
    if isinstance(fleet.stations, Numbered):
        names = fleet.stations.names()
        _require_short(document, ("stations",), max(names, key=len), transport)
        return names
    for index, station_id in enumerate(fleet.stations):
        if station_id in fleet.stations[:index]:
            raise document.error(("stations", index), f"{station_id} stands here a second time")
        _require_short(document, ("stations", index), station_id, transport)
    return fleet.stations


def _require_short(
    document: Document, key: KeyPath, station_id: str, transport: "_PluginSection[TransportKind[Any]]"
) -> None:
    longest = transport.kind.longest_name
    if longest is not None and len(station_id) > longest:
        limit = f"over {transport.name} a station's id has {longest} at most"
        raise document.error(key, f"{station_id} has {len(station_id)} characters; {limit}")


def _driver(document: Document, section: dict[str, Any]) -> Chosen[DriverKind[Any]]:
    """One driver for the whole station, or some for each role."""
    if _NAME not in section and any(isinstance(value, Mapping | list) for value in section.values()):
        return _composed(document, section)
    return _for_roles(document, ("driver",), section, WHOLE_STATION)


def _composed(document: Document, section: dict[str, Any]) -> Chosen[DriverKind[Any]]:
    """``{climate: {name: modbus, ...}, batteries: [{name: can, bays: 1-8}, ...], locks: ...}``"""
    from evswap_edge.drivers import composed  # a station of one driver is spared it

    for name in section:
        if name not in set(Role):
            raise document.unknown(("driver", name), [role.value for role in Role])
    if Role.BATTERIES not in section:
        _require_section(document, Role.BAYS, section)
    _require_section(document, Role.CLIMATE, section)
    parts = [part for role in Role if role in section for part in _parts(document, role, section[role])]
    station = Composition(tuple(parts))
    try:
        require_whole(station)
    except CompositionRefused as error:
        raise document.error(error.at, error.problem) from error
    name = " and ".join(f"{part.name} ({part.role})" for part in parts)
    return Chosen(name=name, kind=composed.KIND, settings=station)


def _require_section(document: Document, role: Role, section: Mapping[str, Any]) -> None:
    if role not in section:
        raise document.error(("driver", role), _NO_DRIVER.format(found="nothing"))


def _parts(document: Document, role: Role, section: Any) -> Iterator[Part]:
    """The one driver of a role, or each of a list."""
    if not isinstance(section, list) or not section:
        yield _part(document, role, section, ("driver", role))
        return
    for index, item in enumerate(section):
        yield _part(document, role, item, ("driver", role, index))


def _part(document: Document, role: Role, section: Any, at: KeyPath) -> Part:
    if not isinstance(section, Mapping):
        raise document.error(at, _NO_DRIVER.format(found=f"{section!r:.60}"))
    chosen = _for_roles(document, at, dict(section), frozenset({role}))
    kind, settings = chosen.kind, chosen.settings
    if kind.meant_for and (meant := kind.meant_for(settings)) != {role}:
        roles = " and ".join(sorted(meant)) or "nothing"
        problem = f"these settings are for {roles}, and this is the driver for the {role}"
        raise document.error(at, f"{problem}; each role has a section of its own")
    bays = kind.bays(settings) if role in BAY_ROLES else ()
    return Part(role=role, name=chosen.name, kind=kind, settings=settings, bays=bays, at=at)


def _for_roles(
    document: Document, at: KeyPath, section: dict[str, Any], roles: frozenset[Role]
) -> Chosen[DriverKind[Any]]:
    """The driver of the section at ``at``, which has to do all that ``roles`` ask for."""
    chosen = _PluginSection(document, at, section, load_driver).chosen()
    if lacking := roles - chosen.kind.provides:
        does, not_done = " and ".join(sorted(chosen.kind.provides)), " and ".join(sorted(lacking))
        remedy = "name a driver for each role: driver: {climate: {name: ...}, bays: {name: ...}}"
        raise document.error((*at, _NAME), f"{chosen.name} is for {does}, not for {not_done}; {remedy}")
    try:
        for role in roles:
            chosen.kind.check_role(chosen.settings, role)
        chosen.kind.check(chosen.settings)
    except SettingRefused as error:
        raise document.error((*at, error.setting), error.problem, nearest=error.nearest) from error
    return chosen


class _PluginSection(Generic[KindT]):
    """The section ``driver`` or ``transport``: a name, and settings that the named one defines."""

    def __init__(
        self, document: Document, at: KeyPath, section: dict[str, Any], load: Callable[[str], KindT]
    ) -> None:
        self._document = document
        self._at = at
        self._settings = {name: value for name, value in section.items() if name != _NAME}
        name = section.get(_NAME)
        if not isinstance(name, str):
            raise document.error((*at, _NAME), f"has to be the name of a {at[0]}; found {name!r}")
        self.name: Final = name
        try:
            self.kind: KindT = load(self.name)
        except PluginError as error:
            raise document.error((*at, _NAME), str(error)) from error

    def chosen(self, given: Mapping[str, str] | None = None, *, source: str = "") -> Chosen[KindT]:
        """The plug-in with the settings of the section and those ``given`` by ``source`` instead."""
        given = given or {}
        for name in given.keys() & self._settings.keys():
            raise self._document.error(
                (*self._at, name), f"is told by {source} for each station; leave it out"
            )
        settings = self._document.convert({**self._settings, **given}, self.kind.settings, at=self._at)
        return Chosen(name=str(self.name), kind=self.kind, settings=settings)
