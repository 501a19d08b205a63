"""A component's configuration, as nucleus lite keeps it."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

KeyPath = tuple[str, ...]


class Configuration:
    """A tree of settings that deployments are merged into."""

    def __init__(self, defaults: Mapping[str, Any]) -> None:
        """``defaults`` are those of a recipe in YAML, whose scalars nucleus lite takes for text: 5 becomes
        '5'."""
        self._tree: dict[str, Any] = _as_text(defaults)

    def read(self, key_path: Sequence[str]) -> Any:
        """What stands at ``key_path``. A single value comes with its name. Raises ``KeyError``."""
        found: Any = self._tree
        for key in key_path:
            if not isinstance(found, Mapping):
                raise KeyError(key)
            found = found[key]
        return deepcopy(found if isinstance(found, Mapping) else {key_path[-1]: found})

    def merge(self, key_path: Sequence[str], value: Mapping[str, Any]) -> list[KeyPath]:
        """Merge ``value`` in at ``key_path`` and return the paths of what is different now. A value that is
        None stays one. Raises ``KeyError`` when ``key_path`` leads through a single value."""
        at = self._tree
        for key in key_path:
            at = at.setdefault(key, {})
            if not isinstance(at, dict):
                raise KeyError(key)
        return list(_merged(at, value, tuple(key_path)))


def _merged(into: dict[str, Any], value: Mapping[str, Any], at: KeyPath) -> Iterator[KeyPath]:
    for key, wanted in value.items():
        if isinstance(wanted, Mapping):
            if not isinstance(into.get(key), dict):
                into[key] = {}
            yield from _merged(into[key], wanted, (*at, key))
        elif key not in into or into[key] != wanted:
            into[key] = deepcopy(wanted)
            yield (*at, key)


def _as_text(value: Any) -> Any:
    match value:
        case Mapping():
            return {str(key): _as_text(inner) for key, inner in value.items()}
        case list():
            return [_as_text(inner) for inner in value]
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
    return value
