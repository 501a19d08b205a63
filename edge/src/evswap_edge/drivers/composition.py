"""Which driver is for what in a station of several, and whether that makes a whole station. Pure: nothing is
opened."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct

from evswap_edge.documents import KeyPath, dotted
from evswap_edge.drivers import DriverKind, Role
from evswap_edge.drivers.bays import written

BAY_ROLES: Final = (Role.BAYS, Role.BATTERIES, Role.LOCKS, Role.CHARGERS)
"""Those that are filled bay by bay."""
_THINGS: Final = (
    (Role.BATTERIES, "battery", ""),
    (Role.LOCKS, "lock", "lock unknown, and not to be opened"),
    (Role.CHARGERS, "charge", "charge from the battery's own current"),
)
"""What a bay has, beside who says it, and what is said where nobody does."""
_FOR_ONE: Final = (Role.CLIMATE, Role.READER)
"""Those of which a station has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The driver that was chosen for a role, its settings, its bays, and ``at`` which key it stands."""

    role: Role
    name: str
    kind: DriverKind[Any]
    settings: Any
    bays: tuple[int, ...] = ()
    at: KeyPath = ()


class Composition(Struct, frozen=True):
    """All drivers of a station."""

    parts: tuple[Part, ...]

    def of(self, role: Role) -> tuple[Part, ...]:
        """Those that fill ``role``."""
        return tuple(part for part in self.parts if part.role is role)

    def holder(self, role: Role, bay: int) -> Part | None:
        """Who fills ``role`` for ``bay``."""
        return next((part for part in self.of(role) if bay in part.bays), None)

    @property
    def bays(self) -> tuple[int, ...]:
        """All bays of the station, in order."""
        return tuple(sorted(_bays_of(self.of(Role.BAYS)) | _bays_of(self.of(Role.BATTERIES))))


def outline(station: Composition) -> Iterator[str]:
    """What is read from where, for people: first what is the station's, then bay by bay."""
    for part in station.parts:
        if part.role not in BAY_ROLES:
            yield f"{part.role} from {_source(part, None)}"
    for bay in station.bays:
        yield f"bay {bay}: {'; '.join(_sources(station, bay))}"


class CompositionRefused(Exception):
    """The drivers do not make a station: ``problem`` is what is wrong with the one ``at`` this key."""

    def __init__(self, at: KeyPath, problem: str) -> None:
        self.at = at
        self.problem = problem
        super().__init__(problem)


def require_whole(station: Composition) -> None:
    """Each bay has to have one driver for each of its things, and nobody else's. Raises
    ``CompositionRefused``."""
    _require_one_each(station)
    _require_bays(station)
    for role in BAY_ROLES:
        _refuse_overlaps(station.of(role))
    _refuse_both(station)
    _refuse_missing_numbers(station)
    for role in (Role.LOCKS, Role.CHARGERS):
        _require_same_bays(station, role)
    _refuse_shared_claims(station)


def _require_one_each(station: Composition) -> None:
    for role in _FOR_ONE:
        if len(sections := station.of(role)) > 1:
            raise CompositionRefused(sections[1].at, f"a station has one driver for the {role}")


def _require_bays(station: Composition) -> None:
    for part in station.parts:
        if part.role in BAY_ROLES and not part.bays:
            raise CompositionRefused(part.at, f"the driver {part.name} does not say which bays it is for")


def _refuse_overlaps(sections: Sequence[Part]) -> None:
    for index, section in enumerate(sections):
        for other in sections[:index]:
            for bay in _common(section, other):
                problem = f"bay {bay} already has its {section.role} from {dotted(other.at)} ({other.name})"
                raise CompositionRefused(section.at, problem)


def _refuse_both(station: Composition) -> None:
    """``bays`` is everything of a bay: nobody else can have a part of it."""
    for whole in station.of(Role.BAYS):
        for role in (Role.BATTERIES, Role.LOCKS, Role.CHARGERS):
            for section in station.of(role):
                for bay in _common(section, whole):
                    problem = (
                        f"bay {bay} already has everything from {dotted(whole.at)} ({whole.name}); leave it "
                        "out of one of them"
                    )
                    raise CompositionRefused(section.at, problem)


def _refuse_missing_numbers(station: Composition) -> None:
    bays = station.bays
    for bay in range(1, bays[-1] if bays else 0):
        if bay not in bays:
            last = next(part for part in station.parts if part.role in BAY_ROLES and bays[-1] in part.bays)
            problem = f"bay {bay} has no driver, and there are bays up to {bays[-1]}"
            raise CompositionRefused(last.at, problem)


def _require_same_bays(station: Composition, role: Role) -> None:
    """Who names a driver for locks or chargers means all bays whose batteries have one."""
    sections = station.of(role)
    if not sections:
        return
    batteries, had = _bays_of(station.of(Role.BATTERIES)), _bays_of(sections)
    for bay in sorted(batteries - had):
        problem = f"bay {bay} has none, and bays {written(tuple(had))} have"
        raise CompositionRefused(sections[-1].at, problem)
    for section in sections:
        for bay in section.bays:
            if bay not in batteries:
                problem = f"bay {bay} has no driver for its battery: name it in driver.batteries too"
                raise CompositionRefused(section.at, problem)


def _refuse_shared_claims(station: Composition) -> None:
    owners: dict[str, KeyPath] = {}
    for part in station.parts:
        for setting, claimed in part.kind.claims(part.settings).items():
            at = (*part.at, setting)
            if (owner := owners.setdefault(claimed, at)) is not at:
                raise CompositionRefused(at, f"{claimed} is already used by {dotted(owner)}")


def _sources(station: Composition, bay: int) -> Iterator[str]:
    if whole := station.holder(Role.BAYS, bay):
        yield f"everything from {_source(whole, bay)}"
        return
    for role, thing, otherwise in _THINGS:
        part = station.holder(role, bay)
        yield f"{thing} from {_source(part, bay)}" if part else otherwise


def _source(part: Part, bay: int | None) -> str:
    where = part.kind.where(part.settings, bay)
    return f"{part.name} ({where})" if where else part.name


def _common(one: Part, other: Part) -> Iterator[int]:
    return (bay for bay in one.bays if bay in other.bays)


def _bays_of(parts: Sequence[Part]) -> frozenset[int]:
    return frozenset(bay for part in parts for bay in part.bays)
