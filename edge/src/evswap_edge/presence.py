"""Keep the broker's retained word on whether this station is there: see ``evswap_schema.connection``.

The station says ``online`` on every new link. When a link breaks and does not come back in time the broker
publishes the will, ``offline``; a station that stops says so itself.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final
from uuid import uuid4

from evswap_edge.clock import TimeSource
from evswap_edge.episode import Episode
from evswap_edge.message import Message
from evswap_edge.transports import NotAcknowledged, NotConnected, Transport, TransportError
from evswap_schema import Channel, Connection, ConnectionState, encode_connection

FAREWELL_S: Final = 2.0
"""How long a station that stops waits for its last word to be taken."""

_log: Final = logging.getLogger(__name__)


class Presence:
    """What is said of one run of a station. ``will`` is for the broker, ``on_link`` for the transport."""

    def __init__(self, station_id: str, *, topic: Callable[..., str], time: TimeSource) -> None:
        self._station_id = station_id
        self._topic = topic(Channel.CONNECTION, station_id)
        self._time = time
        self._session = uuid4().hex
        self._up = False
        self._news = asyncio.Event()
        self._trouble = Episode(_log, "saying that this station is online", monotonic=time.monotonic)
        self.will = self._message(ConnectionState.OFFLINE)

    def on_link(self, up: bool) -> None:
        """There is a new link, or the last one has ended."""
        self._up = up
        if up:
            self._news.set()

    @asynccontextmanager
    async def over(self, transport: Transport) -> AsyncIterator[None]:
        """Say ``online`` over ``transport`` on every new link meanwhile, and ``offline`` in the end."""
        saying = asyncio.create_task(self._greet(transport), name=f"presence {self._station_id}")
        try:
            yield
        finally:
            saying.cancel()
            await asyncio.wait({saying})
            await self._farewell(transport)

    async def _greet(self, transport: Transport) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            await self._say_online(transport)

    async def _say_online(self, transport: Transport) -> None:
        try:
            await transport.send(self._message(ConnectionState.ONLINE))
        except NotConnected:
            return  # the next link brings it up again
        except NotAcknowledged as error:
            self._trouble.begin(error)
            self._news.set()
        except TransportError as error:
            self._trouble.begin(error)
        else:
            self._trouble.end()

    async def _farewell(self, transport: Transport) -> None:
        if not self._up:
            return
        with suppress(TransportError, TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await transport.send(self._message(ConnectionState.OFFLINE))

    def _message(self, state: ConnectionState) -> Message:
        said = Connection(
            station_id=self._station_id,
            state=state,
            session=self._session,
            timestamp=self._time.now(),
            clock=self._time.state(),
        )
        return Message(topic=self._topic, payload=encode_connection(said), retain=True)
