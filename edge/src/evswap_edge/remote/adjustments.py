"""What may be changed about a station from afar, and what was.

Adjustments are a tree of some keys of station.yaml, such as ``{"sampling": {"interval_s": 10}}``. They lie
over the station's own file, which they never touch: without them the station is as that file says. Identity,
driver, transport and the place of the outbox cannot be adjusted: a mistake there could not be taken back from
afar.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec
from msgspec import Struct

from evswap_edge.config import Configuration
from evswap_edge.documents import Document, GivenDocument
from evswap_edge.files import write_private

Adjustments = Mapping[str, Any]

ADJUSTABLE: Final[Mapping[str, frozenset[str] | None]] = {
    "sampling": None,
    "reporting": None,
    "publishing": None,
    "outbox": frozenset({"max_bytes", "max_age_days"}),
    "log": None,
}
"""The sections of station.yaml, and their keys; None: all of them."""

SOURCE: Final = "configuration from afar"

_log: Final = logging.getLogger(__name__)


def adjusted(base: Configuration, adjustments: Any) -> Configuration:
    """``base``, a station's, with ``adjustments`` over it, held to the rules of station.yaml.

    Raises ``ConfigurationError``, whose ``key`` names the first adjustment at fault; then none applies.
    """
    document = _Told(adjustments, source=SOURCE)
    if not isinstance(adjustments, Mapping):
        raise document.error((), f"has to hold sections of station.yaml; found {adjustments!r:.60}")
    known = adjustable(base)
    for name in adjustments:
        if name not in known:
            raise document.unknown((name,), known)
    sections = {name: _adjusted_section(document, name, known[name]) for name in adjustments}
    return _with_sections(base, sections)


def adjustable(base: Configuration) -> dict[str, Struct]:
    """The sections of ``base`` that adjustments may name, as they are."""
    (station,) = base.stations
    sections = {name: getattr(station, name, None) for name in ADJUSTABLE} | {"log": base.log}
    return {name: section for name, section in sections.items() if section is not None}


def settings_of(configuration: Configuration) -> dict[str, dict[str, Any]]:
    """The value of every adjustable key."""
    return {
        name: {key: msgspec.to_builtins(getattr(section, key)) for key in _keys(name, section)}
        for name, section in adjustable(configuration).items()
    }


def patched(adjustments: Adjustments, patch: Adjustments) -> dict[str, Any]:
    """``adjustments`` with those of ``patch`` over them; None takes one away (RFC 7396)."""
    merged = dict(adjustments)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            known = merged.get(name)
            merged[name] = patched(known if isinstance(known, Mapping) else {}, value)
        else:
            merged[name] = value
    return merged


class AdjustmentsFile:
    """The adjustments that the station last ran with, beside its outbox."""

    def __init__(self, outbox: Path, *, station_id: str) -> None:
        self.path = outbox.with_name(f"{outbox.name}.adjustments")
        self._station_id = station_id

    def read(self) -> Adjustments:
        """What was kept; nothing when that cannot be read, or was another station's (a copied card)."""
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            _log.warning("%s cannot be read: %s; the station's own file applies", self.path, error)
            return {}
        ours = isinstance(kept, Mapping) and kept.get("station_id") == self._station_id
        adjustments = kept.get("adjustments") if ours else None
        return adjustments if isinstance(adjustments, Mapping) else {}

    def keep(self, adjustments: Adjustments) -> None:
        """Remember ``adjustments``. Without it only the next start would not know them: no reason to fail."""
        content = {"station_id": self._station_id, "adjustments": adjustments}
        try:
            write_private(self.path, json.dumps(content).encode(), replace=True)
        except OSError as error:
            _log.warning("adjustments cannot be remembered in %s: %s", self.path, error)


class _Told(GivenDocument):
    """Adjustments come as JSON, which has numbers: a number as text is a mistake."""

    _strict: ClassVar[bool] = True


def _adjusted_section(document: Document, name: str, section: Struct) -> Struct:
    given = document.data[name]
    if not isinstance(given, Mapping):
        raise document.error((name,), f"expected object; found {given!r:.60}")
    keys = _keys(name, section)
    for key in given:
        if key not in keys:
            raise document.unknown((name, key), keys)
    whole = msgspec.to_builtins(section) | {key: value for key, value in given.items() if value is not None}
    return document.convert(whole, type(section), at=(name,))


def _keys(name: str, section: Struct) -> list[str]:
    allowed = ADJUSTABLE[name]
    return [key for key in section.__struct_fields__ if allowed is None or key in allowed]


def _with_sections(base: Configuration, sections: Mapping[str, Struct]) -> Configuration:
    of_the_station: dict[str, Any] = {name: value for name, value in sections.items() if name != "log"}
    (station,) = base.stations
    log: Any = sections.get("log", base.log)
    return replace(base, stations=(replace(station, **of_the_station),), log=log)
