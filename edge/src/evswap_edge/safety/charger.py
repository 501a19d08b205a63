"""Orders to the charger of one bay. The driver is foreign code: it may fail, or never answer."""

import asyncio
from collections.abc import Callable
from functools import partial

from evswap_edge.hal import BayActuators


class Charger:
    """The charger of ``bay``. ``order`` returns at once; what became of it shows later."""

    def __init__(
        self, actuators: BayActuators, bay: int, *, timeout_s: float, on_end: Callable[[], None]
    ) -> None:
        """``on_end`` is called when an order was taken, or failed."""
        self._actuators = actuators
        self._bay = bay
        self._timeout_s = timeout_s
        self._on_end = on_end
        self._calls: dict[bool, asyncio.Task[None]] = {}
        self._closed = False
        self.enabled: bool | None = None
        """As the order that was taken last has it; None where none was."""
        self.failure: str | None = None
        """Why the last order was not taken."""

    def order(self, *, enabled: bool) -> None:
        """Give the order, unless the same is being given. The first step of the driver's own call is the next
        thing that the event loop does."""
        if self._closed or enabled in self._calls:
            return
        loop = asyncio.get_running_loop()
        call = loop.create_task(self._actuators.set_charging(self._bay, enabled=enabled))
        self._calls[enabled] = call
        overdue = loop.call_later(self._timeout_s, self._give_up, call)
        call.add_done_callback(partial(self._ended, enabled, overdue))

    def somebody_else_ordered(self) -> None:
        """What was ordered before may not hold any more."""
        self.enabled = None

    async def aclose(self) -> None:
        """Give no orders any more. One that is under way has its time to be taken."""
        self._closed = True
        if self._calls:
            await asyncio.wait(self._calls.values(), timeout=self._timeout_s)

    def _give_up(self, call: "asyncio.Task[None]") -> None:
        call.cancel()
        self.failure = f"no answer within {self._timeout_s:g} s"
        self._on_end()

    def _ended(self, enabled: bool, overdue: asyncio.TimerHandle, call: "asyncio.Task[None]") -> None:
        overdue.cancel()
        del self._calls[enabled]
        if call.cancelled():
            self.failure = self.failure or "the driver gave up"
            self._on_end()
            return
        error = call.exception()
        if error is None:
            self.enabled, self.failure = enabled, None
        else:
            self.failure = str(error) or repr(error)
        self._on_end()
