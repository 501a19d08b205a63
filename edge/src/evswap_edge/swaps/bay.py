"""One bay, as the station deals with it: what it is used for, and what is believed to stand in it.

    idle ─► reserved ─► offered_in | offered_out ─► closing ─► idle
      └─► out_of_service ─► idle      any ─► quarantined ─► closing

Pure: a state and what happens to it give the next state and what came of it. Nothing is believed at first
sight. A contact that bounces, or a bus that drops a word, shows an empty bay for a moment; what is believed
changes when the same was seen for a while. A battery that falls silent stays the battery that it was: only
an empty bay, or another serial number, says that it went.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from evswap_schema import Bay, Health, Lock, Occupancy, SwappedBattery
from evswap_schema.events import RequestId
from evswap_schema.fields import BayNumber, TokenHash


class Use(StrEnum):
    """What a bay is used for at the moment."""

    IDLE = "idle"
    RESERVED = "reserved"
    """Its battery is promised to a customer who has not come yet."""
    OFFERED_IN = "offered_in"
    """Of a swap: the customer's battery is to go into it."""
    OFFERED_OUT = "offered_out"
    """Of a swap: the customer is to take its battery."""
    CLOSING = "closing"
    """Its swap is over; it serves nobody until it is locked again."""
    QUARANTINED = "quarantined"
    """It holds a battery that is not of this network; until somebody has taken that out."""
    OUT_OF_SERVICE = "out_of_service"
    """Its hardware is broken, or does not say what is in it."""


class Content(Struct, frozen=True, omit_defaults=True):
    """What stands in a bay. A battery that does not say who it is has no ``serial_number``."""

    occupied: bool
    serial_number: str | None = None


EMPTY: Final = Content(occupied=False)
NAMELESS: Final = Content(occupied=True)


class Promise(Struct, frozen=True):
    """The battery of a bay is kept for a customer for ``seconds`` of the boot ``boot_id`` from ``uptime`` on;
    ``until`` is when that is by the wall clock, in seconds since 1970."""

    id_token: TokenHash
    boot_id: str
    uptime: float
    seconds: float
    until: float


class Sighting(Struct, frozen=True):
    """Something other than what is believed, seen ``since`` (seconds of this boot)."""

    content: Content
    since: float


class BayState(Struct, frozen=True, omit_defaults=True):
    """All that is known of a bay. ``content`` is None until it was seen for the first time."""

    bay: Annotated[int, Meta(ge=1)]
    use: Use = Use.IDLE
    content: Content | None = None
    request_id: RequestId | None = None
    promise: Promise | None = None
    owed_to: TokenHash | None = None
    """The customer who gave a battery and did not take the one in this bay."""
    sighting: Sighting | None = None

    def durable(self) -> "BayState":
        """Without what is worth nothing after a restart."""
        return self if self.sighting is None else replace(self, sighting=None)


@dataclass(frozen=True, slots=True)
class Went:
    """What was in the bay is not there any more."""

    bay: BayNumber
    content: Content


@dataclass(frozen=True, slots=True)
class Came:
    """This stands in the bay now. ``battery`` is None for one that does not say who it is."""

    bay: BayNumber
    content: Content
    battery: SwappedBattery | None


Seen = Went | Came


@dataclass(frozen=True, slots=True)
class Patience:
    """For how many seconds something has to be seen before it is believed: a battery with a name or its
    absence, and a battery without one, which may be about to tell it."""

    confirm_s: float
    identify_s: float


class BayNotFree(Exception):
    """What was asked of a bay does not go with its use. Carries both."""

    def __init__(self, state: BayState, wanted: Use) -> None:
        self.state = state
        self.wanted = wanted
        super().__init__(f"bay {state.bay} is {state.use} and cannot become {wanted}")


# --- what is seen ---------------------------------------------------------------------------------------


def looked(
    state: BayState, bay: Bay, now: float, patience: Patience, *, door_may_stay_open: bool = False
) -> tuple[BayState, tuple[Seen, ...]]:
    """``bay`` was read at ``now``, seconds of this boot. A battery that is to come in is in when its door is
    shut behind it, or when ``door_may_stay_open``."""
    seen = content_of(bay)
    state = _served(state, bay)
    if seen is None or not _is_news(state, seen):
        return _settled(replace(state, sighting=None) if state.sighting else state, bay), ()
    if state.content is None and seen != NAMELESS:
        return replace(state, content=seen, sighting=None), ()
    sighting = state.sighting
    if sighting is None or sighting.content != seen:
        sighting = Sighting(seen, now)
    waits = patience.identify_s if seen == NAMELESS else patience.confirm_s
    comes_in = state.use is Use.OFFERED_IN and seen.occupied
    door_open = comes_in and bay.lock is Lock.UNLOCKED and not door_may_stay_open
    if door_open or now - sighting.since < waits:
        return replace(state, sighting=sighting), ()
    return _believing(state, bay, seen)


def content_of(bay: Bay) -> Content | None:
    """What a look shows; None when it shows nothing."""
    if bay.occupancy is Occupancy.UNKNOWN:
        return None
    if bay.occupancy is Occupancy.EMPTY:
        return EMPTY
    return (
        NAMELESS if bay.battery is None else Content(occupied=True, serial_number=bay.battery.serial_number)
    )


def battery_in(bay: Bay) -> SwappedBattery | None:
    """The battery of ``bay`` as an event tells it."""
    if bay.battery is None:
        return None
    battery = bay.battery
    return SwappedBattery(bay=bay.bay, serial_number=battery.serial_number, soc=battery.soc, soh=battery.soh)


def is_fit(bay: Bay) -> bool:
    """Whether its hardware works."""
    return bay.health is not Health.FAULT and bay.occupancy is not Occupancy.UNKNOWN


def _is_news(state: BayState, seen: Content) -> bool:
    believed = state.content
    if believed is not None and believed.occupied and seen == NAMELESS:
        return False
    return seen != believed


def _believing(state: BayState, bay: Bay, seen: Content) -> tuple[BayState, tuple[Seen, ...]]:
    before, state = state.content, replace(state, content=seen, sighting=None)
    if before is None or (before == NAMELESS and seen.occupied):
        return state, ()  # It was seen, or was named, for the first time; nothing has moved.
    happened: list[Seen] = []
    if before.occupied:
        happened.append(Went(state.bay, before))
        state = _freed(state)
    if seen.occupied:
        happened.append(Came(state.bay, seen, battery_in(bay)))
    elif state.use is Use.QUARANTINED:
        state = replace(state, use=Use.CLOSING)
    return _settled(state, bay), tuple(happened)


def _freed(state: BayState) -> BayState:
    """A promise is of the battery that was there."""
    use = Use.IDLE if state.use is Use.RESERVED else state.use
    return replace(state, promise=None, use=use, owed_to=None)


def _served(state: BayState, bay: Bay) -> BayState:
    """Hardware that fails takes a bay that serves nobody out of service, and brings it back."""
    if state.use in {Use.IDLE, Use.RESERVED} and not is_fit(bay):
        return replace(state, use=Use.OUT_OF_SERVICE)
    if state.use is Use.OUT_OF_SERVICE and is_fit(bay):
        return replace(state, use=_at_rest(state))
    return state


def _settled(state: BayState, bay: Bay) -> BayState:
    """A bay whose door has shut is free again; one without feedback is taken to be shut."""
    if state.use is Use.CLOSING and bay.lock is not Lock.UNLOCKED:
        return replace(state, use=_at_rest(state))
    return state


def _at_rest(state: BayState) -> Use:
    return Use.IDLE if state.promise is None else Use.RESERVED


# --- what is done with it -------------------------------------------------------------------------------


def reserved(state: BayState, promise: Promise) -> BayState:
    """Its battery is promised. Raises ``BayNotFree``."""
    if state.use is not Use.IDLE:
        raise BayNotFree(state, Use.RESERVED)
    return replace(state, use=Use.RESERVED, promise=promise)


def lapsed(state: BayState) -> BayState:
    """The promise is over."""
    use = Use.IDLE if state.use is Use.RESERVED else state.use
    return replace(state, use=use, promise=None)


def assigned(state: BayState, request_id: int, use: Use) -> BayState:
    """It serves a swap from now on; a promise is kept by that. Raises ``BayNotFree``."""
    if state.use not in {Use.IDLE, Use.RESERVED}:
        raise BayNotFree(state, use)
    return replace(state, use=use, request_id=request_id, promise=None, owed_to=None)


def turned_around(state: BayState) -> BayState:
    """The slot that a customer took a battery from takes theirs."""
    if state.use is not Use.OFFERED_OUT:
        raise BayNotFree(state, Use.OFFERED_IN)
    return replace(state, use=Use.OFFERED_IN)


def let_go(state: BayState, *, owed_to: str | None = None) -> BayState:
    """Its swap is over, and its battery still ``owed_to`` somebody, perhaps."""
    use = state.use if state.use is Use.QUARANTINED else Use.CLOSING
    return replace(state, use=use, request_id=None, owed_to=owed_to)


def settled(state: BayState) -> BayState:
    """Nobody is owed its battery any more."""
    return replace(state, owed_to=None)


def condemned(state: BayState) -> BayState:
    """It holds a battery that nobody may get and that is not charged."""
    return replace(state, use=Use.QUARANTINED, promise=None)


def redeemed(state: BayState) -> BayState:
    """What stands in it is a battery of this network after all."""
    return replace(state, use=Use.CLOSING)
