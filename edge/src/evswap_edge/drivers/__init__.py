"""The station's hardware by name. A driver is imported when a configuration names it, and not before.

Another distribution adds a driver with an entry point in the group ``evswap_edge.drivers`` that names a
``DriverKind``.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct

from evswap_edge import plugins
from evswap_edge.clock import TimeSource
from evswap_edge.hal import Cabinet
from evswap_edge.plugins import Builtin

SettingsT = TypeVar("SettingsT", bound=Struct)

ENTRY_POINTS: Final = "evswap_edge.drivers"
BUILTINS: Final = {
    "simulated": Builtin("evswap_edge.drivers.simulated:KIND"),
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a driver may know beside its own settings."""

    station_id: str
    time: TimeSource


@dataclass(frozen=True, slots=True)
class DriverKind(Generic[SettingsT]):
    """A driver: what it lets be configured, and how it is opened.

    ``settings`` is a frozen struct that forbids unknown fields; its constraints and defaults are the
    driver's own. ``open`` raises ``DriverUnavailable``.
    """

    settings: type[SettingsT]
    open: Callable[[SettingsT, Surroundings], Awaitable[Cabinet]]


def load_driver(name: str) -> DriverKind[Any]:
    """The driver called ``name``. Raises ``UnknownPlugin`` or ``PluginUnavailable``."""
    kind: DriverKind[Any] = plugins.load(name, kind="driver", builtins=BUILTINS, group=ENTRY_POINTS)
    return kind
