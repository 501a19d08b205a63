"""Where a Modbus device is and what it is: what station.yaml says of it, and whether that can be."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct

from evswap_edge.documents import NameOrFile
from evswap_edge.drivers import Role, SettingRefused
from evswap_edge.drivers.bays import BayRanges, bay_numbers
from evswap_edge.drivers.modbus.line import LineAddress, Manners, SerialAddress, TcpAddress
from evswap_edge.drivers.modbus.seats import Seating
from evswap_edge.registers import (
    AnyMap,
    BatteryMap,
    Baudrate,
    ChargerMap,
    ClimateMap,
    DeviceMap,
    MapKind,
    Parity,
    StopBits,
    Unit,
    UnknownMap,
    names,
    nearest_of,
    read_map,
)
from evswap_edge.registers.layout import LAST_UNIT

ROLES: Final = {
    MapKind.CLIMATE: Role.CLIMATE,
    MapKind.BATTERY: Role.BATTERIES,
    MapKind.CHARGER: Role.CHARGERS,
}
"""A map says what its device is for."""


class Silent(StrEnum):
    """What it means that a device of batteries says nothing at all."""

    FAILED = "failed"
    EMPTY = "empty"


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the device is, and what it is. What is left out is as the register map has it from the
    factory."""

    registers: NameOrFile
    port: Path | None = None
    tcp: Annotated[str, Meta(pattern=r"^[^\s:]+:\d{1,5}\Z")] | None = None
    unit: Unit | None = None
    baudrate: Baudrate | None = None
    parity: Parity | None = None
    stop_bits: StopBits | None = None
    timeout_s: Annotated[float, Meta(ge=0.01, le=10)] = 0.5
    bays: BayRanges | None = None
    units_apart: Annotated[int, Meta(ge=1, le=246)] | None = None
    silent: Silent | None = None
    max_age_s: Annotated[float, Meta(ge=1, le=3600)] | None = None

    def __post_init__(self) -> None:
        require_one_wire(self.port, self.tcp)
        if self.tcp and (self.baudrate or self.parity or self.stop_bits):
            raise ValueError("baudrate, parity and stop_bits belong to port, not to tcp")
        if self.bays is not None:
            bay_numbers(self.bays)

    def address(self, layout: DeviceMap) -> LineAddress:
        """Where to ask."""
        return address_of(
            self.port,
            self.tcp,
            baudrate=self.baudrate or layout.factory.baudrate,
            parity=self.parity or layout.factory.parity,
            stop_bits=self.stop_bits or layout.factory.stop_bits,
        )

    def manners(self, layout: DeviceMap) -> Manners:
        """How to ask."""
        return Manners(timeout_s=self.timeout_s, pause_s=layout.factory.pause_ms / 1_000)

    def seating(self, layout: DeviceMap) -> Seating:
        """Which device has which bay."""
        return Seating(
            bays=numbers(self), first_unit=self.unit or layout.factory.unit, units_apart=self.units_apart or 1
        )


def require_one_wire(port: Path | None, tcp: str | None) -> None:
    """Raises ``ValueError``."""
    if (port is None) == (tcp is None):
        raise ValueError("needs port (/dev/ttyUSB0) or tcp (host:502), and not both")
    if tcp and not 0 < int(tcp.rpartition(":")[2]) < 0x1_0000:
        raise ValueError("tcp has to name a port from 1 to 65535")


def address_of(
    port: Path | None, tcp: str | None, *, baudrate: int, parity: Parity, stop_bits: int
) -> LineAddress:
    """Of whichever of the two there is."""
    if tcp:
        host, _, number = tcp.rpartition(":")
        return TcpAddress(host=host, port=int(number))
    return SerialAddress(port=str(port), baudrate=baudrate, parity=parity, stop_bits=stop_bits)


def numbers(settings: Settings) -> tuple[int, ...]:
    """The bays that ``settings`` speak of; none for a climate sensor."""
    return () if settings.bays is None else bay_numbers(settings.bays)


def roles_of(settings: Settings) -> frozenset[Role]:
    """The one role that the register map is for. Raises ``ConfigurationError`` about the map's own file."""
    return frozenset({ROLES[read_map(settings.registers).kind]})


def where(settings: Settings, bay: int | None) -> str:
    """Where a bay is read, or, with None, the climate: the line and the unit on it."""
    layout = read_map(settings.registers)
    units = {} if isinstance(layout, ClimateMap) else settings.seating(layout).units(layout)
    unit = settings.unit or layout.factory.unit if bay is None else units.get(bay)
    return f"{settings.tcp or settings.port}{f' unit {unit}' if unit else ''}"


def check_role(settings: Settings, role: Role) -> None:
    """Raises ``SettingRefused`` for a map that is for another role, with one of ours for this; else as
    ``check``."""
    layout = _layout(settings)
    if ROLES[layout.kind] is role:
        return
    kinds = {of: kind for kind, of in ROLES.items()}
    problem = f"{settings.registers} is a map for {ROLES[layout.kind]}, not for {role}"
    if role not in kinds:
        raise SettingRefused("registers", problem)
    known = ", ".join(names(kinds[role]))
    nearest = nearest_of(kinds[role], settings.registers)
    raise SettingRefused("registers", f"{problem}; for {role} are {known}", nearest=nearest)


def check(settings: Settings) -> None:
    """Look at the register map, and whether the bays find their places in it. Raises ``SettingRefused``, or
    ``ConfigurationError`` about the map's own file."""
    layout = _layout(settings)
    _require_bays(settings, layout)
    _require_only_for(MapKind.BATTERY, "silent", settings.silent, layout)
    if not isinstance(layout, ClimateMap):
        _require_units(settings, layout)


def _layout(settings: Settings) -> AnyMap:
    try:
        return read_map(settings.registers)
    except UnknownMap as error:
        raise SettingRefused("registers", str(error), nearest=error.nearest) from error


def _require_bays(settings: Settings, layout: AnyMap) -> None:
    if not isinstance(layout, ClimateMap):
        if settings.bays is None:
            raise SettingRefused("bays", "is missing: which bays are read by this map, such as 1-8")
        return
    for name in ("bays", "units_apart", "max_age_s"):
        if getattr(settings, name) is not None:
            raise SettingRefused(name, f"is for batteries and chargers; {settings.registers} is for climate")


def _require_only_for(kind: MapKind, name: str, value: object, layout: AnyMap) -> None:
    if value is not None and layout.kind is not kind:
        raise SettingRefused(name, f"is for a {kind}; the map is for a {layout.kind}")


def _require_units(settings: Settings, layout: BatteryMap | ChargerMap) -> None:
    try:
        seats = settings.seating(layout).seats(layout)
    except ValueError as error:
        raise SettingRefused("bays", f"the last of them {error}") from error
    if (last := seats[-1]).unit > LAST_UNIT:
        problem = f"bay {last.bay} would be unit {last.unit}, and the last there can be is {LAST_UNIT}"
        raise SettingRefused("unit", f"{problem}; look at unit and units_apart")
