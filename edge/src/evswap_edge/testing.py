"""For whoever tests a driver, a transport or a station: a clock that stands still until it is moved."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

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
