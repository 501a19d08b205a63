"""A bay (one slot of the cabinet) and the battery in it."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from evswap_schema.fields import BayNumber, Percent

SerialNumber = Annotated[
    str, Meta(min_length=1, max_length=50, description="At most 50 characters, as in OCPP 2.1.")
]
Volt = Annotated[float, Meta(ge=0, le=1_000, description="Pack voltage in volts.")]
Ampere = Annotated[
    float, Meta(ge=-1_000, le=1_000, description="Pack current in amperes; positive while charging.")
]
CellCelsius = Annotated[float, Meta(ge=-60, le=200, description="Hottest cell, degrees Celsius.")]
Cycles = Annotated[int, Meta(ge=0, le=100_000, description="Full charge cycles so far.")]


class Occupancy(StrEnum):
    """Whether a battery is in the slot. OCPP 2.1 calls an empty slot Available."""

    EMPTY = "empty"
    OCCUPIED = "occupied"
    UNKNOWN = "unknown"


class Charge(StrEnum):
    """What the charger does with the battery."""

    NONE = "none"
    WAITING = "waiting"
    CHARGING = "charging"
    CHARGED = "charged"


class Lock(StrEnum):
    """The state of the slot's door or latch, as its feedback reports it."""

    LOCKED = "locked"
    UNLOCKED = "unlocked"
    UNKNOWN = "unknown"


class Reservation(StrEnum):
    """Whether the slot's battery is promised to a customer."""

    FREE = "free"
    RESERVED = "reserved"


class Health(StrEnum):
    """Whether slot and battery may take part in swaps."""

    HEALTHY = "healthy"
    QUARANTINED = "quarantined"
    FAULT = "fault"


class Battery(Struct, frozen=True, kw_only=True):
    """A battery as its management system reports it.

    ``soc`` is the state of charge and ``soh`` the state of health, both in percent.
    """

    serial_number: SerialNumber
    soc: Percent
    soh: Percent
    voltage: Volt
    current: Ampere
    temperature: CellCelsius
    cycles: Cycles


class Bay(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One slot. Its five states are apart from each other: a battery may sit uncharged, or in quarantine."""

    bay: BayNumber
    occupancy: Occupancy
    charge: Charge
    lock: Lock
    reservation: Reservation
    health: Health
    battery: Battery | None = None
