"""Being asked to stop, as processes are: by signals; and waiting for that beside something else."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

ResultT = TypeVar("ResultT")

_log: Final = logging.getLogger(__name__)


async def until_stopped(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run ``work``; the first SIGTERM or SIGINT asks it to stop, the second does not ask."""
    request = StopRequest()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, request.on_signal, number)
    await work(request.event)


class StopRequest:
    """The wish to stop, as signals express it."""

    EXIT_CODE: Final = 1
    """Of a process that was not given the time to stop."""

    _SAME_REQUEST_S: Final = 0.5
    """timeout(1), a terminal or a supervisor may send one signal to the process and to its group."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self._asked_at = 0.0

    def on_signal(self, number: signal.Signals) -> None:
        """Stop; when asked a second time, at once."""
        now = time.monotonic()
        if not self.event.is_set():
            _log.info("%s: stops", number.name)
            self._asked_at = now
            self.event.set()
        elif now - self._asked_at > self._SAME_REQUEST_S:
            _log.warning("%s again: ends at once", number.name)
            os._exit(self.EXIT_CODE)


async def first_of(*events: asyncio.Event, ended: "asyncio.Task[Any] | None" = None) -> None:
    """Return when one of ``events`` is set, or the task ``ended`` is over, however it went."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    watched = waits if ended is None else [*waits, ended]
    try:
        await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def unless(stop: asyncio.Event, work: Awaitable[ResultT]) -> ResultT | None:
    """The result of ``work``; None when ``stop`` is set before, and ``work`` is cancelled and over."""
    task, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for one in (task, stopping):
            one.cancel()
        await asyncio.wait({task, stopping})
