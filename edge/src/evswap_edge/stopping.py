"""Being asked to stop, as processes are: by signals."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

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
