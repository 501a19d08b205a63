"""Bugs, planted on purpose: a suite that does not find them proves nothing."""

import asyncio
import dataclasses
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import Any, Final

from evswap_edge.message import Message
from evswap_edge.transports import Transport, TransportError, TransportKind


class Plant(StrEnum):
    """What is wrong with the station."""

    ACKNOWLEDGES_EARLY = "acknowledges-early"
    """It forgets a message when it has handed it to the library, not when the broker has it."""
    SENDS_AGAIN = "sends-again"
    """It sends what was already acknowledged once more after each reconnection."""
    REVERSES = "reverses"
    """It sends three messages at a time, the last of them first."""


class _Planted:
    """A transport with everything as it was, but `connect` and `send`."""

    def __init__(self, sound: Transport) -> None:
        self._sound = sound

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sound, name)

    async def connect(self) -> None:
        await self._sound.connect()

    async def send(self, message: Message) -> None:
        await self._sound.send(message)


class _Early(_Planted):
    def __init__(self, sound: Transport) -> None:
        super().__init__(sound)
        self._sending: set[asyncio.Task[None]] = set()

    async def send(self, message: Message) -> None:
        task = asyncio.create_task(self._hope(message))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        await asyncio.sleep(0)

    async def _hope(self, message: Message) -> None:
        with suppress(TransportError):
            await self._sound.send(message)


class _Again(_Planted):
    _MANY: Final = 200

    def __init__(self, sound: Transport) -> None:
        super().__init__(sound)
        self._sent: list[Message] = []

    async def connect(self) -> None:
        await self._sound.connect()
        with suppress(TransportError):
            for message in self._sent[-self._MANY :]:
                await self._sound.send(message)

    async def send(self, message: Message) -> None:
        await self._sound.send(message)
        self._sent.append(message)


class _Reversed(_Planted):
    _TOGETHER: Final = 3
    _PATIENCE_S: Final = 0.3
    _STEP_S: Final = 0.02

    def __init__(self, sound: Transport) -> None:
        super().__init__(sound)
        self._waiting = 0
        self._full = asyncio.Event()

    async def send(self, message: Message) -> None:
        place, full = self._waiting, self._full
        self._waiting += 1
        if self._waiting == self._TOGETHER:
            self._waiting, self._full = 0, asyncio.Event()
            full.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._PATIENCE_S):
                await full.wait()
        await asyncio.sleep(self._STEP_S * (self._TOGETHER - place))
        await self._sound.send(message)


_MAKERS: Final[dict[Plant, Callable[[Transport], _Planted]]] = {
    Plant.ACKNOWLEDGES_EARLY: _Early,
    Plant.SENDS_AGAIN: _Again,
    Plant.REVERSES: _Reversed,
}


def planted(kind: TransportKind[Any], plant: Plant) -> TransportKind[Any]:
    """The same transport with `plant` in it."""

    async def open_planted(*arguments: Any) -> Any:
        return _MAKERS[plant](await kind.open(*arguments))

    return dataclasses.replace(kind, open=open_planted)
