"""Register maps: what a Modbus device keeps where, as data.

A map is a YAML file that names the manufacturer's document it was taken from. Those in this folder are known
by their file's name; a station may name a file of its own. The driver reads devices by them, and the
emulator lays out its registers by them; each has its own arithmetic, so that a mistake in one shows.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Final, TypeVar

from msgspec import Meta, Struct

from evswap_edge.documents import Document, NameOrFile
from evswap_edge.registers.layout import (
    Address,
    Baudrate,
    ByteOrder,
    Encoding,
    Factory,
    Flag,
    Heartbeat,
    Parity,
    Place,
    Quantity,
    Several,
    StopBits,
    Switch,
    Table,
    Text,
    Unit,
    WordOrder,
)

__all__ = [
    "Address",
    "AnyMap",
    "BatteryMap",
    "Baudrate",
    "ByteOrder",
    "ChargerMap",
    "ClimateMap",
    "DeviceMap",
    "Encoding",
    "Factory",
    "Flag",
    "Heartbeat",
    "MapKind",
    "Parity",
    "Place",
    "Quantity",
    "Several",
    "StopBits",
    "Switch",
    "Table",
    "Text",
    "Unit",
    "UnknownMap",
    "WordOrder",
    "names",
    "nearest_of",
    "read_battery_map",
    "read_charger_map",
    "read_climate_map",
    "read_map",
]

_FOLDER: Final = Path(__file__).parent
_SUFFIX: Final = ".yaml"


class MapKind(StrEnum):
    """What a map is of."""

    CLIMATE = "climate"
    BATTERY = "battery"
    CHARGER = "charger"


class DeviceMap(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every map has. ``document`` is the source of it all; ``read_across`` the registers that are read
    along where they lie between two that are needed and the device is known to have them."""

    title: str
    document: str
    factory: Factory
    kind: MapKind = MapKind.CLIMATE
    read_across: Annotated[int, Meta(ge=0, le=64)] = 0


class ClimateMap(DeviceMap, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A climate sensor: degrees Celsius and percent relative humidity."""

    temperature: Quantity
    humidity: Quantity


class BatteryMap(DeviceMap, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A battery's management system: percent, volts, amperes (positive while charging), degrees Celsius.

    ``temperature`` is the hottest of several places. ``present`` is for a device that goes on answering when
    no battery is there. Where one of ``unreliable`` says yes, the other values are none.
    """

    serial_number: Text
    soc: Quantity
    soh: Quantity
    voltage: Quantity
    current: Quantity
    cycles: Quantity
    temperature: Annotated[tuple[Quantity, ...], Meta(min_length=1, max_length=64)]
    present: Flag | None = None
    unreliable: tuple[Flag, ...] = ()
    heartbeat: Heartbeat | None = None
    several: Several | None = None


class ChargerMap(DeviceMap, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A charger or rectifier. ``enabled`` is feedback, and no echo of what was written to ``switch``;
    ``current`` is in amperes; each of ``faults`` is one by its name."""

    enabled: Flag
    current: Quantity | None = None
    faults: tuple[Flag, ...] = ()
    switch: Switch | None = None
    heartbeat: Heartbeat | None = None
    several: Several | None = None


MapT = TypeVar("MapT", bound=DeviceMap)
AnyMap = ClimateMap | BatteryMap | ChargerMap

_STRUCTS: Final[Mapping[MapKind, type[AnyMap]]] = {
    MapKind.CLIMATE: ClimateMap,
    MapKind.BATTERY: BatteryMap,
    MapKind.CHARGER: ChargerMap,
}


class UnknownMap(Exception):
    """No map of ours has this name; ``nearest`` may be what was meant."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nearest = next(iter(get_close_matches(name, names(), n=1)), None)
        known = "; ".join(f"for {kind}: {', '.join(names(kind))}" for kind in MapKind)
        super().__init__(
            f"no register map is called {name!r}; known are, {known}; or name a file: ./{name}{_SUFFIX}"
        )


def names(kind: MapKind | None = None) -> tuple[str, ...]:
    """The maps that come with the program, all or those of one kind."""
    kinds = _kinds()
    return tuple(name for name in sorted(kinds) if kind in {None, kinds[name]})


def nearest_of(kind: MapKind, choice: NameOrFile) -> str:
    """The map of this kind that is most like what was chosen."""
    return get_close_matches(choice.name, names(kind), n=1, cutoff=0.0)[0]


def read_map(choice: NameOrFile) -> AnyMap:
    """Read a map of whatever kind. Raises ``UnknownMap``, or ``ConfigurationError`` for what is wrong inside
    the file."""
    document = _document(choice)
    return document.convert(document.data, _STRUCTS[_kind(document)])


def read_climate_map(choice: NameOrFile) -> ClimateMap:
    """As ``read_map``; a map of another kind is a ``ConfigurationError`` too."""
    return _read(choice, ClimateMap, MapKind.CLIMATE)


def read_battery_map(choice: NameOrFile) -> BatteryMap:
    """As ``read_map``; a map of another kind is a ``ConfigurationError`` too."""
    return _read(choice, BatteryMap, MapKind.BATTERY)


def read_charger_map(choice: NameOrFile) -> ChargerMap:
    """As ``read_map``; a map of another kind is a ``ConfigurationError`` too."""
    return _read(choice, ChargerMap, MapKind.CHARGER)


def _read(choice: NameOrFile, struct: type[MapT], kind: MapKind) -> MapT:
    document = _document(choice)
    if (found := _kind(document)) is not kind:
        problem = f"is a map for {found}, and one for {kind} is needed"
        raise document.error(("kind",), problem, nearest=nearest_of(kind, choice))
    return document.convert(document.data, struct)


def _document(choice: NameOrFile) -> Document:
    if choice.file is None and choice.name not in _kinds():
        raise UnknownMap(choice.name)
    return Document(choice.file or _FOLDER / f"{choice.name}{_SUFFIX}")


def _kind(document: Document) -> MapKind:
    """The first maps did not say what they are of: it was always the climate."""
    said = document.data.get("kind", MapKind.CLIMATE) if isinstance(document.data, Mapping) else None
    try:
        return MapKind(said or MapKind.CLIMATE)
    except ValueError:
        nearest = next(iter(get_close_matches(str(said), [each.value for each in MapKind], n=1)), None)
        problem = f"has to be {', '.join(MapKind)}; found {said!r}"
        raise document.error(("kind",), problem, nearest=nearest) from None


@cache
def _kinds() -> Mapping[str, MapKind]:
    """The maps that come with the program, and what each is of."""
    return {file.stem: _kind(Document(file)) for file in sorted(_FOLDER.glob(f"*{_SUFFIX}"))}
