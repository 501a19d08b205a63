"""Locks that a pulse opens, and the switches that tell whether it did."""

import asyncio
from typing import Final

from evswap_edge.drivers.gpio.pins import Board, Output, Switch
from evswap_edge.drivers.gpio.settings import Closed, Settings
from evswap_edge.hal import ActionRefused, ActuatorError, ByBay, SensorError, Unread
from evswap_schema import Lock

_LOOK_EVERY_S: Final = 0.01


class GpioLocks:
    """A ``LockBank``. One lock at a time is given its pulse: a supply that can open one may not open two."""

    def __init__(self, board: Board, settings: Settings) -> None:
        self._board = board
        self._settings = settings
        bays = settings.numbers
        self._locks: dict[int, Output] = {
            bay: board.output(pin, settings.active) for bay, pin in zip(bays, settings.locks, strict=True)
        }
        self._feedback: dict[int, Switch] = {
            bay: board.switch(pin, settings.pull)
            for bay, pin in zip(bays, settings.feedback, strict=bool(settings.feedback))
        }
        self._turn = asyncio.Lock()

    async def read_locks(self) -> ByBay[Lock]:
        """Without feedback nothing is known of a lock."""
        return {bay: self._state(bay) for bay in self._locks}

    async def unlock(self, bay: int) -> None:
        if bay not in self._locks:
            raise ActionRefused(bay=bay, reason="no pin has its lock")
        async with self._turn:
            await self._open(bay)

    async def aclose(self) -> None:
        self._board.close()

    async def _open(self, bay: int) -> None:
        """The pulse ends, whatever happens meanwhile: a coil that stays on burns."""
        now = asyncio.get_running_loop().time
        began = now()
        self._locks[bay].on()
        try:
            opened = await self._watched(bay, until=began + self._settings.pulse_s)
            await asyncio.sleep(max(0.0, began + self._settings.pulse_s - now()))
        finally:
            self._locks[bay].off()
        if bay not in self._feedback:
            return
        until = began + max(self._settings.pulse_s, self._settings.feedback_within_s)
        if not opened and not await self._watched(bay, until=until):
            raise ActuatorError(bay=bay, reason=self._contradiction())

    async def _watched(self, bay: int, *, until: float) -> bool:
        """Whether the lock was seen open before that moment: some fall shut right behind the pulse."""
        now = asyncio.get_running_loop().time
        while bay in self._feedback:
            if self._state(bay) is Lock.UNLOCKED:
                return True
            if (rest_s := until - now()) <= 0:
                break
            await asyncio.sleep(min(_LOOK_EVERY_S, rest_s))
        return False

    def _state(self, bay: int) -> Lock | Unread:
        if bay not in self._feedback:
            return Lock.UNKNOWN
        try:
            closed = self._feedback[bay].is_closed()
        except SensorError as error:
            return Unread(str(error))
        locked = closed is (self._settings.closed is Closed.LOCKED)
        return Lock.LOCKED if locked else Lock.UNLOCKED

    def _contradiction(self) -> str:
        within_s = max(self._settings.pulse_s, self._settings.feedback_within_s)
        return (
            f"its lock had a pulse of {self._settings.pulse_s:g} s, and its feedback does not show it open "
            f"within {within_s:g} s; is it jammed, or a wire loose?"
        )
