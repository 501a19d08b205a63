"""A reading behind a time-out of its own: it answers in time, and never raises."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Generic, TypeVar

from evswap_edge.hal import Unread

ValueT = TypeVar("ValueT")

_LAST_GRACE_S: Final = 1.0
"""For so long a call that was given up is waited for when the hardware is given back."""


class Guarded(Generic[ValueT]):
    """One way to read a driver. There is never more than one call under way: who asks meanwhile gets its
    answer too, and when it is overdue nobody asks again before it has ended."""

    def __init__(
        self, read: Callable[[], Coroutine[Any, Any, ValueT]], *, name: str, within_s: float
    ) -> None:
        self._read = read
        self._name = name
        self._within_s = within_s
        self._call: asyncio.Task[ValueT] | None = None
        self.due = 0.0
        """Until when the call that began last may take, by the loop's clock."""

    async def read(self) -> ValueT | Unread:
        """The value now; ``Unread`` when the driver fails, hangs, or still owes the answer to an earlier
        call."""
        answer: ValueT | Unread
        (answer,) = await read_together([self])
        return answer

    def begin(self) -> "asyncio.Task[ValueT]":
        """The call that is under way, or one that begins now."""
        if self._call is None or self._call.done():
            loop = asyncio.get_running_loop()
            self.due = loop.time() + self._within_s
            self._call = self._begun(loop)
        return self._call

    def outcome(self, call: "asyncio.Task[ValueT]") -> ValueT | Unread:
        """What has come of ``begin``, as ``read`` has it."""
        if not call.done() or call.cancelled():
            return Unread(f"no answer within {self._within_s:g} s")
        if error := call.exception():
            # Whatever it is: a driver is foreign code, and its bugs must not stop the others.
            return Unread(str(error) or repr(error))
        return call.result()

    async def aclose(self) -> None:
        """Give up what is under way."""
        if self._call is not None and not self._call.done():
            self._call.cancel()
            await asyncio.wait({self._call}, timeout=_LAST_GRACE_S)

    def _begun(self, loop: asyncio.AbstractEventLoop) -> "asyncio.Task[ValueT]":
        """Whoever asked may be gone when the time is over: the call ends by itself."""
        call = loop.create_task(self._read(), name=f"read {self._name}")
        giving_up = loop.call_at(self.due, call.cancel)
        call.add_done_callback(lambda _: giving_up.cancel())
        call.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return call


async def read_together(sensors: Sequence[Guarded[Any]]) -> list[Any]:
    """What each of them says, all of them asked at once and waited for once."""
    calls = [sensor.begin() for sensor in sensors]
    if calls:
        last_due = max(sensor.due for sensor in sensors)
        await asyncio.wait(calls, timeout=max(0.0, last_due - asyncio.get_running_loop().time()))
    return [sensor.outcome(call) for sensor, call in zip(sensors, calls, strict=True)]
