"""What somebody has to look after at a station that swaps: alarms that neither flap nor are missed.

A cause has to last before its alarm is raised, and to be gone for a while before that is cleared.
"""

from collections.abc import Iterable
from typing import Final

from evswap_edge.alarms import Alarms
from evswap_edge.swaps.bay import BayState, Use
from evswap_schema import Bay, Health, Severity

NO_CHARGED_BATTERY: Final = "no_charged_battery"
"""The station has no battery to give to anybody."""
BAY_QUARANTINED: Final = "bay_quarantined"
"""The bay, or the battery in it, may take part in no swap."""
BATTERY_UNREGISTERED: Final = "battery_unregistered"
"""The bay holds a battery that is not of this network."""
BATTERY_UNCOLLECTED: Final = "battery_uncollected"
"""A customer who gave a battery did not take the one in this bay."""

_LASTS_S: Final = {NO_CHARGED_BATTERY: 60.0, BAY_QUARANTINED: 10.0}
"""How long a cause has to last; the others are certain when they are known."""
_GONE_S: Final = 30.0
_SEVERITY: Final = {BATTERY_UNCOLLECTED: Severity.INFO}


class Hysteresis:
    """On when something was so for ``lasts_s`` seconds on end, off when it was not for ``gone_s``."""

    def __init__(self, *, on: bool, lasts_s: float, gone_s: float) -> None:
        self.on = on
        self._needs_s = {True: lasts_s, False: gone_s}
        self._since: float | None = None

    def update(self, active: bool, now: float) -> bool:
        """What it is at ``now``, in seconds."""
        if active == self.on:
            self._since = None
            return self.on
        if self._since is None:
            self._since = now
        if now - self._since >= self._needs_s[active]:
            self.on, self._since = active, None
        return self.on


class Warnings:
    """The alarms about swaps, kept up with what is seen."""

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self._held: dict[tuple[str, int | None], Hysteresis] = {}

    def look(self, bays: Iterable[tuple[BayState, Bay]], *, has_battery: bool, now: float) -> None:
        """Each bay as the station knows it and as it tells of it, and whether it ``has_battery`` to give."""
        self._set(NO_CHARGED_BATTERY, not has_battery, now)
        for state, told in bays:
            self._set(BAY_QUARANTINED, told.health is Health.QUARANTINED, now, told.bay)
            self._set(BATTERY_UNREGISTERED, state.use is Use.QUARANTINED, now, told.bay)
            self._set(BATTERY_UNCOLLECTED, state.owed_to is not None, now, told.bay)

    def _set(self, name: str, active: bool, now: float, bay: int | None = None) -> None:
        held = self._held.get((name, bay))
        if held is None:
            raised = (name if bay is None else f"{name}/{bay}") in self._alarms.raised
            held = Hysteresis(on=raised, lasts_s=_LASTS_S.get(name, 0.0), gone_s=_GONE_S)
            self._held[name, bay] = held
        severity = _SEVERITY.get(name, Severity.WARNING)
        self._alarms.set(name, held.update(active, now), severity=severity, bay=bay)
