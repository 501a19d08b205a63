"""Find a driver or a transport by its name, and import only the one that is used.

PluginError
├── UnknownPlugin       no such name; ``nearest`` may be what was meant
└── PluginUnavailable   known, but its library is not installed; ``install`` is the line that installs it

``importlib.metadata`` brings modules along for more than 1 MB of memory; it is imported when one is sought
that is not ours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from evswap_edge.lean import with_openssl

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_DISTRIBUTION: Final = "evswap-edge"
_ALL_REQUIRED: Final = "pip install --require-hashes -r requirements/station.txt"


class PluginError(Exception):
    """The root of what can go wrong with a driver or transport before it is opened."""


class UnknownPlugin(PluginError):
    """No driver or transport has this name."""

    def __init__(self, *, kind: str, name: str, known: tuple[str, ...]) -> None:
        self.name = name
        self.known = known
        self.nearest = next(iter(get_close_matches(name, known, n=1)), None)
        hint = f"did you mean {self.nearest!r}? " if self.nearest else ""
        super().__init__(f"no {kind} is called {name!r}; {hint}known are: {', '.join(known)}")


class PluginUnavailable(PluginError):
    """The driver or transport is known, but a library that it needs is not installed."""

    def __init__(self, *, kind: str, name: str, missing: str, install: str) -> None:
        self.name = name
        self.missing = missing
        self.install = install
        super().__init__(f"the {kind} {name!r} needs the library {missing!r}; install it with: {install}")


@dataclass(frozen=True, slots=True)
class Builtin:
    """Where a plug-in of ours lives, which extra of this distribution has the libraries that it needs, and
    whether one of them is Python's ``ssl``, which a station is spared otherwise."""

    target: str
    extra: str | None = None
    needs_openssl: bool = False

    def install(self) -> str:
        """The line that installs its libraries. Ours is in no package index, so they are named one by one."""
        if self.extra is None:
            return _ALL_REQUIRED
        libraries = " ".join(f"'{library}'" for library in _required(self.extra))
        return f"pip install {libraries} (the extra {self.extra!r} of {_DISTRIBUTION})"


def _required(extra: str) -> list[str]:
    """The libraries of an extra of ours, as its declaration has them."""
    from importlib.metadata import requires

    lines = (line.partition(";") for line in requires(_DISTRIBUTION) or ())
    return [library.strip() for library, _, marker in lines if marker.strip() == f"extra == '{extra}'"]


def load(name: str, *, kind: str, builtins: Mapping[str, Builtin], group: str) -> Any:
    """Import the object behind ``name``: one of ours, or one that another distribution offers in ``group``.

    Ours win over a stranger of the same name. Raises ``UnknownPlugin`` or ``PluginUnavailable``.
    """
    builtin = builtins.get(name)
    if builtin is None or builtin.needs_openssl:
        with_openssl()
    if builtin is not None:
        return _import(builtin.target, kind=kind, name=name, install=builtin.install)
    from importlib.metadata import entry_points

    offered = {entry.name: entry for entry in entry_points(group=group)}
    if entry := offered.get(name):
        return _import(entry.value, kind=kind, name=name, install=lambda: _install_line(entry))
    raise UnknownPlugin(kind=kind, name=name, known=tuple(sorted({*builtins, *offered})))


def _import(target: str, *, kind: str, name: str, install: Callable[[], str]) -> Any:
    module, _, attribute = target.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise PluginUnavailable(
            kind=kind, name=name, missing=error.name or module, install=install()
        ) from error


def _install_line(entry: "EntryPoint") -> str:
    return f"pip install {entry.dist.name if entry.dist else entry.module}"
