"""The station's hardware by name. A driver is imported when a configuration names it, and not before.

Another distribution adds a driver with an entry point in the group ``evswap_edge.drivers`` that names a
``DriverKind``.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct

from evswap_edge import plugins
from evswap_edge.clock import TimeSource
from evswap_edge.hal import Cabinet, DriverUnavailable, Hardware
from evswap_edge.plugins import Builtin

SettingsT = TypeVar("SettingsT", bound=Struct)
OnSensor = Callable[[str, str | None, int | None], None]
"""Called with a sensor's name, why it failed (None: it works), and the bay when it is about one."""

ENTRY_POINTS: Final = "evswap_edge.drivers"
BUILTINS: Final = {
    "simulated": Builtin("evswap_edge.drivers.simulated:KIND"),
    "modbus": Builtin("evswap_edge.drivers.modbus:KIND", extra="modbus", needs_openssl=True),
    "can": Builtin("evswap_edge.drivers.can:KIND", extra="can", needs_openssl=True),
    "gpio": Builtin("evswap_edge.drivers.gpio:KIND", extra="gpio"),
    "sht3x": Builtin("evswap_edge.drivers.sht3x:KIND", extra="sht3x"),
}


class Role(StrEnum):
    """What a driver can do for a station, and the protocol of the HAL that it then offers."""

    CLIMATE = "climate"
    """``ClimateSensor``"""
    BAYS = "bays"
    """``BayBank``"""
    BATTERIES = "batteries"
    """``BatteryBank``"""
    LOCKS = "locks"
    """``LockBank``"""
    CHARGERS = "chargers"
    """``ChargerBank``"""
    SAFETY = "safety"
    """``SafetyInputs``"""
    READER = "reader"
    """``TokenReader``"""


WHOLE_STATION: Final = frozenset({Role.CLIMATE, Role.BAYS})
"""What a station cannot do without, and what a driver of a whole one does."""


class SettingRefused(Exception):
    """A setting of a driver that is of the right type and still cannot be. ``setting`` is its key."""

    def __init__(self, setting: str, problem: str, *, nearest: str | None = None) -> None:
        self.setting = setting
        self.problem = problem
        self.nearest = nearest
        super().__init__(f"{setting}: {problem}")


def _tell_nobody(sensor: str, reason: str | None, bay: int | None) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a driver may know beside its own settings."""

    station_id: str
    time: TimeSource
    answer_within_s: float = 2.0
    """For how long a reading is waited for; one that takes longer is given up."""
    on_sensor: OnSensor = _tell_nobody
    """For a driver that reads on when a part of it fails: which part, and why, so that it becomes an
    alarm."""


def _accept(_: object) -> None:
    """There is nothing to check beyond the settings' own constraints."""


def _no_bays(_: object) -> tuple[int, ...]:
    """It is not about bays."""
    return ()


def _claims_nothing(_: object) -> Mapping[str, str]:
    """All that it uses can be used by others too."""
    return {}


def _take_any_role(_: object, __: Role) -> None:
    """What ``meant_for`` says is enough."""


def _somewhere(_: object, __: int | None) -> str:
    """There is nothing to say."""
    return ""


@dataclass(frozen=True, slots=True)
class DriverKind(Generic[SettingsT]):
    """A driver: what it lets be configured, what it does for a station, and how it is opened.

    ``settings`` is a frozen struct that forbids unknown fields; its constraints and defaults are the
    driver's own. ``open`` raises ``DriverUnavailable``; what it returns has the protocol of each role that
    the driver ``provides``. ``check`` looks at settings beyond their types and touches no hardware; it raises
    ``SettingRefused``, or ``ConfigurationError`` about another file that a setting names.

    For a station of several drivers: ``bays`` are those that settings speak of; ``meant_for`` the roles that
    they can fill, where the driver provides more than one and settings are for some of them; ``claims`` what
    nobody else may use, by the setting that names it, such as ``{"pins[0]": "GPIO17"}``; ``where`` says for
    people where a bay, or with None the rest, is read; ``check_role`` raises ``SettingRefused`` for a setting
    that is for another role, and knows one for this.
    """

    settings: type[SettingsT]
    open: Callable[[SettingsT, Surroundings], Awaitable[Hardware]]
    provides: frozenset[Role] = WHOLE_STATION
    check: Callable[[SettingsT], None] = _accept
    bays: Callable[[SettingsT], tuple[int, ...]] = _no_bays
    meant_for: Callable[[SettingsT], frozenset[Role]] | None = None
    claims: Callable[[SettingsT], Mapping[str, str]] = _claims_nothing
    where: Callable[[SettingsT, int | None], str] = _somewhere
    check_role: Callable[[SettingsT, Role], None] = _take_any_role


def load_driver(name: str) -> DriverKind[Any]:
    """The driver called ``name``. Raises ``UnknownPlugin`` or ``PluginUnavailable``."""
    kind: DriverKind[Any] = plugins.load(name, kind="driver", builtins=BUILTINS, group=ENTRY_POINTS)
    return kind


async def open_cabinet(kind: DriverKind[Any], settings: Any, surroundings: Surroundings) -> Cabinet:
    """Open a driver that is a whole station's. Raises ``DriverUnavailable``."""
    hardware = await kind.open(settings, surroundings)
    if isinstance(hardware, Cabinet):
        return hardware
    await hardware.aclose()
    raise DriverUnavailable(device=type(hardware).__name__, reason="is not all of a station; mend its driver")
