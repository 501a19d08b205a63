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
from evswap_edge.transports import NotConnected, OnMessage, Rejected, RestartRequired
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
            try:
                stream = await self._asked(nucleus)
            except Rejected as refusal:
                self._refused(refusal)
                await _within(_LOOK_AGAIN_S, nucleus.lost)
            except NotConnected as error:
                self._trouble.begin(error)
                self.tried.set()
                await _within(backoff.next_s(), nucleus.lost)
            except RestartRequired:
                break
            else:
                self._accepted()
                return stream
        self._nobody_waits_in_vain()
        return None

    async def _asked(self, nucleus: Nucleus) -> Stream:
        """A stream. Raises ``Rejected``, ``NotConnected`` or ``RestartRequired``."""
        try:
            return await nucleus.subscribe(self._filter, self._hear)
        except model.UnauthorizedError as error:
            raise not_authorized(_OPERATION, self._filter) from error
        except model.GreengrassCoreIPCError as error:
            reason = f"the nucleus has no link to subscribe on, {type(error).__name__}"
            raise NotConnected(reason) from error

    def _refused(self, refusal: Rejected) -> None:
        self.refusal = refusal
        self._trouble.begin(refusal)
        self._nobody_waits_in_vain()

    def _accepted(self) -> None:
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
