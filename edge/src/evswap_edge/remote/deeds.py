"""What each command does at the station, what stands in its way, and how it is seen that it was done.

Nothing is believed because it was ordered. What a bay is asked to do, its feedback has to show; what the
configuration is asked to be, it has to be.
"""

from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any, Final, Protocol, TypeVar

from evswap_edge.clock import TimeSource
from evswap_edge.documents import ConfigurationError
from evswap_edge.hal import ActionRefused, BayActuators, Cabinet
from evswap_edge.remote.adjustments import Adjustments, patched, shallow
from evswap_edge.remote.control import Control
from evswap_edge.swaps.answering import answer_within
from evswap_edge.swaps.controller import NotPossible, Swaps
from evswap_edge.swaps.floor import Declined, Request
from evswap_edge.swaps.journal import SwapJournalError
from evswap_edge.swaps.swap import Phase
from evswap_schema import (
    Authority,
    Bay,
    CacheAuthorisations,
    Charge,
    Clock,
    Command,
    Health,
    Lock,
    ReadNow,
    RequestSwap,
    Reservation,
    Reserve,
    SetCharging,
    SetConfiguration,
    Unlock,
)

ResultT = TypeVar("ResultT")

_STATION: Final = "station"
"""The place of what is done to the station as a whole."""


class NotDone(Exception):
    """It is certain that nothing was done, and will be. ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Over:
    """What was asked for is over, though not as it was meant: ``how`` it ended."""

    how: str


class Evidence(Enum):
    """Whether the station shows what was asked of it."""

    SEEN = auto()
    NOT_SEEN = auto()
    NOTHING_TO_SEE = auto()
    """It looks the same either way."""
    UNDER_WAY = auto()
    """It is being done and will come to an end, however long that takes."""


class Deed(Protocol):
    """What one command asks for. Any call may raise ``DriverError``."""

    @property
    def place(self) -> Hashable:
        """What it is done to; two deeds in one place are done one after the other. None: it waits for
        nobody."""
        ...

    async def prepare(self) -> None:
        """Look whether it is possible. Raises ``NotDone``; moves nothing."""
        ...

    async def begin(self) -> None:
        """Give the order. Raises ``NotDone`` when it was not taken."""
        ...

    async def evidence(self) -> Evidence | Over:
        """What is to be seen of it now. Raises ``NotDone`` when it is seen that it was refused."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a station acts with."""

    cabinet: Cabinet
    time: TimeSource
    answer_timeout_s: float
    """How long the hardware may take to answer."""
    take_reading: Callable[[], Awaitable[None]]
    """Sample now, and send it at once."""
    control: Control | None
    swaps: Swaps
    wish: Callable[[Adjustments], Awaitable[None]]
    """Tell the station's shadow what is wished for, where there is one."""

    async def in_time(self, call: Coroutine[Any, Any, ResultT]) -> ResultT:
        """What the hardware answers to ``call``. Raises ``DriverError``."""
        return await answer_within(self.answer_timeout_s, call)

    async def look_at(self, number: int) -> Bay:
        """The bay as its feedback shows it. Raises ``NotDone`` when there is none, and ``DriverError``."""
        bays = await self.in_time(_all_bays(self.cabinet))
        for bay in bays:
            if bay.bay == number:
                return bay
        raise NotDone(f"there is no bay {number}; there are {len(bays)}")

    def actuators(self) -> BayActuators:
        """Raises ``NotDone`` when the station can only look."""
        if isinstance(self.cabinet, BayActuators):
            return self.cabinet
        raise NotDone("the driver of this station has no actuators")

    async def order(self, call: Coroutine[Any, Any, None]) -> None:
        """Have the hardware take an order. Raises ``NotDone`` and ``DriverError``."""
        try:
            await self.in_time(call)
        except ActionRefused as refusal:
            raise NotDone(str(refusal)) from refusal


def deed_of(command: Command, means: Means) -> Deed:
    """The work that ``command`` is."""
    deed: Deed
    match command.action:
        case Unlock() as unlock:
            deed = _Unlock(unlock.bay, means)
        case SetCharging() as charging:
            deed = _SetCharging(charging.bay, charging.enabled, means)
        case Reserve() as reserve:
            deed = _Reserve(reserve, command.issued_at, means)
        case ReadNow():
            deed = _ReadNow(means)
        case SetConfiguration() as changes:
            deed = _SetConfiguration(shallow(changes.configuration), means)
        case RequestSwap() as wanted:
            deed = _RequestSwap(_request_of(wanted), means)
        case CacheAuthorisations() as brought:
            deed = _CacheAuthorisations(brought, command.issued_at, means)
    return deed


def _request_of(wanted: RequestSwap) -> Request:
    return Request(
        request_id=wanted.request_id, id_token=wanted.id_token, authority=Authority.ONLINE, tier=wanted.tier
    )


# --- on a bay ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Unlock:
    bay: int
    means: Means

    @property
    def place(self) -> Hashable:
        return self.bay

    async def prepare(self) -> None:
        self.means.actuators()
        await self.means.look_at(self.bay)

    async def begin(self) -> None:
        await self.means.order(self.means.actuators().unlock(self.bay))

    async def evidence(self) -> Evidence:
        return _seen((await self.means.look_at(self.bay)).lock is Lock.UNLOCKED)


@dataclass(frozen=True, slots=True)
class _SetCharging:
    bay: int
    enabled: bool
    means: Means

    @property
    def place(self) -> Hashable:
        return self.bay

    async def prepare(self) -> None:
        self.means.actuators()
        await self.means.look_at(self.bay)

    async def begin(self) -> None:
        await self.means.order(self.means.actuators().set_charging(self.bay, enabled=self.enabled))

    async def evidence(self) -> Evidence:
        """A bay that is empty, or whose battery is full, looks the same either way."""
        match (await self.means.look_at(self.bay)).charge:
            case Charge.CHARGING:
                return _seen(self.enabled)
            case Charge.WAITING:
                return _seen(not self.enabled)
        return Evidence.NOTHING_TO_SEE


@dataclass(frozen=True, slots=True)
class _Reserve:
    wanted: Reserve
    issued_at: datetime
    means: Means

    @property
    def place(self) -> Hashable:
        return self.wanted.bay

    async def prepare(self) -> None:
        if self._seconds() <= 0:
            raise NotDone("its until is over")
        bay = await self._look()
        if bay.reservation is Reservation.RESERVED:
            raise NotDone(f"bay {bay.bay} is reserved already")
        if bay.charge is not Charge.CHARGED or bay.health is not Health.HEALTHY:
            raise NotDone(f"bay {bay.bay} has no battery to give: charge {bay.charge}, health {bay.health}")

    async def begin(self) -> None:
        wanted = self.wanted
        try:
            await self.means.swaps.reserve(
                wanted.bay, id_token=wanted.id_token, seconds=self._seconds(), until=wanted.until
            )
        except NotPossible as obstacle:
            raise NotDone(obstacle.reason) from obstacle

    async def evidence(self) -> Evidence:
        return _seen((await self._look()).reservation is Reservation.RESERVED)

    async def _look(self) -> Bay:
        return await self.means.look_at(self.wanted.bay)

    def _seconds(self) -> float:
        """By a clock that may be wrong, as long as it was meant to be in the first place."""
        time = self.means.time
        start = time.now() if time.state() is Clock.SYNCHRONIZED else self.issued_at
        return (self.wanted.until - start).total_seconds()


# --- on the station ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _ReadNow:
    means: Means
    place: Hashable = _STATION

    async def prepare(self) -> None:
        """A reading can always be taken: what a sensor does not tell is null in it."""

    async def begin(self) -> None:
        await self.means.take_reading()

    async def evidence(self) -> Evidence:
        return Evidence.NOTHING_TO_SEE


@dataclass(frozen=True, slots=True)
class _SetConfiguration:
    patch: Adjustments
    means: Means
    place: Hashable = _STATION

    async def prepare(self) -> None:
        control = self._control()
        try:
            control.check(self._wanted(control))
        except ConfigurationError as error:
            raise NotDone(f"{error.key}: {error.problem}") from error

    async def begin(self) -> None:
        """The shadow first: what it wishes for has the last word, at the next connection at the latest."""
        control = self._control()
        await self.means.wish(self.patch)
        try:
            control.adjust(self._wanted(control))
        except ConfigurationError as error:
            raise NotDone(f"{error.key}: {error.problem}") from error

    async def evidence(self) -> Evidence:
        control = self._control()
        wanted = self._wanted(control)
        if control.refusal is not None and control.refusal.adjustments == wanted:
            raise NotDone(f"{control.refusal.key}: {control.refusal.reason}".removeprefix(": "))
        return _seen(control.adjustments == wanted)

    def _wanted(self, control: Control) -> Adjustments:
        return patched(control.adjustments, self.patch)

    def _control(self) -> Control:
        if self.means.control is None:
            raise NotDone("this station cannot be configured from afar")
        return self.means.control


# --- on swaps ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _RequestSwap:
    """It is done when the swap is over, which may be minutes from now, or in the life of the next process."""

    request: Request
    means: Means
    place: Hashable = None

    async def prepare(self) -> None:
        try:
            await self.means.swaps.may_begin(self.request)
        except Declined as declined:
            raise _not_begun(declined) from declined

    async def begin(self) -> None:
        try:
            await self.means.swaps.begin(self.request)
        except Declined as declined:
            raise _not_begun(declined) from declined

    async def evidence(self) -> Evidence | Over:
        """The swap's own journal knows, also of what the process before this one began."""
        if not self.means.swaps.loaded:
            return Evidence.UNDER_WAY
        try:
            swap = await self.means.swaps.find(self.request.request_id)
        except SwapJournalError:
            return Evidence.UNDER_WAY
        if swap is None:
            raise NotDone("the station ended before the swap was begun")
        if swap.phase is Phase.COMPLETED:
            return Evidence.SEEN
        return Over(swap.phase) if swap.over else Evidence.UNDER_WAY


@dataclass(frozen=True, slots=True)
class _CacheAuthorisations:
    wanted: CacheAuthorisations
    issued_at: datetime
    means: Means
    place: Hashable = _STATION

    async def prepare(self) -> None:
        """Whether they are to be believed is seen when they are taken: all of them, or none."""

    async def begin(self) -> None:
        try:
            await self.means.swaps.cache(self.wanted, as_of=self.issued_at)
        except NotPossible as obstacle:
            raise NotDone(obstacle.reason) from obstacle

    async def evidence(self) -> Evidence:
        return Evidence.NOTHING_TO_SEE


def _not_begun(declined: Declined) -> NotDone:
    return NotDone(f"{declined.reason}: {declined.detail}")


def _seen(shown: bool) -> Evidence:
    return Evidence.SEEN if shown else Evidence.NOT_SEEN


async def _all_bays(cabinet: Cabinet) -> list[Bay]:
    return list(await cabinet.read_bays())
