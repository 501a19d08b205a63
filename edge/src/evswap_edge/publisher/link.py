"""The way to the cloud, as far as the publisher is concerned: whether it is there, and when to try again."""

import asyncio
import logging
import math
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from evswap_edge.backoff import Backoff
from evswap_edge.clock import TimeSource
from evswap_edge.episode import Episode
from evswap_edge.transports import ENDING, Transport, TransportError

_log: Final = logging.getLogger("evswap_edge.publisher")


class State(Enum):
    """What is known of the link."""

    DOWN = auto()
    CONNECTING = auto()
    UP = auto()


class Link:
    """Keeps connecting. A link that was good for something is mended at once when it breaks; one that never
    was, after a backoff."""

    def __init__(
        self, transport: Transport, *, time: TimeSource, backoff: Backoff, wake: Callable[[], None]
    ) -> None:
        """``wake`` is called when an attempt has ended."""
        self._transport = transport
        self._time = time
        self._backoff = backoff
        self._wake = wake
        self._trouble = Episode(_log, "link", monotonic=time.monotonic)
        self._connecting: asyncio.Task[TransportError | None] | None = None
        self._fruitful = False
        self.state = State.DOWN
        self.resume_at = -math.inf
        self.number = 0
        """Which link this is; counted from 1."""

    def look(self) -> bool:
        """Whether a link has just come up; begins to connect when there is none. Raises one of ``ENDING``."""
        if self.state is State.DOWN and self._time.monotonic() >= self.resume_at:
            self._connecting = asyncio.create_task(_error_of(self._transport), name="connect")
            self._connecting.add_done_callback(lambda _: self._wake())
            self.state = State.CONNECTING
        if self._connecting is None or not self._connecting.done():
            return False
        error, self._connecting = self._connecting.result(), None
        if error is not None:
            self.state = State.DOWN
            self._trouble.begin(error)
            self._pause()
            return False
        self._trouble.end()
        self.state = State.UP
        self.number += 1
        self._fruitful = False
        return True

    @property
    def is_up(self) -> bool:
        """Whether there is a link, as far as anybody has noticed."""
        return self.state is State.UP

    def carried(self) -> None:
        """The far side has accepted something."""
        self._fruitful = True
        self._backoff.reset()

    def broke(self) -> None:
        """It is lost."""
        self.state = State.DOWN
        if not self._fruitful:
            self._pause()

    async def aclose(self) -> None:
        """Stop trying. The transport is the caller's."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)

    def _pause(self) -> None:
        self.resume_at = self._time.monotonic() + self._backoff.next_s()


async def _error_of(transport: Transport) -> TransportError | None:
    """How connecting failed, if it did. What no repetition mends is raised."""
    try:
        await transport.connect()
    except ENDING:
        raise
    except TransportError as error:
        return error
    return None
