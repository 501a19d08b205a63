"""Which battery a customer gets, which bay theirs goes into, and how that shows in what the station tells.

What stands here once is when a battery may be given away. The reading's ``battery_available`` counts the bays
as ``as_told`` shows them, so that it and the choice cannot disagree.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from msgspec.structs import replace

from evswap_edge.config import SwapRules, Tier
from evswap_edge.swaps.bay import EMPTY, BayState, Content, Use, content_of
from evswap_schema import Battery, Bay, Charge, Health, Lock, Occupancy, Reservation

Veto = Callable[[int], str | None]
"""Why a bay may serve no swap at the moment (safety), or None."""


def best_battery(
    bays: Mapping[int, Bay],
    states: Mapping[int, BayState],
    rules: SwapRules,
    veto: Veto,
    *,
    id_token: str | None = None,
    tier: str | None = None,
) -> Bay | None:
    """The bay whose battery the customer ``id_token`` gets: one that was promised or is owed to them, else
    the fullest, of these the healthiest; one that is owed to others comes last. None: there is none."""
    wanted = rules.tiers.get(tier or "", Tier())
    found = [
        (_worth(bay.battery, states[number], id_token), -number, bay)
        for number, bay in bays.items()
        if number in states
        and veto(number) is None
        and _may_give(bay, states[number], rules, id_token)
        and bay.battery is not None
        and _meets(bay.battery, wanted)
    ]
    return max(found, key=lambda one: one[:2])[2] if found else None


def empty_bay(bays: Mapping[int, Bay], states: Mapping[int, BayState], veto: Veto) -> int | None:
    """A bay that takes the customer's battery; None: there is none."""
    return min((n for n in bays if n in states and _takes(bays[n], states[n]) and not veto(n)), default=None)


def as_told(bay: Bay, state: BayState, rules: SwapRules, veto: Veto) -> Bay:
    """``bay`` as the station tells of it: what its hardware shows, and what the station has decided about
    it."""
    if state.promise is not None or state.use in _SERVING:
        bay = replace(bay, reservation=Reservation.RESERVED)
    if not rules.enabled:
        return bay
    if bay.health is Health.HEALTHY and not _is_presentable(bay, state, rules, veto):
        bay = replace(bay, health=Health.QUARANTINED)
    if is_charged(bay, rules):
        bay = replace(bay, charge=Charge.CHARGED if _is_believed(bay, state) else Charge.WAITING)
    return bay


def is_charged(bay: Bay, rules: SwapRules) -> bool:
    """Full, as its charger has it, or up to what this network gives away."""
    return bay.charge is Charge.CHARGED or (bay.battery is not None and bay.battery.soc >= rules.target_soc)


def is_registered(content: Content, rules: SwapRules) -> bool:
    """Whether it is a battery of this network."""
    serial_number = content.serial_number
    return serial_number is not None and _pattern(rules.batteries).fullmatch(serial_number) is not None


_SERVING: Final = {Use.RESERVED, Use.OFFERED_IN, Use.OFFERED_OUT, Use.CLOSING}


def _is_presentable(bay: Bay, state: BayState, rules: SwapRules, veto: Veto) -> bool:
    """Whether the bay, and the battery in it, may take part in swaps, be it not at this moment."""
    if state.use in {Use.QUARANTINED, Use.OUT_OF_SERVICE} or veto(bay.bay) is not None:
        return False
    return bay.occupancy is not Occupancy.OCCUPIED or _is_ours_and_healthy(bay, rules)


def _is_ours_and_healthy(bay: Bay, rules: SwapRules) -> bool:
    content = content_of(bay)
    return (
        bay.health is Health.HEALTHY
        and bay.battery is not None
        and content is not None
        and is_registered(content, rules)
        and bay.battery.soh >= rules.min_soh
    )


def _is_believed(bay: Bay, state: BayState) -> bool:
    """It shows a battery, and the one that it is known to hold."""
    return bay.battery is not None and content_of(bay) == state.content and state.sighting is None


def _may_give(bay: Bay, state: BayState, rules: SwapRules, id_token: str | None) -> bool:
    kept_for_them = state.promise is not None and state.promise.id_token == id_token
    return (
        (state.use is Use.IDLE or (state.use is Use.RESERVED and kept_for_them))
        and bay.reservation is Reservation.FREE
        and _is_ours_and_healthy(bay, rules)
        and _is_believed(bay, state)
        and is_charged(bay, rules)
    )


def _takes(bay: Bay, state: BayState) -> bool:
    return (
        state.use is Use.IDLE
        and state.content == EMPTY
        and state.sighting is None
        and bay.occupancy is Occupancy.EMPTY
        and bay.health is Health.HEALTHY
        and bay.lock is not Lock.UNLOCKED
    )


def _meets(battery: Battery, tier: Tier) -> bool:
    return battery.soc >= tier.min_soc and battery.soh >= tier.min_soh


def _worth(battery: Battery, state: BayState, id_token: str | None) -> tuple[bool, bool, float, float]:
    theirs = state.promise is not None or (state.owed_to is not None and state.owed_to == id_token)
    return theirs, state.owed_to in {None, id_token}, battery.soc, battery.soh


@lru_cache(maxsize=8)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)
