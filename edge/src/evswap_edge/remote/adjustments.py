"""What may be changed about a station from afar, and what was.

Adjustments are a tree of some keys of station.yaml, such as ``{"sampling": {"interval_s": 10}}``. They lie
over the station's own file, which they never touch: without them the station is as that file says. Identity,
driver, transport and the place of the outbox cannot be adjusted: a mistake there could not be taken back from
afar.
"""

import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec
from msgspec import Struct

from evswap_edge.config import Configuration, OutboxLimits
from evswap_edge.documents import Document, GivenDocument
from evswap_edge.files import write_private

Adjustments = Mapping[str, Any]

SOURCE: Final = "configuration from afar"

_log: Final = logging.getLogger(__name__)


def adjusted(base: Configuration, adjustments: Any, *, fixed: Collection[str] = ()) -> Configuration:
    """``base``, a station's, with ``adjustments`` over it, held to the rules of station.yaml. The sections
    that are ``fixed`` cannot be adjusted here.

    Raises ``ConfigurationError``, whose ``key`` names the first adjustment at fault; then none applies.
    """
    document = _Told(adjustments, source=SOURCE)
    if not isinstance(adjustments, Mapping):
        raise document.error((), f"has to hold sections of station.yaml; found {adjustments!r:.60}")
    known = {name: section for name, section in adjustable(base).items() if name not in fixed}
    for name in adjustments:
        if name not in known:
            raise document.unknown((name,), known)
    sections = {name: _adjusted_section(document, name, known[name]) for name in adjustments}
    return _with_sections(base, sections)


def adjustable(base: Configuration) -> dict[str, Struct]:
    """The sections of ``base`` that adjustments may name, as they are."""
    (station,) = base.stations
    bounds = station.outbox_bounds
    return {
        "sampling": station.sampling,
        "reporting": station.reporting,
        "publishing": station.publishing,
        "outbox": OutboxLimits(max_bytes=bounds.max_bytes, max_age_days=bounds.max_age_days),
        "log": base.log,
    }


def settings_of(configuration: Configuration) -> dict[str, Any]:
    """The value of every adjustable key, section by section."""
    return {name: msgspec.to_builtins(section) for name, section in adjustable(configuration).items()}


def patched(adjustments: Adjustments, patch: Adjustments) -> dict[str, Any]:
    """``adjustments`` with those of ``patch`` over them; None takes one away (RFC 7396)."""
    merged = dict(adjustments)
    for name, told in patch.items():
        merged[name] = _merged(merged.get(name), told) if isinstance(told, Mapping) else told
    return {name: value for name, value in merged.items() if value is not None}


def shallow(told: Mapping[str, Any]) -> dict[str, Any]:
    """``told`` as far down as adjustments go. What a stranger nests below that (no key holds anything there)
    is emptied, so that it can be looked at, compared and refused at no risk."""
    return {
        name: {key: _emptied(value) for key, value in section.items()}
        if isinstance(section, Mapping)
        else _emptied(section)
        for name, section in told.items()
    }


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


def _merged(section: Any, patch: Mapping[str, Any]) -> dict[str, Any]:
    known = dict(section) if isinstance(section, Mapping) else {}
    return {key: value for key, value in (known | dict(patch)).items() if value is not None}


def _emptied(value: Any) -> Any:
    return type(value)() if isinstance(value, dict | list) else value


def _adjusted_section(document: Document, name: str, section: Struct) -> Struct:
    given = document.data[name]
    if not isinstance(given, Mapping):
        raise document.error((name,), f"expected object; found {given!r:.60}")
    return document.convert(msgspec.to_builtins(section) | dict(given), type(section), at=(name,))


def _with_sections(base: Configuration, sections: Mapping[str, Any]) -> Configuration:
    told = dict(sections)
    log = told.pop("log", base.log)
    if (limits := told.pop("outbox", None)) is not None:
        told["outbox_bounds"] = limits.bounds()
    (station,) = base.stations
    return replace(base, stations=(replace(station, **told),), log=log)
