"""What the drivers of a bay say, one beside the other, into what the bay is. Pure: no I/O, no memory.

``None`` in the place of a lock or a charger: no driver has it.
"""

import math
from collections.abc import Callable, Mapping
from types import NoneType
from typing import Final

import msgspec

from evswap_edge.hal import Charger, Unread
from evswap_schema import Battery, Bay, Charge, Health, Lock, Occupancy, Reservation

FULL_SOC: Final = 99.0
"""From this state of charge on, in percent, a battery is charged: a management system that counts charge
reaches 100 only after it has rested."""
LEAST_CURRENT_A: Final = 0.1
"""A current below is what a battery's own electronics take, or the error of the measurement."""

_read_again: Final = msgspec.json.Decoder(list[Battery | None]).decode


def merged(
    number: int,
    battery: Battery | Unread | None,
    lock: Lock | Unread | None,
    charger: Charger | Unread | None,
    faults: tuple[str, ...] = (),
) -> Bay:
    """The bay ``number``, whose battery finds ``faults`` with itself. What could not be read costs its own
    field: a bay whose battery is unread is neither empty nor occupied, and takes part in no swap."""
    return Bay(
        bay=number,
        occupancy=_occupancy(battery),
        charge=_charge(battery, charger),
        lock=lock if isinstance(lock, Lock) else Lock.UNKNOWN,
        reservation=Reservation.FREE,
        health=Health.FAULT if faults else _health(battery, charger),
        battery=battery if isinstance(battery, Battery) else None,
    )


def unknown(number: int) -> Bay:
    """A bay of which nothing can be read."""
    return merged(number, Unread("nothing can be read"), None, None)


def battery_problem(battery: object) -> str | None:
    """Why ``battery`` (a ``Battery``, or None for an empty bay) is no measurement: what the contract refuses
    must not be published. None where it is one."""
    if battery is None:
        return None
    if not isinstance(battery, Battery):
        return f"the driver gives {battery!r:.40} for a battery"
    for field in ("soc", "soh", "voltage", "current", "temperature"):
        value = getattr(battery, field)
        if isinstance(value, float) and not math.isfinite(value):
            return f"{field} is {value}"
    return contract_problem(battery, Battery)


def lock_problem(lock: object) -> str | None:
    """As ``battery_problem``."""
    return None if isinstance(lock, Lock) else f"the driver gives {lock!r:.40} for a lock"


def charger_problem(charger: object) -> str | None:
    """As ``battery_problem``."""
    if not isinstance(charger, Charger):
        return f"the driver gives {charger!r:.40} for a charger"
    if charger.current is not None and not math.isfinite(charger.current):
        return f"the charger's current is {charger.current}"
    return None


def faults_problem(faults: object) -> str | None:
    """As ``battery_problem``."""
    if isinstance(faults, tuple) and all(isinstance(fault, str) for fault in faults):
        return None
    return f"the driver gives {faults!r:.40} for a battery's faults"


def bay_problem(bay: object) -> str | None:
    """As ``battery_problem``."""
    if not isinstance(bay, Bay):
        return f"the driver gives {bay!r:.40} for a bay"
    if problem := battery_problem(bay.battery):
        return problem
    if bay.battery is not None and bay.occupancy is not Occupancy.OCCUPIED:
        return f"has a battery and is {bay.occupancy}"
    return contract_problem(bay, Bay)


def contract_problem(value: object, kind: type) -> str | None:
    """What the contract has against ``value``."""
    try:
        msgspec.convert(msgspec.to_builtins(value), kind)
    except (msgspec.ValidationError, TypeError) as error:
        return f"{error}; found {value!r:.80}"
    return None


# --- those of many bays -----------------------------------------------------------------------------------


Problems = Callable[[Mapping[int, object]], Mapping[int, str]]
"""What is wrong with those values, by bay, that are no measurement."""


def each_by_itself(problem_of: Callable[[object], str | None]) -> Problems:
    """Asks ``problem_of`` about one value after the other."""

    def problems(values: Mapping[int, object]) -> Mapping[int, str]:
        return {bay: problem for bay, value in values.items() if (problem := problem_of(value))}

    return problems


_battery_by_battery: Final = each_by_itself(battery_problem)


def battery_problems(batteries: Mapping[int, object]) -> Mapping[int, str]:
    """What is wrong with those of ``batteries``, by bay, that are no measurement."""
    return {} if _are_sound(batteries) else _battery_by_battery(batteries)


def _are_sound(batteries: Mapping[int, object]) -> bool:
    """Whether the contract takes them all, which they mostly are: they are written as a message would have
    them, where a number that is none becomes null, and read again, all in one go."""
    values = [*batteries.values()]
    if not {*map(type, values)} <= {Battery, NoneType}:
        return False
    try:
        _read_again(msgspec.json.encode(values))
    except (msgspec.MsgspecError, TypeError, ValueError):
        return False
    return True


# --- what follows -----------------------------------------------------------------------------------------


def _occupancy(battery: Battery | Unread | None) -> Occupancy:
    match battery:
        case Battery():
            return Occupancy.OCCUPIED
        case None:
            return Occupancy.EMPTY
    return Occupancy.UNKNOWN


def _charge(battery: Battery | Unread | None, charger: Charger | Unread | None) -> Charge:
    """A charger that cannot be read, or is not there, is judged by the battery's own current."""
    if not isinstance(battery, Battery):
        return Charge.NONE
    if battery.soc >= FULL_SOC:
        return Charge.CHARGED
    if isinstance(charger, Charger):
        current = battery.current if charger.current is None else charger.current
        charging = charger.enabled and charger.fault is None and current >= LEAST_CURRENT_A
    else:
        charging = battery.current >= LEAST_CURRENT_A
    return Charge.CHARGING if charging else Charge.WAITING


def _health(battery: Battery | Unread | None, charger: Charger | Unread | None) -> Health:
    if isinstance(battery, Unread) or (isinstance(charger, Charger) and charger.fault is not None):
        return Health.FAULT
    return Health.HEALTHY
