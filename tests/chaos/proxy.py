"""The way between a station and its broker, on which everything happens that happens to ways.

It ends the station's TLS and begins its own with the station's credentials, so it sees packets: it can lose
the answers alone, say an answer twice, and count what really travelled.
"""

import asyncio
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum, auto
from typing import Final

from tests.authority import LOOPBACK
from tests.chaos import packets
from tests.chaos.packets import Packet
from tests.chaos.recorder import Arrival
from tests.mosquitto import Credentials, free_port
from tests.mqtt_wire import server_context

_HANDSHAKE_S: Final = 5.0
_PARTING_S: Final = 1.0


class Way(StrEnum):
    """What the way does with a packet."""

    OPEN = auto()
    CUT = auto()
    """There is no way: connections are refused, and those that were are gone."""
    SWALLOWS = auto()
    """Half-open: the connection stands, nothing arrives at either end."""
    SWALLOWS_ANSWERS = auto()
    """What the station says arrives, what the broker says does not."""
    SLOW = auto()
    """A few kilobytes a second."""
    LATE = auto()
    """Each packet comes a while later."""


@dataclass(slots=True)
class Connection:
    """One of the station's connections, and the messages that it carried up, in order."""

    published: list[Arrival] = field(default_factory=list)
    swallowed: set[str] = field(default_factory=set)
    """Directions in which a packet was lost: nothing can follow it any more, as on any stream."""
    end: Callable[[], None] = lambda: None


class Proxy:
    """Listens for a station on one port, with one certificate, for as long as it lives."""

    SLOW_BYTES_PER_S: Final = 4_000
    LATE_S: Final = 0.12

    def __init__(self, station: Credentials, own: Credentials, broker_port: int) -> None:
        self.port = free_port()
        self.way = Way.OPEN
        self.acknowledges_twice = False
        self.connections: list[Connection] = []
        self._broker_port = broker_port
        self._down = server_context(own.ca_file, own.certificate_file, own.key_file)
        self._up = ssl.create_default_context(cafile=str(station.ca_file))
        self._up.load_cert_chain(station.certificate_file, station.key_file)
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], Connection] = {}

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port, ssl=self._down)

    async def aclose(self) -> None:
        self.cut()
        if self._server is not None:
            self._server.close()
        await asyncio.gather(*self._open, return_exceptions=True)

    def cut(self) -> None:
        """End every connection, without a word."""
        for connection in self._open.values():
            connection.end()

    def silence(self) -> None:
        """Let the connections that stand carry nothing any more, for ever. New ones are as good as any."""
        for connection in self._open.values():
            connection.swallowed |= {"up", "down"}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connection = Connection(end=lambda: _cancel(task))
        self._open[task] = connection
        try:
            if self.way is not Way.CUT:
                await self._relay(reader, writer, connection)
        except (OSError, EOFError, TimeoutError, asyncio.CancelledError):
            pass  # either end has gone, or `cut` was asked for
        finally:
            del self._open[task]
            writer.close()
            writer.transport.abort()

    async def _relay(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: Connection
    ) -> None:
        async with asyncio.timeout(_HANDSHAKE_S):
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._broker_port, ssl=self._up)
        self.connections.append(connection)
        up = asyncio.create_task(self._carry_up(reader, far_writer, connection))
        down = asyncio.create_task(self._carry_down(far_reader, writer, connection))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (up, down):
                task.cancel()
            far_writer.close()  # at once: this task may be cancelled while it waits
            await asyncio.gather(up, down, return_exceptions=True)
            await self._part(far_writer)

    async def _part(self, far_writer: asyncio.StreamWriter) -> None:
        """The broker has what was handed to it, also when the station goes first."""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_PARTING_S):
                await far_writer.wait_closed()
        far_writer.transport.abort()

    async def _carry_up(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: Connection
    ) -> None:
        while True:
            packet = await packets.read_packet(reader)
            if packet.kind == packets.PUBLISH:
                publish = packets.publish_of(packet)
                connection.published.append(Arrival(publish.topic, publish.payload, time.time()))
            await self._hand_on(packet.raw, writer, connection, "up")

    async def _carry_down(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: Connection
    ) -> None:
        while True:
            packet = await packets.read_packet(reader)
            await self._hand_on(self._perhaps_twice(packet), writer, connection, "down")

    def _perhaps_twice(self, packet: Packet) -> bytes:
        twice = self.acknowledges_twice and packet.kind == packets.PUBACK
        return packet.raw * 2 if twice else packet.raw

    async def _hand_on(
        self, raw: bytes, writer: asyncio.StreamWriter, connection: Connection, direction: str
    ) -> None:
        match self.way:
            case Way.SLOW:
                await asyncio.sleep(len(raw) / self.SLOW_BYTES_PER_S)
            case Way.LATE:
                await asyncio.sleep(self.LATE_S)
        # Looked at now: the way may have changed meanwhile.
        if self.way is Way.SWALLOWS or (self.way is Way.SWALLOWS_ANSWERS and direction == "down"):
            connection.swallowed.add(direction)
        if direction not in connection.swallowed:
            writer.write(raw)
            await writer.drain()


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
