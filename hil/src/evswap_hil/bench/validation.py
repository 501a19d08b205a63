"""Whether a bench's YAML describes a bench: labgrid itself lets most mistakes pass until they hurt.

Nothing is switched or connected: what is found is what can be found without the hardware.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import attr
from labgrid import Environment
from labgrid.binding import BindingError
from labgrid.config import Config
from labgrid.exceptions import InvalidConfigError, NoConfigFoundError, NoSupplierFoundError
from labgrid.factory import TargetFactory, target_factory

from evswap_hil.bench.strategy import StationStrategy

TARGET: Final = "main"

_TOP: Final = ("targets", "imports", "options", "tools", "features", "paths", "images")
_OF_TARGET: Final = ("resources", "drivers", "options", "features")
_GIVEN_BY_LABGRID: Final = frozenset({"target", "name", "state"})
_OF_EVERY_ITEM: Final = frozenset({"cls", "name"})
_BINDINGS: Final = "bindings"


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where in the YAML."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def problems_of(file: Path) -> list[Problem]:
    """Everything that is wrong; empty where nothing is. What hides other mistakes comes alone."""
    try:
        config = Config(str(file))
    except (NoConfigFoundError, InvalidConfigError, TypeError, OSError) as error:
        return [Problem(file.name, str(error))]
    if not isinstance(config.data, Mapping):
        return [Problem(file.name, f"has to be a mapping with {', '.join(_TOP)}")]
    return list(_outline(config)) or list(_parts(config)) or list(_whole(file))


# --- the outline ----------------------------------------------------------------------------------


def _outline(config: Config) -> Iterator[Problem]:
    yield from _unknown(config.data, _TOP, "top level")
    yield from _imports(config.data.get("imports", []))
    targets = config.data.get("targets")
    if not isinstance(targets, Mapping) or not isinstance(targets.get(TARGET), Mapping):
        yield Problem("targets", f"has to have {TARGET!r}, the station under test")
        return
    for name, target in targets.items():
        where = f"targets.{name}"
        if not isinstance(target, Mapping):
            yield Problem(where, f"has to be a mapping with {', '.join(_OF_TARGET)}")
            continue
        yield from _unknown(target, _OF_TARGET, where)


def _imports(imports: Any) -> Iterator[Problem]:
    if not isinstance(imports, list):
        yield Problem("imports", "has to be a list of modules")
        return
    for name in imports:
        if str(name).endswith(".py"):
            continue
        try:
            import_module(str(name))
        except ImportError as error:
            yield Problem("imports", f"{name} cannot be imported: {error}")


# --- resources and drivers, one by one ------------------------------------------------------------


def _parts(config: Config) -> Iterator[Problem]:
    for name, target in config.data["targets"].items():
        for section, known in (("resources", target_factory.resources), ("drivers", target_factory.drivers)):
            yield from _section(target.get(section, {}), known, f"targets.{name}.{section}")


def _section(items: Any, known: Mapping[str, type], where: str) -> Iterator[Problem]:
    try:
        entries = TargetFactory._convert_to_named_list(items)
    except (InvalidConfigError, AttributeError, TypeError, ValueError) as error:
        yield Problem(where, f"{error}; write `Name: {{}}` for one without arguments")
        return
    for entry in entries:
        yield from _entry(entry, known, where)


def _entry(entry: Mapping[str, Any], known: Mapping[str, type], where: str) -> Iterator[Problem]:
    name = str(entry["cls"])
    cls = known.get(name)
    if cls is None:
        yield Problem(where, f"unknown class {name}{_nearest(name, known)}")
        return
    fields = [field for field in attr.fields(cls) if field.init and field.name not in _GIVEN_BY_LABGRID]
    allowed = {field.name for field in fields} | ({_BINDINGS} if hasattr(cls, _BINDINGS) else set())
    given = {key: value for key, value in entry.items() if key not in _OF_EVERY_ITEM}
    place = f"{where}.{name}"
    yield from _unknown(given, allowed, place)
    for field in fields:
        if field.default is attr.NOTHING and field.name not in given:
            yield Problem(place, f"the key {field.name} is missing")


# --- the whole ------------------------------------------------------------------------------------


def _whole(file: Path) -> Iterator[Problem]:
    """Values that a class refuses, drivers that find nothing to work with, and no way from state to state."""
    environment = Environment(str(file))
    for name in environment.config.get_targets():
        where = f"targets.{name}"
        built = _built(environment, name)
        if isinstance(built, str):
            yield Problem(where, built)
        elif name == TARGET and not any(isinstance(each, StationStrategy) for each in built.drivers):
            yield Problem(
                f"{where}.drivers", f"there is no {StationStrategy.__name__}, which the suites ask for"
            )


def _built(environment: Environment, name: str) -> Any:
    """The target, or why it cannot be made, as text."""
    try:
        return environment.get_target(name)
    except (InvalidConfigError, BindingError, NoSupplierFoundError) as error:
        cause = error.__cause__ if isinstance(error, InvalidConfigError) and error.__cause__ else error
        return str(getattr(cause, "msg", None) or cause)
    except (TypeError, ValueError, ImportError) as error:
        return str(error.args[0] if error.args else error)


def _unknown(given: Iterable[str], known: Iterable[str], where: str) -> Iterator[Problem]:
    names = list(known)
    for key in given:
        if key not in names:
            yield Problem(where, f"unknown key {key}{_nearest(str(key), names)}")


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    found = difflib.get_close_matches(name, names, n=1)
    if found:
        return f"; did you mean {found[0]}?"
    return f"; known are {', '.join(names)}" if 0 < len(names) <= 10 else ""
