"""Which pins of a Raspberry Pi a station uses, and how they are wired."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from evswap_edge.drivers import Role, SettingRefused
from evswap_edge.drivers.bays import BayRanges, bay_numbers

Pin = Annotated[int, Meta(ge=0, le=53, description="The number of Broadcom: 17 for GPIO17.")]
Seconds = Annotated[float, Meta(ge=0.01, le=10)]


class Active(StrEnum):
    """What a pin gives to make the lock open."""

    HIGH = "high"
    LOW = "low"


class Closed(StrEnum):
    """What a feedback switch says by being closed. An open one, or a cut wire, says the opposite."""

    LOCKED = "locked"
    UNLOCKED = "unlocked"


class Pull(StrEnum):
    """What holds a pin while its switch is open: ``up``, the switch connects it to ground; ``down``, to
    3.3 V."""

    UP = "up"
    DOWN = "down"


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Locks (``locks``, and ``feedback`` of each) or safety inputs (``smoke``, and ``doors``). The pins stand
    in the order of ``bays``."""

    bays: BayRanges | None = None
    locks: tuple[Pin, ...] = ()
    feedback: tuple[Pin, ...] = ()
    active: Active = Active.HIGH
    closed: Closed = Closed.LOCKED
    pulse_s: Seconds = 0.5
    feedback_within_s: Seconds = 1.0
    smoke: Pin | None = None
    doors: tuple[Pin, ...] = ()
    blocked_after_s: Annotated[float, Meta(ge=1, le=3600)] = 120.0
    pull: Pull = Pull.UP
    chip: Annotated[int, Meta(ge=0, le=15)] | None = None

    def __post_init__(self) -> None:
        if self.bays is not None:
            bay_numbers(self.bays)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The bays, in the order of their pins."""
        return () if self.bays is None else bay_numbers(self.bays)


def roles_of(settings: Settings) -> frozenset[Role]:
    """What the pins are for."""
    locks = {Role.LOCKS} if settings.locks else set()
    safety = {Role.SAFETY} if settings.doors or settings.smoke is not None else set()
    return frozenset(locks | safety)


def check(settings: Settings) -> None:
    """Whether the pins make sense together. Raises ``SettingRefused``."""
    _require_a_pin_for_each_bay(settings)
    _require_only_with(settings.locks, settings, ("feedback",), "locks")
    if settings.locks and (settings.doors or settings.smoke is not None):
        raise SettingRefused(
            "smoke" if settings.smoke is not None else "doors",
            "is a safety input and stands in driver.safety; locks stand in driver.locks",
        )
    seen: dict[int, str] = {}
    for setting, pin in pins(settings):
        if (other := seen.setdefault(pin, setting)) != setting:
            raise SettingRefused(setting, f"GPIO{pin} is already used by {other}")


def pins(settings: Settings) -> Iterator[tuple[str, int]]:
    """All pins, and where each is named."""
    for name in _BY_BAY:
        for index, pin in enumerate(_pins_of(settings, name)):
            yield f"{name}[{index}]", pin
    if settings.smoke is not None:
        yield "smoke", settings.smoke


def claims(settings: Settings) -> dict[str, str]:
    """A pin has one user."""
    chip = "" if settings.chip is None else f" of gpiochip{settings.chip}"
    return {setting: f"GPIO{pin}{chip}" for setting, pin in pins(settings)}


def where(settings: Settings, bay: int | None) -> str:
    """The pins of ``bay``, or those that belong to none, as people call them."""
    if bay is None:
        return "" if settings.smoke is None else f"smoke GPIO{settings.smoke}"
    index = settings.numbers.index(bay)
    lock = f"GPIO{settings.locks[index]}"
    return f"{lock}, feedback GPIO{settings.feedback[index]}" if settings.feedback else lock


_BY_BAY: Final = ("locks", "feedback", "doors")


def _require_a_pin_for_each_bay(settings: Settings) -> None:
    bays = settings.numbers
    for name in _BY_BAY:
        if (found := _pins_of(settings, name)) and len(found) != len(bays):
            raise SettingRefused(name, f"there are {len(found)} pins for {len(bays)} bays")
    if bays and not (settings.locks or settings.doors):
        raise SettingRefused("bays", "has no pins: name locks, or doors")


def _require_only_with(given: Sequence[int], settings: Settings, names: Sequence[str], what: str) -> None:
    for name in names:
        if _pins_of(settings, name) and not given:
            raise SettingRefused(name, f"needs {what} too")


def _pins_of(settings: Settings, name: str) -> tuple[int, ...]:
    found: tuple[int, ...] = getattr(settings, name)
    return found
