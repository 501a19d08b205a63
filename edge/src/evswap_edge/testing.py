"""For tests of drivers, transports and stations: a clock that stands still, and a cabinet on strings."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, NoReturn

from evswap_edge.hal import Climate
from evswap_schema import Bay, Charge, Health, Lock, Occupancy, Reservation
from evswap_schema import Clock as ClockState

_START: Final = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
_LONGEST_SETTLING: Final = 50


class ManualTime:
    """A ``TimeSource`` that moves only by ``advance`` and ``jump``."""

    def __init__(self, *, now: datetime = _START, state: ClockState = ClockState.SYNCHRONIZED) -> None:
        self.boot_id = "00000000-0000-4000-8000-000000000000"
        self.clock_state = state
        self._wall = now
        self._monotonic = 1_000.0
        self._waiting: list[tuple[float, asyncio.Event]] = []

    def monotonic(self) -> float:
        return self._monotonic

    def now(self) -> datetime:
        return self._wall

    def state(self) -> ClockState:
        return self.clock_state

    async def wait_until(self, moment: float, *, unless: asyncio.Event) -> None:
        with self._appointment(moment) as reached:
            waits = [asyncio.ensure_future(event.wait()) for event in (reached, unless)]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass, and let everything happen that was waiting for one of them, in order."""
        end = self._monotonic + seconds
        while (due := min((moment for moment, _ in self._waiting), default=end)) < end:
            self._move_to(max(due, self._monotonic))
            await settle()
        self._move_to(end)
        await settle()

    def stall(self, seconds: float) -> None:
        """Let ``seconds`` pass in which nobody gets to do anything, as on a machine that is overloaded."""
        self._wall += timedelta(seconds=seconds)
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock, forward or back; the monotonic one does not notice."""
        self._wall += timedelta(seconds=seconds)

    def _move_to(self, moment: float) -> None:
        self._wall += timedelta(seconds=moment - self._monotonic)
        self._monotonic = moment
        for due, reached in self._waiting:
            if due <= moment:
                reached.set()

    @contextmanager
    def _appointment(self, moment: float) -> Iterator[asyncio.Event]:
        reached = asyncio.Event()
        if moment <= self._monotonic:
            reached.set()
        entry = (moment, reached)
        self._waiting.append(entry)
        try:
            yield reached
        finally:
            self._waiting.remove(entry)


async def settle() -> None:
    """Let every task go as far as it gets without the clock."""
    for _ in range(_LONGEST_SETTLING):
        await asyncio.sleep(0)


class ScriptedCabinet:
    """A ``Cabinet`` that shows what it is told to: values, errors, or nothing for ever (``HANGS``)."""

    HANGS: Final = "hangs"

    def __init__(self, *, bays: Sequence[Bay] = (), climate: Climate | None = None) -> None:
        self.bays: Sequence[Bay] | Exception | str = bays or (charged_bay(1), charged_bay(2))
        self.climate: Climate | Exception | str = climate or Climate(temperature=21.5, humidity=40.0)
        self.closed = False

    async def read_climate(self) -> Climate:
        if isinstance(self.climate, Climate):
            return self.climate
        return await _misbehave(self.climate)

    async def read_bays(self) -> Sequence[Bay]:
        if isinstance(self.bays, Exception | str):
            return await _misbehave(self.bays)
        return self.bays

    async def aclose(self) -> None:
        self.closed = True


async def _misbehave(how: Exception | str) -> NoReturn:
    if isinstance(how, Exception):
        raise how
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


def charged_bay(number: int) -> Bay:
    """A healthy bay with a full battery, of which no more is known."""
    return Bay(
        bay=number,
        occupancy=Occupancy.OCCUPIED,
        charge=Charge.CHARGED,
        lock=Lock.LOCKED,
        reservation=Reservation.FREE,
        health=Health.HEALTHY,
    )
