"""A transport without a network: what it accepts stays in a list. For tests and demonstrations.

What goes wrong is scripted: each entry of ``script`` decides one ``send``, the first entry the first. Past
its end everything is accepted.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from evswap_edge.clock import TimeSource
from evswap_edge.message import Message
from evswap_edge.transports import ACCEPTED, NotConnected, ReasonCode, Rejected, Transport, TransportKind


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """There is nothing to choose."""


class MemoryTransport:
    """Accepts into ``accepted``; ``attempts`` holds every message that was tried, in order."""

    def __init__(self, script: Iterable[ReasonCode] = ()) -> None:
        self.accepted: list[Message] = []
        self.attempts: list[Message] = []
        self.script = deque(script)
        self.connects = 0
        self._up = asyncio.Event()
        self._reachable = asyncio.Event()
        self._reachable.set()
        self._answers = asyncio.Event()
        self._answers.set()
        self._close_code: int | None = None

    async def connect(self) -> None:
        await self._reachable.wait()
        if not self._up.is_set():
            self.connects += 1
            self._up.set()

    async def send(self, message: Message) -> None:
        if not self._up.is_set():
            raise NotConnected("the link is cut")
        self.attempts.append(message)
        await asyncio.sleep(0)
        await self._answers.wait()
        if not self._up.is_set():
            raise NotConnected("the link was cut", reason_code=self._close_code)
        code = self.script.popleft() if self.script else ReasonCode.SUCCESS
        if code not in ACCEPTED:
            raise Rejected(topic=message.topic, reason_code=code)
        self.accepted.append(message)

    async def aclose(self) -> None:
        self._up.clear()

    # --- what a test does to it -------------------------------------------------------------------------

    def go_silent(self) -> None:
        """Keep the link and answer no more, as a half-open connection does."""
        self._answers.clear()

    def answer_again(self) -> None:
        self._answers.set()

    def cut(self, *, reason_code: int | None = None) -> None:
        """Close the link, with a reason if given. Messages under way fail; ``connect`` works at once."""
        self._close_code = reason_code
        self._up.clear()
        self._answers.set()

    def take_down(self) -> None:
        """As ``cut``, and ``connect`` waits until ``bring_up``."""
        self._reachable.clear()
        self.cut()

    def bring_up(self) -> None:
        self._reachable.set()


async def _open(settings: Settings, station_id: str, time: TimeSource) -> Transport:  # noqa: ARG001
    return MemoryTransport()


KIND: Final = TransportKind(
    settings=Settings,
    check=lambda settings, time: None,  # noqa: ARG005
    open=_open,
    station_files=lambda directory, station_id: {},  # noqa: ARG005
)
