"""A transport without a network: what it accepts stays in a list. For tests and demonstrations.

What goes wrong is scripted: each entry of ``script`` decides one ``send``, the first entry the first. Past
its end everything is accepted.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from contextvars import copy_context
from typing import Final

from msgspec import Struct

from evswap_edge.message import Message
from evswap_edge.transports import (
    ACCEPTED,
    Assurance,
    Caller,
    NotConnected,
    OnMessage,
    ReasonCode,
    Rejected,
    Transport,
    TransportKind,
)
from evswap_edge.transports.subscriptions import Subscriptions, matches


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """There is nothing to choose."""


class MemoryTransport:
    """Accepts into ``accepted``; ``attempts`` holds every message that was tried, in order.

    ``retained`` is what a late subscriber would see, topic by topic; a will that was published is there and
    in ``accepted``. ``refused_filters`` are those that nobody may subscribe to.
    """

    assurance = Assurance.DELIVERED

    def __init__(self, script: Iterable[ReasonCode] = (), *, caller: Caller | None = None) -> None:
        self.accepted: list[Message] = []
        self.retained: dict[str, Message] = {}
        self.will = caller.will if caller else None
        self._on_link = caller.on_link if caller else lambda _: None
        self.refused_filters: set[str] = set()
        self.attempts: list[Message] = []
        self.script = deque(script)
        self.connects = 0
        self._up = asyncio.Event()
        self._reachable = asyncio.Event()
        self._reachable.set()
        self._answers = asyncio.Event()
        self._answers.set()
        self._close_code: int | None = None
        self._losing_answers = False
        self._subscriptions = Subscriptions(time.monotonic)
        self._context = copy_context()

    async def connect(self) -> None:
        await self._reachable.wait()
        if not self._up.is_set():
            self.connects += 1
            self._up.set()
            for topic_filter in self._subscriptions.filters:
                self._renew(topic_filter)
            self._on_link(True)

    async def send(self, message: Message) -> None:
        if not self._up.is_set():
            raise NotConnected("the link is cut")
        self.attempts.append(message)
        await asyncio.sleep(0)
        if self._losing_answers:
            self._accept(message)
        await self._answers.wait()
        if not self._up.is_set():
            raise NotConnected("the link was cut", reason_code=self._close_code)
        code = self.script.popleft() if self.script else ReasonCode.SUCCESS
        if code not in ACCEPTED:
            raise Rejected(topic=message.topic, reason_code=code)
        self._accept(message)

    async def subscribe(self, topic_filter: str, on_message: OnMessage) -> None:
        self._subscriptions.add(topic_filter, on_message)
        if self._up.is_set() and (refusal := self._renew(topic_filter)):
            raise refusal

    async def aclose(self) -> None:
        self._go_down()

    def _accept(self, message: Message) -> None:
        self.accepted.append(message)
        if message.retain:
            self.retained[message.topic] = message

    def _go_down(self) -> None:
        if self._up.is_set():
            self._up.clear()
            self._on_link(False)

    def _renew(self, topic_filter: str) -> Rejected | None:
        if topic_filter in self.refused_filters:
            refusal = Rejected(topic=topic_filter, reason_code=ReasonCode.NOT_AUTHORIZED)
            self._subscriptions.refused(refusal)
            return refusal
        self._subscriptions.accepted(topic_filter)
        return None

    # --- what a test does to it -------------------------------------------------------------------------

    def deliver(self, topic: str, payload: bytes) -> None:
        """Let the subscribers hear a message, if there is a link and one of their filters was taken."""
        taken = [each for each in self._subscriptions.filters if each not in self.refused_filters]
        if self._up.is_set() and any(matches(topic_filter, topic) for topic_filter in taken):
            self._subscriptions.dispatch(topic, payload, self._context)

    def go_silent(self) -> None:
        """Keep the link and answer no more, as a half-open connection does."""
        self._answers.clear()

    def answer_again(self) -> None:
        self._answers.set()

    def lose_answers(self) -> None:
        """Take messages and never say so, until the link breaks."""
        self._losing_answers = True
        self._answers.clear()

    def cut(self, *, reason_code: int | None = None) -> None:
        """Close the link, with a reason if given. Messages under way fail; ``connect`` works at once."""
        self._close_code = reason_code
        if self._up.is_set() and self.will is not None:
            self._accept(self.will)
        self._go_down()
        self._losing_answers = False
        self._answers.set()

    def take_down(self) -> None:
        """As ``cut``, and ``connect`` waits until ``bring_up``."""
        self._reachable.clear()
        self.cut()

    def bring_up(self) -> None:
        self._reachable.set()


async def _open(settings: Settings, caller: Caller) -> Transport:  # noqa: ARG001
    return MemoryTransport(caller=caller)


KIND: Final = TransportKind(
    settings=Settings,
    check=lambda settings, time: None,  # noqa: ARG005
    open=_open,
    station_files=lambda directory, station_id: {},  # noqa: ARG005
)
