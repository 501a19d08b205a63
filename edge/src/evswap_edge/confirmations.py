"""The cloud's own word that it has a message, for transports whose success proves nothing.

Where a transport only hands messages over (AWS IoT Greengrass), a message says ``acknowledge``, and the cloud
names it by the digest of its bytes once it has archived it. Until then its samples stay in the outbox. What
the cloud has not named within the time-out is sent again: it may have been lost on the way, or the answer
was, and then the cloud gets it twice and keeps one.

    confirmations = Confirmations(time, station_id=station_id)
    await confirmations.listen(transport)
    await confirmations.deliver(message, transport.send)     # instead of transport.send(message)
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from evswap_edge.clock import TimeSource
from evswap_edge.episode import Episode
from evswap_edge.message import Message
from evswap_edge.transports import TransportError
from evswap_schema import Channel, SchemaError, broker_topic, decode_acknowledgement, message_digest

MAX_UNCONFIRMED: Final = 500
"""How many messages may wait at once, and so how many may reach the cloud twice after a break of the way
back."""

TIMEOUT_S: Final = 300.0
"""The cloud answers within seconds; a nucleus has been seen to need 91 s to come back to its broker."""

_MOST_REMEMBERED: Final = 2 * MAX_UNCONFIRMED
"""Answers that nobody waited for: they came after the time-out, or to the process before this one."""

_log: Final = logging.getLogger(__name__)


class NotConfirmed(TransportError):
    """The message was handed over, and the cloud has not said within ``timeout_s`` that it has it. Send it
    again."""

    def __init__(self, *, topic: str, timeout_s: float) -> None:
        self.topic = topic
        self.timeout_s = timeout_s
        super().__init__(f"{topic} handed over, and not confirmed by the cloud within {timeout_s:g} s")


class TooManyUnconfirmed(TransportError):
    """There is no place for another message until one of the ``limit`` is confirmed or given up."""

    def __init__(self, *, limit: int) -> None:
        self.limit = limit
        super().__init__(f"{limit} messages wait for the cloud's confirmation already")


class Subscribes(Protocol):
    """What is needed of a transport."""

    async def subscribe(self, topic_filter: str, on_message: Callable[[str, bytes], None]) -> None: ...


class Confirmations:
    """Which of a station's messages wait for the cloud's word. For one event loop."""

    def __init__(
        self,
        time: TimeSource,
        *,
        station_id: str,
        timeout_s: float = TIMEOUT_S,
        limit: int = MAX_UNCONFIRMED,
    ) -> None:
        """``timeout_s`` counts from the moment a message was handed over; no more than ``limit`` may wait."""
        self.limit = limit
        self.topic = broker_topic(Channel.ACKNOWLEDGEMENT, station_id)
        self._time = time
        self._station_id = station_id
        self._timeout_s = timeout_s
        self._unconfirmed = 0
        self._awaited: dict[str, list[asyncio.Event]] = {}
        self._unclaimed: dict[str, None] = {}
        self._transport: Subscribes | None = None
        self._listened_at = self._heard_at = -math.inf
        self._silence = Episode(_log, "the cloud's acknowledgements", monotonic=time.monotonic)

    @property
    def unconfirmed(self) -> int:
        """How many messages wait now."""
        return self._unconfirmed

    @property
    def room(self) -> int:
        """How many more may be delivered at once."""
        return self.limit - self._unconfirmed

    async def listen(self, transport: Subscribes) -> None:
        """Hear the cloud's acknowledgements over ``transport``. Raises what its ``subscribe`` raises."""
        self._transport = transport
        self._listened_at = self._time.monotonic()
        await transport.subscribe(self.topic, self.on_acknowledgement)

    async def deliver(self, message: Message, send: Callable[[Message], Awaitable[None]]) -> None:
        """Hand ``message`` over by ``send``, and return when the cloud has confirmed it; at once, and without
        sending, when it has by now.

        Raises ``NotConfirmed``, ``TooManyUnconfirmed``, and what ``send`` raises. May be cancelled.
        """
        digest = message_digest(message.payload)
        if self._claim(digest):
            return
        # Before it is sent: the cloud may be quicker than whoever takes the message over.
        with self._expected(digest) as confirmed:
            await send(message)
            handed_over_at = self._time.monotonic()
            await self._time.wait_until(handed_over_at + self._timeout_s, unless=confirmed)
            if not confirmed.is_set():
                await self._missed(handed_over_at)
                raise NotConfirmed(topic=message.topic, timeout_s=self._timeout_s)

    def on_acknowledgement(self, topic: str, payload: bytes) -> None:
        """The cloud says what it has. What cannot be read, or is for another station, is logged and
        ignored."""
        try:
            acknowledgement = decode_acknowledgement(payload)
        except SchemaError as error:
            _log.warning("what came on %s is no acknowledgement: %s", topic, error)
            return
        if acknowledgement.station_id != self._station_id:
            _log.warning("what came on %s is for %s", topic, acknowledgement.station_id)
            return
        self._heard_at = self._time.monotonic()
        self._silence.end()
        for digest in acknowledgement.digests:
            self._confirm(digest)

    def _confirm(self, digest: str) -> None:
        for confirmed in self._awaited.get(digest, ()):
            confirmed.set()
        if digest not in self._awaited:
            self._remember(digest)

    def _remember(self, digest: str) -> None:
        self._unclaimed[digest] = None
        if len(self._unclaimed) > _MOST_REMEMBERED:
            del self._unclaimed[next(iter(self._unclaimed))]

    def _claim(self, digest: str) -> bool:
        """Whether the cloud has named ``digest`` when nobody waited for it."""
        claimed = digest in self._unclaimed
        self._unclaimed.pop(digest, None)
        return claimed

    @contextmanager
    def _expected(self, digest: str) -> Iterator[asyncio.Event]:
        """Wait for ``digest``, beside others that do: the same bytes may be under way twice."""
        if self.room < 1:
            raise TooManyUnconfirmed(limit=self.limit)
        confirmed = asyncio.Event()
        self._awaited.setdefault(digest, []).append(confirmed)
        self._unconfirmed += 1
        try:
            yield confirmed
        finally:
            self._unconfirmed -= 1
            self._awaited[digest].remove(confirmed)
            if not self._awaited[digest]:
                del self._awaited[digest]

    async def _missed(self, handed_over_at: float) -> None:
        """Nothing at all heard since: the way back may be broken. A nucleus that comes back to its broker
        forgets a subscription that the broker does not take at once, and tells nobody; so subscribe again."""
        if self._heard_at >= handed_over_at:
            return
        self._silence.begin(f"none for {self._timeout_s:g} s; messages are sent again until there are")
        if self._transport and self._time.monotonic() - self._listened_at >= self._timeout_s:
            await self.listen(self._transport)
