"""What the station needs of its hardware: a few small protocols, and the errors that a driver may raise.

    DriverError
    ├── DriverUnavailable   the hardware cannot be opened at all (no bus, no device, bad settings)
    ├── SensorError         one reading failed; the next may work (time-out, checksum, no answer)
    └── ActuatorError       an action failed; whether something has moved is for the bays to show
        └── ActionRefused   an action was not even begun: nothing has moved

A driver whose library blocks runs its calls in an executor of its own with one worker. A call that hangs
then costs that one thread, and the sampler goes on without it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from evswap_schema import Battery, Bay, Lock

ValueT = TypeVar("ValueT")


class DriverError(Exception):
    """The root of everything that a driver raises on purpose."""


class DriverUnavailable(DriverError):
    """The hardware cannot be opened. ``device`` names it; ``reason`` says what was tried and what to
    check."""

    def __init__(self, *, device: str, reason: str) -> None:
        self.device = device
        self.reason = reason
        super().__init__(f"{device}: {reason}")


class SensorError(DriverError):
    """One reading failed. ``sensor`` names it; ``reason`` says how."""

    def __init__(self, *, sensor: str, reason: str) -> None:
        self.sensor = sensor
        self.reason = reason
        super().__init__(f"{sensor}: {reason}")


class ActuatorError(DriverError):
    """An action on ``bay`` failed half-way. ``reason`` says how; what has moved, the bays show."""

    def __init__(self, *, bay: int, reason: str) -> None:
        self.bay = bay
        self.reason = reason
        super().__init__(f"bay {bay}: {reason}")


class ActionRefused(ActuatorError):
    """An action that is not possible, and was not begun."""


@dataclass(frozen=True, slots=True)
class Climate:
    """The air inside the cabinet: degrees Celsius, and percent relative humidity."""

    temperature: float
    humidity: float


@dataclass(frozen=True, slots=True)
class Unread:
    """In the place of a value: it could not be read this time, and why."""

    reason: str


ByBay = Mapping[int, ValueT | Unread]
"""A value for each bay that a driver is responsible for: one that cannot be read costs no other."""


@dataclass(frozen=True, slots=True)
class Charger:
    """What the charger of a bay does. ``enabled``: it would charge a battery; ``current`` in amperes, None
    where it does not measure; ``fault`` in its own words, None while it works."""

    enabled: bool
    current: float | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Safety:
    """What the cabinet's safety inputs say. ``blocked_doors`` are bays whose door cannot close."""

    smoke: bool
    blocked_doors: frozenset[int] = frozenset()


@runtime_checkable
class Hardware(Protocol):
    """What every driver opens, whatever it is for."""

    async def aclose(self) -> None:
        """Give the hardware back. Safe to call twice."""
        ...


@runtime_checkable
class ClimateSensor(Protocol):
    """Measures the cabinet's climate."""

    async def read_climate(self) -> Climate:
        """Measure now. Raises ``SensorError``; may be cancelled at any time, and is then called again
        later."""
        ...


@runtime_checkable
class BayBank(Protocol):
    """Knows the state of every bay."""

    async def read_bays(self) -> Sequence[Bay]:
        """Read all bays now, in order of their number. Raises ``SensorError``; may be cancelled at any
        time."""
        ...


@runtime_checkable
class BatteryBank(Protocol):
    """Knows the batteries of some bays, as their management systems report them."""

    async def read_batteries(self) -> ByBay[Battery | None]:
        """Read all of them now; None is an empty bay. Raises ``SensorError`` when none can be read, be it the
        whole bus that is silent; may be cancelled at any time."""
        ...


@runtime_checkable
class BatteryFaults(Protocol):
    """Knows what some batteries find wrong with themselves. A ``BatteryBank`` offers it where they say so."""

    async def read_battery_faults(self) -> ByBay[tuple[str, ...]]:
        """The faults of each bay's battery by their names; none of an empty bay. Raises ``SensorError``; may
        be cancelled at any time."""
        ...


@runtime_checkable
class LockBank(Protocol):
    """Knows, and opens, the locks of some bays."""

    async def read_locks(self) -> ByBay[Lock]:
        """What the feedback of each lock says now. Raises ``SensorError``; may be cancelled at any time."""
        ...

    async def unlock(self, bay: int) -> None:
        """As ``BayActuators.unlock``."""
        ...


@runtime_checkable
class ChargerBank(Protocol):
    """Knows, and switches, the chargers of some bays."""

    async def read_chargers(self) -> ByBay[Charger]:
        """What each charger does now. Raises ``SensorError``; may be cancelled at any time."""
        ...

    async def set_charging(self, bay: int, *, enabled: bool) -> None:
        """As ``BayActuators.set_charging``."""
        ...


@runtime_checkable
class SafetyInputs(Protocol):
    """Watches for what endangers people."""

    async def read_safety(self) -> Safety:
        """Look now. Raises ``SensorError``, which whoever is responsible has to take for danger when it
        lasts."""
        ...


@runtime_checkable
class TokenReader(Protocol):
    """Reads what customers show at the station: a card, a code."""

    async def read_token(self) -> str:
        """Wait until somebody shows a token and return it, in clear; it may not leave the station as such.
        Raises ``SensorError``; may be cancelled at any time, and no token is lost by that."""
        ...


@runtime_checkable
class BayActuators(Protocol):
    """Acts on the bays. A driver of bays offers it where there is something to act with.

    A call returns when the hardware has taken the order. That it was carried out, ``read_bays`` shows: lock,
    and charge of a bay are feedback and never an echo of what was ordered. Each raises
    ``ActionRefused`` or ``ActuatorError``, and may be cancelled at any time.
    """

    async def unlock(self, bay: int) -> None:
        """Open the lock of ``bay``. It locks again by itself, as its hardware is made."""
        ...

    async def set_charging(self, bay: int, *, enabled: bool) -> None:
        """Let ``bay`` charge whatever battery is put into it, or not."""
        ...


@runtime_checkable
class Cabinet(ClimateSensor, BayBank, Hardware, Protocol):
    """A whole station's hardware: one driver, or several put together."""
