"""A TCP link that can be cut: a proxy between a station and its broker, driven from another thread.

What a link can do to those who talk over it:

===========  =====================================  ======================================
state        connections that there are             new connections
===========  =====================================  ======================================
forwarding   bytes go through                       are made
cut          are reset                              are reset as soon as they are made
swallowing   stay open, but nothing gets through    are taken, and nothing gets through
===========  =====================================  ======================================

A connection that was swallowed once stays dead when the link is restored: between its ends something has
forgotten it, as a NAT router or a mobile network does. Who relies on it has to notice by itself.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from enum import Enum
from types import TracebackType
from typing import Any, Final, Self, TypeVar

Done = TypeVar("Done")

LOOPBACK: Final = "127.0.0.1"
_CHUNK: Final = 64 * 1024
_ORDER_WITHIN_S: Final = 10.0
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER, on with zero seconds: closing sends RST instead of FIN (socket(7), RFC 9293 section 3.6)."""


class LinkState(Enum):
    """What the link does with bytes."""

    FORWARDING = "forwarding"
    CUT = "cut"
    SWALLOWING = "swallowing"


class PortTaken(Exception):
    """The link cannot listen on `port`."""

    def __init__(self, port: int, cause: str) -> None:
        super().__init__(f"the link cannot listen on {LOOPBACK}:{port}: {cause}; choose another port, or 0")
        self.port = port
        self.cause = cause


class Link:
    """A link from a port of this machine to `host`:`port`. A context manager; it begins by forwarding."""

    def __init__(self, host: str, port: int, *, listen_port: int = 0) -> None:
        """`listen_port` 0 takes any free port. Raises PortTaken."""
        self._far_end = (host, port)
        self._state = LinkState.FORWARDING
        self._lines: dict[asyncio.Task[None], _Line] = {}
        listener = _listen(listen_port)
        self.address: tuple[str, int] = listener.getsockname()
        """Host and port where the link is entered."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="link", daemon=True)
        self._thread.start()
        self._server = self._order(asyncio.start_server(self._serve, sock=listener))

    @property
    def state(self) -> LinkState:
        return self._state

    def cut(self) -> None:
        """Reset what is connected, and whoever tries anew."""
        self._order(self._become(LinkState.CUT))

    def swallow(self) -> None:
        """Let nothing through any more, without telling anybody."""
        self._order(self._become(LinkState.SWALLOWING))

    def restore(self) -> None:
        """Serve new connections again."""
        self._order(self._become(LinkState.FORWARDING))

    def close(self) -> None:
        """Reset everything and stop listening. Safe to call twice."""
        if self._loop.is_closed():
            return
        self._order(self._shut_down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ORDER_WITHIN_S)
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- in the link's own thread -------------------------------------------------------------------------

    def _order(self, work: Coroutine[Any, Any, Done]) -> Done:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_ORDER_WITHIN_S)

    async def _become(self, state: LinkState) -> None:
        self._state = state
        for line in self._lines.values():
            line.obey(state)

    async def _shut_down(self) -> None:
        self._server.close()
        for line in self._lines.values():
            line.reset()
        for task in self._lines:
            task.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its beginning to its end."""
        line, task = _Line(reader, writer), asyncio.current_task()
        if task is None:  # asyncio always serves within a task
            return
        self._lines[task] = line
        try:
            line.obey(self._state)
            await line.carry(self._far_end)
        finally:
            line.reset()
            del self._lines[task]


class _Line:
    """A near end, a far end, and what goes between them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._near = (reader, writer)
        self._writers = [writer]
        self._dead = False
        self._reset = False

    def obey(self, state: LinkState) -> None:
        self._dead = self._dead or state is LinkState.SWALLOWING
        if state is LinkState.CUT:
            self.reset()

    def reset(self) -> None:
        self._reset = True
        for writer in self._writers:
            _reset(writer)

    def _join(self, writer: asyncio.StreamWriter) -> None:
        """The far end belongs to the line from now on, and to its end, if that has come meanwhile."""
        self._writers.append(writer)
        if self._reset:
            _reset(writer)

    async def carry(self, far_end: tuple[str, int]) -> None:
        """Until one of both ends closes, or the line is reset. Who is not there is as good as a reset."""
        if self._reset:
            return
        if self._dead:
            await self._swallow()
            return
        with contextlib.suppress(OSError):
            far = await asyncio.open_connection(*far_end)
            self._join(far[1])
            async with asyncio.TaskGroup() as both_ways:
                both_ways.create_task(self._pump(self._near[0], far[1]))
                both_ways.create_task(self._pump(far[0], self._near[1]))

    async def _swallow(self) -> None:
        with contextlib.suppress(OSError):
            while await self._near[0].read(_CHUNK):
                pass

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await source.read(_CHUNK):
                if not self._dead:
                    target.write(chunk)
                    await target.drain()
        if not self._dead:
            target.close()


def demand_free(port: int) -> None:
    """Find out whether a link could listen on `port` now. Raises PortTaken."""
    _listen(port).close()


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((LOOPBACK, port))
    except OSError as error:
        raise PortTaken(port, error.strerror or str(error)) from error


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
