"""What each command does at the station, what stands in its way, and how it is seen that it was done.

Nothing is believed because it was ordered. What a bay is asked to do, its feedback has to show; what the
configuration is asked to be, it has to be.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any, Protocol, TypeVar

from evswap_edge.clock import TimeSource
from evswap_edge.documents import ConfigurationError
from evswap_edge.hal import ActionRefused, BayActuators, Cabinet, DriverError
from evswap_edge.remote.adjustments import Adjustments, patched, shallow
from evswap_edge.remote.control import Control
from evswap_schema import (
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


class NotDone(Exception):
    """It is certain that nothing was done, and will be. ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Evidence(Enum):
    """Whether the station shows what was asked of it."""

    SEEN = auto()
    NOT_SEEN = auto()
    NOTHING_TO_SEE = auto()
    """It looks the same either way."""


class Deed(Protocol):
    """What one command asks for. Any call may raise ``DriverError``."""

    @property
    def bay(self) -> int | None:
        """The bay that it is about; two deeds on one bay are done one after the other."""
        ...

    async def prepare(self) -> None:
        """Look whether it is possible. Raises ``NotDone``; moves nothing."""
        ...

    async def begin(self) -> None:
        """Give the order. Raises ``NotDone`` when it was not taken."""
        ...

    async def evidence(self) -> Evidence:
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
    wish: Callable[[Adjustments], Awaitable[None]]
    """Tell the station's shadow what is wished for, where there is one."""

    async def in_time(self, call: Coroutine[Any, Any, ResultT]) -> ResultT:
        """What the hardware answers to ``call``. Whatever goes wrong in a driver is a ``DriverError``."""
        answer = asyncio.create_task(call)
        try:
            await asyncio.wait({answer}, timeout=self.answer_timeout_s)
        finally:
            if not answer.done():
                _give_up(answer)
        if not answer.done() or answer.cancelled():
            raise DriverError(f"no answer within {self.answer_timeout_s:g} s")
        error = answer.exception()
        if error is None or isinstance(error, DriverError):
            return answer.result()
        raise DriverError(f"the driver failed: {error!r}") from error

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
    match command.action:
        case Unlock() as unlock:
            return _Unlock(unlock.bay, means)
        case SetCharging() as charging:
            return _SetCharging(charging.bay, charging.enabled, means)
        case Reserve() as reserve:
            return _Reserve(reserve.bay, reserve.until, command.issued_at, means)
        case ReadNow():
            return _ReadNow(means)
        case SetConfiguration() as wanted:
            return _SetConfiguration(shallow(wanted.configuration), means)
        case RequestSwap() | CacheAuthorisations():
            return _RequestSwap()


# --- on a bay ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Unlock:
    bay: int
    means: Means

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
    bay: int
    until: datetime
    issued_at: datetime
    means: Means

    async def prepare(self) -> None:
        self.means.actuators()
        if self._seconds() <= 0:
            raise NotDone("its until is over")
        bay = await self.means.look_at(self.bay)
        if bay.reservation is Reservation.RESERVED:
            raise NotDone(f"bay {self.bay} is reserved already")
        if bay.charge is not Charge.CHARGED or bay.health is not Health.HEALTHY:
            raise NotDone(f"bay {self.bay} has no battery to give: charge {bay.charge}, health {bay.health}")

    async def begin(self) -> None:
        await self.means.order(self.means.actuators().reserve(self.bay, seconds=self._seconds()))

    async def evidence(self) -> Evidence:
        return _seen((await self.means.look_at(self.bay)).reservation is Reservation.RESERVED)

    def _seconds(self) -> float:
        """By a clock that may be wrong, as long as it was meant to be in the first place."""
        time = self.means.time
        start = time.now() if time.state() is Clock.SYNCHRONIZED else self.issued_at
        return (self.until - start).total_seconds()


# --- on the station ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _ReadNow:
    means: Means
    bay: int | None = None

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
    bay: int | None = None

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


@dataclass(frozen=True, slots=True)
class _RequestSwap:
    bay: int | None = None

    async def prepare(self) -> None:
        raise NotDone(
            "this station does not run swaps: it authorises none, and its doors open by unlock alone"
        )

    async def begin(self) -> None:
        await self.prepare()

    async def evidence(self) -> Evidence:
        return Evidence.NOTHING_TO_SEE


def _seen(shown: bool) -> Evidence:
    return Evidence.SEEN if shown else Evidence.NOT_SEEN


async def _all_bays(cabinet: Cabinet) -> list[Bay]:
    return list(await cabinet.read_bays())


def _give_up(answer: "asyncio.Task[Any]") -> None:
    """It ends whenever it does; nobody waits for it."""
    answer.cancel()
    answer.add_done_callback(lambda late: late.cancelled() or late.exception())
