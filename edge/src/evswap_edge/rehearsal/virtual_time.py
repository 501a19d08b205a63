"""Time that does not have to be waited for: when nobody has anything to do, the clock jumps to whoever waits.

All of it in one thread, so that what happens at the same moment happens in the same order each time: also
what a station gives to other threads, for a disk that takes long, is done in the event loop.
"""

import asyncio
import selectors
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar, TypeVarTuple

from evswap_schema import Clock

ResultT = TypeVar("ResultT")
ArgumentTs = TypeVarTuple("ArgumentTs")

_BOOT_ID: Final = "00000000-0000-4000-8000-000000000000"

_RESOLUTION_S: Final = 1e-6
"""What is due within this, asyncio does. Its own, a nanosecond, is less than what numbers of some months'
seconds differ by: nothing would ever be due."""


class NobodyWaits(RuntimeError):
    """Every task waits for something that no other task, and no moment, will bring about."""

    def __init__(self) -> None:
        super().__init__("nothing is left to be done at any time: the tasks wait for each other")


class _Jump(selectors.SelectSelector):
    """In the place of waiting for the outside world, which has no part in it: waits are over at once."""

    def __init__(self, passes: Callable[[float], None]) -> None:
        super().__init__()
        self._passes = passes

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NobodyWaits
        self._passes(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose ``time`` begins at 0 and moves only when nobody has anything to do."""

    def __init__(self) -> None:
        self._seconds = 0.0
        super().__init__(_Jump(self._pass))
        self._clock_resolution = _RESOLUTION_S

    def time(self) -> float:
        return self._seconds

    def run_in_executor(
        self,
        executor: Any,  # noqa: ARG002 - there is no other thread
        func: Callable[[*ArgumentTs], ResultT],
        *args: *ArgumentTs,
    ) -> "asyncio.Future[ResultT]":
        """Call ``func`` here and now."""
        done: asyncio.Future[ResultT] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for the result
            done.set_exception(error)
        return done

    def _pass(self, seconds: float) -> None:
        self._seconds += max(0.0, seconds)


class VirtualTime:
    """The ``TimeSource`` of what runs in a ``VirtualLoop``; its wall clock is right and begins at
    ``start``."""

    boot_id = _BOOT_ID

    def __init__(self, loop: asyncio.AbstractEventLoop, *, start: datetime) -> None:
        self._loop = loop
        self._start = start

    def monotonic(self) -> float:
        return self._loop.time()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._loop.time())

    def state(self) -> Clock:
        return Clock.SYNCHRONIZED

    async def wait_until(self, moment: float, *, unless: asyncio.Event) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(moment):
                await unless.wait()
