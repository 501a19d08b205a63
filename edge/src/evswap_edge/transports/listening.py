"""What a component hears of AWS IoT Core: a topic filter, asked for until there is an answer, and again when
the answer is void.

Nucleus lite subscribes by itself when it comes back to its broker, so a stream outlives a broken link; but
it refuses to begin one while there is no link, ends it when its MQTT daemon is restarted, and forgets it,
without a word, when the broker does not take it at once after a break.
"""

import asyncio
import logging
from typing import Final

from awsiot.greengrasscoreipc import model

from evswap_edge.backoff import Backoff
from evswap_edge.clock import TimeSource
from evswap_edge.episode import Episode
from evswap_edge.transports import NotConnected, OnMessage, Rejected, TransportError
from evswap_edge.transports.nucleus import Nucleus, Stream, not_authorized

_OPERATION: Final = "SubscribeToIoTCore"
_RETRY_MIN_S: Final = 0.5
_RETRY_MAX_S: Final = 30.0
_LOOK_AGAIN_S: Final = 60.0
"""After a refusal: whoever mends ``accessControl`` by a deployment does not restart the component."""

_log: Final = logging.getLogger(__name__)


class Listening:
    """One topic filter and those who want to hear it.

    ``tried`` is set when the nucleus was asked once, ``answered`` when it has said yes or no; ``refusal`` is
    its no.
    """

    def __init__(self, topic_filter: str, time: TimeSource) -> None:
        self.tried = asyncio.Event()
        self.answered = asyncio.Event()
        self.refusal: Rejected | None = None
        self._filter = topic_filter
        self._subscribers: list[OnMessage] = []
        self._renewal = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._trouble = Episode(_log, f"subscription to {topic_filter}", monotonic=time.monotonic)

    def add(self, on_message: OnMessage) -> None:
        """Let ``on_message`` hear it too. Whoever hears it already doubts that it comes, and the nucleus is
        asked again."""
        if on_message in self._subscribers:
            self._renewal.set()
        else:
            self._subscribers.append(on_message)

    def begin(self, nucleus: Nucleus) -> None:
        """Listen over ``nucleus`` until ``aclose``, or until the nucleus is gone."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep(nucleus), name=f"subscription to {self._filter}")

    async def aclose(self) -> None:
        """Listen no more; the stream ends with the connection."""
        self._nobody_waits_in_vain()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _keep(self, nucleus: Nucleus) -> None:
        """One stream after another. A new one begins before the old one is ended, so that nothing gets lost
        between them."""
        former: Stream | None = None
        while not nucleus.lost.is_set():
            stream = await self._begun(nucleus)
            if former is not None:
                await former.aclose()
            if stream is None:
                return
            self._renewal.clear()
            await _any_of(stream.ended, self._renewal, nucleus.lost)
            former = stream

    async def _begun(self, nucleus: Nucleus) -> Stream | None:
        """A stream, as soon as the nucleus begins one; None when there is no nucleus any more."""
        backoff = Backoff(base_s=_RETRY_MIN_S, cap_s=_RETRY_MAX_S)
        while not nucleus.lost.is_set():
            pause_s = _LOOK_AGAIN_S
            try:
                stream = await nucleus.subscribe(self._filter, self._hear)
            except model.UnauthorizedError:
                self.refusal = not_authorized(_OPERATION, self._filter)
                self._failed(self.refusal)
                self.answered.set()
            except model.GreengrassCoreIPCError as error:
                pause_s = backoff.next_s()
                self._failed(NotConnected(f"the nucleus has no link to subscribe on, {type(error).__name__}"))
            except TransportError as error:
                pause_s = backoff.next_s()
                self._failed(error)
            else:
                self._succeeded()
                return stream
            await _within(pause_s, nucleus.lost)
        self._nobody_waits_in_vain()
        return None

    def _failed(self, error: TransportError) -> None:
        self._trouble.begin(error)
        self.tried.set()

    def _succeeded(self) -> None:
        self._trouble.end()
        self.refusal = None
        self._nobody_waits_in_vain()

    def _nobody_waits_in_vain(self) -> None:
        self.tried.set()
        self.answered.set()

    def _hear(self, topic: str, payload: bytes) -> None:
        """Each is called by the event loop itself: one that raises harms no other."""
        loop = asyncio.get_running_loop()
        for on_message in self._subscribers:
            loop.call_soon(on_message, topic, payload)


async def _any_of(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Wait for ``event``, for ``seconds`` at most."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
