"""A reading behind a time-out of its own: it answers in time, and never raises."""

import asyncio
from collections.abc import Callable, Coroutine
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
        self._due = 0.0

    async def read(self) -> ValueT | Unread:
        """The value now; ``Unread`` when the driver fails, hangs, or still owes the answer to an earlier
        call."""
        loop = asyncio.get_running_loop()
        if self._call is None or self._call.done():
            self._due = loop.time() + self._within_s
            self._call = self._begin(loop)
        call = self._call
        await asyncio.wait({call}, timeout=max(0.0, self._due - loop.time()))
        return self._outcome(call)

    async def aclose(self) -> None:
        """Give up what is under way."""
        if self._call is not None and not self._call.done():
            self._call.cancel()
            await asyncio.wait({self._call}, timeout=_LAST_GRACE_S)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> "asyncio.Task[ValueT]":
        """Whoever asked may be gone when the time is over: the call ends by itself."""
        call = loop.create_task(self._read(), name=f"read {self._name}")
        giving_up = loop.call_at(self._due, call.cancel)
        call.add_done_callback(lambda _: giving_up.cancel())
        call.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return call

    def _outcome(self, call: "asyncio.Task[ValueT]") -> ValueT | Unread:
        if not call.done() or call.cancelled():
            return Unread(f"no answer within {self._within_s:g} s")
        if error := call.exception():
            # Whatever it is: a driver is foreign code, and its bugs must not stop the others.
            return Unread(str(error) or repr(error))
        return call.result()
