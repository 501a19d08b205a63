"""What is dangerous, and what is locked out for it. Pure: a state and an observation give the next state and
what has been locked out by it.

    what is seen ──► causes that are present ──► locked out, until released
                     (come and go)               (never goes by itself)

A cause that comes locks its bay out; that it goes only lets a person release the bay. What cannot be seen for
too long is danger too. After a restart every cause for which a bay is locked out is taken for present, until
it is seen that it is not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise
from typing import Final

from evswap_edge.config import SafetyRules
from evswap_edge.drivers.merging import bay_problem
from evswap_edge.hal import Climate, Safety
from evswap_schema import Bay, Charge, Health, Occupancy

CABINET: Final = 0
"""In the place of a bay: all of them."""


class Cause(StrEnum):
    """Why something is locked out."""

    OVER_TEMPERATURE = "over_temperature"
    FAST_RISE = "fast_rise"
    """The battery grows hot faster than charging makes it."""
    FAULT = "fault"
    """The bay, its charger or the battery's management system says that it is broken."""
    BLOCKED_DOOR = "blocked_door"
    SMOKE = "smoke"
    HOT_CABINET = "hot_cabinet"
    UNREAD = "unread"
    """It could not be seen for too long whether a bay, or any bay of the cabinet, is in danger."""
    INPUTS_UNREAD = "inputs_unread"
    """The same of the safety inputs."""
    LATCH_DAMAGED = "latch_damaged"
    """What was locked out before the restart cannot be read any more."""


Found = Mapping[Cause, str]
"""Causes, each with what was seen of it."""


@dataclass(frozen=True, slots=True)
class BaysRead:
    bays: Sequence[Bay]


@dataclass(frozen=True, slots=True)
class BaysUnread:
    reason: str


@dataclass(frozen=True, slots=True)
class InputsRead:
    safety: Safety


@dataclass(frozen=True, slots=True)
class InputsUnread:
    reason: str


@dataclass(frozen=True, slots=True)
class ClimateRead:
    climate: Climate


Observation = BaysRead | BaysUnread | InputsRead | InputsUnread | ClimateRead


@dataclass(frozen=True, slots=True)
class Warmth:
    """A battery's ``temperature``, in degrees Celsius, at a moment."""

    at: float
    temperature: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is known of a bay. ``charging`` is None where its feedback does not say."""

    seen_at: float
    unread_because: str = "it was never read"
    charging: bool | None = None
    tells_battery: bool = False
    """It has told of a battery before: one that it is silent about is no battery that tells nothing."""
    serial_number: str | None = None
    warmth: tuple[Warmth, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All that the interlock knows. Places are bays, or ``CABINET``."""

    began_at: float
    inputs_seen_at: float | None
    """None: there are no inputs to be seen."""
    bays_unread_because: str = "they were never read"
    bays: Mapping[int, Watched] = field(default_factory=dict)
    present: Mapping[int, Found] = field(default_factory=dict)
    latched: Mapping[int, Found] = field(default_factory=dict)

    @property
    def to_cut(self) -> frozenset[int]:
        """The bays that must not charge."""
        known = self.bays.keys() if CABINET in self.latched else ()
        return frozenset(self.latched).union(known) - {CABINET}

    def veto(self, bay: int) -> str | None:
        """Why ``bay`` is locked out; None: it is not."""
        found = self.latched.get(bay) or self.latched.get(CABINET)
        return None if not found else f"locked out by the safety interlock: {in_words(found)}"


@dataclass(frozen=True, slots=True)
class LockedOut:
    """``place`` is locked out for a ``cause`` that was not there before."""

    place: int
    cause: Cause
    detail: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The state that follows, and what came of it."""

    state: State
    effects: tuple[LockedOut, ...] = ()


class NotReleased(Exception):
    """A place stays as it is. ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def begun(
    now: float, *, bays: Sequence[int], has_inputs: bool, latched: Mapping[int, Found] | None = None
) -> State:
    """The state of a process that begins at ``now``, with what was ``latched`` when the one before ended.
    ``bays`` are those that are known to exist."""
    latched = latched or {}
    known = sorted({*bays, *latched} - {CABINET})
    return State(
        began_at=now,
        inputs_seen_at=now if has_inputs else None,
        bays={bay: Watched(seen_at=now) for bay in known},
        present={place: _that_may_persist(found) for place, found in latched.items()},
        latched=latched,
    )


def observed(state: State, observation: Observation, now: float, rules: SafetyRules) -> Outcome:
    """What follows from ``observation``, made at ``now`` (monotonic seconds)."""
    match observation:
        case BaysRead(bays):
            return _without_the_unread(_bays_read(state, bays, now, rules), now, rules)
        case BaysUnread(reason):
            return _without_the_unread(Outcome(_blind(state, reason)), now, rules)
        case InputsRead(safety):
            return _inputs_read(state, safety, now)
        case InputsUnread(reason):
            return _inputs_unread(state, reason, now, rules)
        case ClimateRead(climate):
            return _climate_read(state, climate, rules)


def released(state: State, place: int) -> State:
    """``place`` is no longer locked out. Raises ``NotReleased`` while a cause is present."""
    if place not in state.latched:
        raise NotReleased(f"{name_of(place)} is not locked out")
    if still := state.present.get(place):
        raise NotReleased(f"{name_of(place)} stays locked out, the cause persists: {in_words(still)}")
    return replace(state, latched={at: found for at, found in state.latched.items() if at != place})


def in_words(found: Found) -> str:
    """For people."""
    return "; ".join(f"{cause} ({detail})" for cause, detail in found.items())


def name_of(place: int) -> str:
    """For people."""
    return "the cabinet" if place == CABINET else f"bay {place}"


def _that_may_persist(found: Found) -> Found:
    """A damaged file is replaced at once; that it was damaged is why somebody has to look."""
    return {cause: detail for cause, detail in found.items() if cause is not Cause.LATCH_DAMAGED}


# --- bays -------------------------------------------------------------------------------------------------


def _bays_read(state: State, bays: Sequence[Bay], now: float, rules: SafetyRules) -> Outcome:
    known, found = dict(state.bays), dict[int, Mapping[Cause, str | None]]()
    for bay in bays:
        before = known.get(bay.bay) or Watched(seen_at=state.began_at)
        if problem := _unread_problem(before, bay):
            known[bay.bay] = replace(before, unread_because=problem, charging=None)
            found[bay.bay] = dict(_found_unread(bay, rules))
        else:
            known[bay.bay] = _watched(before, bay, now, rules)
            found[bay.bay] = dict(_found(before, known[bay.bay], bay, rules))
    outcome = Outcome(replace(state, bays=known))
    for number, causes in found.items():
        outcome = _with_more(outcome, number, causes)
    return _with_more(outcome, CABINET, {Cause.UNREAD: None} if bays else {})


def _watched(before: Watched, bay: Bay, now: float, rules: SafetyRules) -> Watched:
    battery = bay.battery
    charging = bay.charge is Charge.CHARGING
    if battery is None:
        return replace(before, seen_at=now, charging=charging, serial_number=None, warmth=())
    same = before.serial_number == battery.serial_number
    warmth = (*(before.warmth if same else ()), Warmth(now, battery.temperature))
    return Watched(
        seen_at=now,
        charging=charging,
        tells_battery=True,
        serial_number=battery.serial_number,
        warmth=tuple(_still_of_use(warmth, now - rules.rise_for_s)),
    )


def _unread_problem(before: Watched, bay: Bay) -> str | None:
    """Why the bay does not show whether it is in danger; None: it does."""
    if problem := bay_problem(bay):
        return problem
    if bay.occupancy is Occupancy.UNKNOWN:
        return "its battery cannot be read"
    silent = bay.occupancy is Occupancy.OCCUPIED and bay.battery is None
    if silent and (before.tells_battery or bay.health is Health.FAULT):
        return "its battery is silent"
    return None


def _still_of_use(warmth: Sequence[Warmth], since: float) -> Iterator[Warmth]:
    """What was measured after ``since``, and the last before it."""
    for each, following in pairwise(warmth):
        if following.at > since:
            yield each
    yield warmth[-1]


def _found(
    before: Watched, watched: Watched, bay: Bay, rules: SafetyRules
) -> Iterator[tuple[Cause, str | None]]:
    """Which causes are present, each with what is seen of it, and which are not (None). Of the others nothing
    new is known."""
    yield Cause.UNREAD, None
    yield Cause.FAULT, "it reports a fault" if bay.health is Health.FAULT else None
    if bay.occupancy is Occupancy.EMPTY:
        yield Cause.OVER_TEMPERATURE, None
        yield Cause.FAST_RISE, None
    if bay.battery is None:
        return
    another = before.serial_number not in {None, watched.serial_number}
    cool = bay.battery.temperature < rules.battery_limit_c - rules.battery_hysteresis_k
    if _is_too_hot(bay, rules):
        yield Cause.OVER_TEMPERATURE, _how_hot(bay, rules)
    elif another or cool:
        yield Cause.OVER_TEMPERATURE, None
    rise = _rise(watched.warmth, rules.rise_for_s)
    if rise is not None and rise >= rules.rise_k_per_s:
        yield Cause.FAST_RISE, f"{rise:.1f} K/s to {_celsius(bay)}, limit {rules.rise_k_per_s:g} K/s"
    elif rise is not None or another:
        yield Cause.FAST_RISE, None


def _found_unread(bay: Bay, rules: SafetyRules) -> Iterator[tuple[Cause, str | None]]:
    """The same of a bay that is not to be believed: 300 degrees are no reason to wait for a better one."""
    if _is_too_hot(bay, rules):
        yield Cause.OVER_TEMPERATURE, _how_hot(bay, rules)


def _how_hot(bay: Bay, rules: SafetyRules) -> str:
    return f"{_celsius(bay)}, limit {rules.battery_limit_c:g} °C"


def _is_too_hot(bay: Bay, rules: SafetyRules) -> bool:
    """Of a bay that no contract has looked at: a driver may have put anything into it."""
    temperature: object = getattr(bay.battery, "temperature", None)
    return isinstance(temperature, int | float) and temperature >= rules.battery_limit_c


def _celsius(bay: Bay) -> str:
    return "" if bay.battery is None else f"{bay.battery.temperature:.1f} °C"


def _rise(warmth: Sequence[Warmth], seconds: float) -> float | None:
    """Kelvin a second over the last ``seconds`` or more; None where it was not watched for so long."""
    first, last = warmth[0], warmth[-1]
    elapsed = last.at - first.at
    return (last.temperature - first.temperature) / elapsed if elapsed >= seconds else None


def _blind(state: State, reason: str) -> State:
    blind = {bay: replace(each, charging=None, unread_because=reason) for bay, each in state.bays.items()}
    return replace(state, bays=blind, bays_unread_because=reason)


# --- the cabinet ------------------------------------------------------------------------------------------


def _inputs_read(state: State, safety: Safety, now: float) -> Outcome:
    outcome = _with(
        replace(state, inputs_seen_at=now),
        CABINET,
        {Cause.SMOKE: "the smoke input is active" if safety.smoke else None, Cause.INPUTS_UNREAD: None},
    )
    for bay in sorted(safety.blocked_doors.union(state.bays) - {CABINET}):
        blocked = "its door cannot close" if bay in safety.blocked_doors else None
        outcome = _with_more(outcome, bay, {Cause.BLOCKED_DOOR: blocked})
    return outcome


def _climate_read(state: State, climate: Climate, rules: SafetyRules) -> Outcome:
    limit = rules.cabinet_limit_c
    if climate.temperature >= limit:
        said = f"its air has {climate.temperature:.1f} °C, limit {limit:g} °C"
        return _with(state, CABINET, {Cause.HOT_CABINET: said})
    if climate.temperature < limit - rules.cabinet_hysteresis_k:
        return _with(state, CABINET, {Cause.HOT_CABINET: None})
    return Outcome(state)


# --- what is not seen -------------------------------------------------------------------------------------


def _without_the_unread(outcome: Outcome, now: float, rules: SafetyRules) -> Outcome:
    """After a look at the bays: those are locked out that were not seen for too long, with this look."""
    state = outcome.state
    for bay, watched in state.bays.items():
        if now - watched.seen_at > rules.unread_s:
            outcome = _with_more(outcome, bay, {Cause.UNREAD: _for_so_long(watched.unread_because, rules)})
    if not state.bays and now - state.began_at > rules.unread_s:
        reason = f"the bays: {state.bays_unread_because}"
        outcome = _with_more(outcome, CABINET, {Cause.UNREAD: _for_so_long(reason, rules)})
    return outcome


def _inputs_unread(state: State, reason: str, now: float, rules: SafetyRules) -> Outcome:
    if state.inputs_seen_at is None or now - state.inputs_seen_at <= rules.unread_s:
        return Outcome(state)
    return _with(state, CABINET, {Cause.INPUTS_UNREAD: _for_so_long(reason, rules)})


def _for_so_long(reason: str, rules: SafetyRules) -> str:
    return f"not read for {rules.unread_s:g} s: {reason}"


# --- what follows -----------------------------------------------------------------------------------------


def _with_more(outcome: Outcome, place: int, found: Mapping[Cause, str | None]) -> Outcome:
    more = _with(outcome.state, place, found)
    return Outcome(more.state, outcome.effects + more.effects)


def _with(state: State, place: int, found: Mapping[Cause, str | None]) -> Outcome:
    """The state in which causes came to ``place`` or went, and what is locked out for those that came."""
    present = dict(state.present.get(place, {}))
    latched = dict(state.latched.get(place, {}))
    effects = []
    for cause, detail in found.items():
        if detail is None:
            present.pop(cause, None)
            continue
        present.setdefault(cause, detail)
        if cause not in latched:
            latched[cause] = detail
            effects.append(LockedOut(place, cause, detail))
    state = replace(state, present=_placed(state.present, place, present))
    return Outcome(replace(state, latched=_placed(state.latched, place, latched)), tuple(effects))


def _placed(places: Mapping[int, Found], place: int, found: Found) -> Mapping[int, Found]:
    """``places`` with what was ``found`` at one of them; those where nothing is have no entry."""
    if places.get(place, {}) == found:
        return places
    others = {at: there for at, there in places.items() if at != place}
    return {**others, place: found} if found else others
