"""What a station does with all that comes down to it, over whichever transport it has."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from evswap_edge.clock import TimeSource
from evswap_edge.config import StationConfig
from evswap_edge.episode import Episode
from evswap_edge.failures import first_failure
from evswap_edge.hal import Cabinet
from evswap_edge.message import Message
from evswap_edge.remote.adjustments import Adjustments
from evswap_edge.remote.control import Control
from evswap_edge.remote.courier import Courier
from evswap_edge.remote.deeds import Means
from evswap_edge.remote.executor import Executor
from evswap_edge.remote.journal import Journal, JournalError
from evswap_edge.remote.shadow import Shadow
from evswap_edge.swaps.controller import Swaps
from evswap_edge.transports import Rejected, Transport
from evswap_schema import (
    Channel,
    Clock,
    Command,
    InvalidTopic,
    PendingRequest,
    aws_topic,
    broker_topic,
    encode_pending_request,
    topic_filter,
)

_MOST_WAITING: Final = 100
"""Commands that are heard and not looked at yet; whoever sent more is asked for the rest on the next link."""
_AT_ONCE: Final = 8
"""Commands under way at the same time, on bays of their own."""

_FORGET_EVERY_S: Final = 3_600.0

_log: Final = logging.getLogger(__name__)


class Desk:
    """Takes commands and wishes for one station, and brings up what became of them."""

    def __init__(
        self,
        config: StationConfig,
        *,
        cabinet: Cabinet,
        transport: Transport,
        time: TimeSource,
        take_reading: Callable[[], Awaitable[None]],
        control: Control | None,
        swaps: Swaps,
    ) -> None:
        """``take_reading`` samples at once and has the sample sent; without ``control`` the configuration
        stays as it is."""
        self._station_id = config.station_id
        self._transport = transport
        self._time = time
        self._ending = asyncio.Event()
        self._journal = Journal(config.outbox_path, station_id=config.station_id)
        self._courier = Courier(
            station_id=config.station_id, journal=self._journal, transport=transport, time=time
        )
        self._shadow = self._shadow_of(config, control)
        self._executor = Executor(
            station_id=config.station_id,
            journal=self._journal,
            means=Means(
                cabinet=cabinet,
                time=time,
                answer_timeout_s=config.commands.answer_timeout_s,
                take_reading=take_reading,
                control=control,
                swaps=swaps,
                wish=self._wish,
            ),
            feedback_timeout_s=config.commands.feedback_timeout_s,
            tell=self._courier.tell,
            ending=self._ending,
        )
        self._received: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(_MOST_WAITING)
        self._crowd = Episode(_log, "commands", monotonic=time.monotonic)
        self._unreadable = Episode(_log, "topic of a command", monotonic=time.monotonic)

    def on_link(self, up: bool) -> None:
        """For the transport: ask for the commands that wait, and for the configuration that is wished for, on
        every new link."""
        self._courier.on_link(up)
        if up:
            self._courier.say("pending", self._question())
        if self._shadow is not None:
            self._shadow.on_link(up)

    async def listen(self) -> None:
        """Hear what is for this station; to be called before the transport connects."""
        try:
            await self._transport.subscribe(topic_filter(Channel.COMMAND, self._station_id), self._on_command)
        except Rejected:
            _log.debug("no commands: the far side refuses the subscription, which the transport reports")
        if self._shadow is not None:
            await self._shadow.listen()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set. Raises what no repetition mends."""
        all_said = asyncio.Event()
        stopping = asyncio.create_task(stop.wait())
        stopping.add_done_callback(lambda _: self._ending.set())
        try:
            with first_failure():
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._courier.run(all_said), name=f"courier {self._station_id}")
                    await self._work()
                    all_said.set()
        finally:
            stopping.cancel()
            await asyncio.to_thread(self._journal.close)

    async def _work(self) -> None:
        """What was left under way first, as far as writing down goes; then what comes, several at once."""
        places = asyncio.Semaphore(_AT_ONCE)
        leftovers = await self._leftovers()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_the_journal_short())
            for command in leftovers:
                tasks.create_task(self._executor.settle(command), name=f"command {command.command_id}")
            while (received := await self._next()) is not None:
                await places.acquire()
                task = tasks.create_task(self._executor.receive(*received), name=f"command {received[0]}")
                task.add_done_callback(lambda _: places.release())

    async def _leftovers(self) -> list[Command]:
        try:
            return await self._executor.leftovers()
        except JournalError as error:
            _log.error("what was under way at the last end is not known: %s", error)
            return []

    async def _next(self) -> tuple[str, bytes] | None:
        """The next command; None when the station is about to end."""
        received = asyncio.ensure_future(self._received.get())
        ending = asyncio.ensure_future(self._ending.wait())
        try:
            await asyncio.wait({received, ending}, return_when=asyncio.FIRST_COMPLETED)
            return None if self._ending.is_set() else received.result()
        finally:
            received.cancel()
            ending.cancel()

    def _on_command(self, topic: str, payload: bytes) -> None:
        command_id = topic.rpartition("/")[2]
        try:
            expected = broker_topic(Channel.COMMAND, self._station_id, command_id)
        except InvalidTopic as error:
            self._unreadable.begin(error)
            return
        if topic != expected:
            self._unreadable.begin(f"{topic!r:.200} is not {expected}")
            return
        try:
            self._received.put_nowait((command_id, payload))
        except asyncio.QueueFull:
            self._crowd.begin(f"more than {_MOST_WAITING} wait; those that come now are not looked at")
        else:
            self._crowd.end()

    async def _keep_the_journal_short(self) -> None:
        """Only by a clock that can be trusted: the commands that go are those that expired long ago."""
        while not self._ending.is_set():
            if self._time.state() is Clock.SYNCHRONIZED:
                with suppress(JournalError):
                    await asyncio.to_thread(self._journal.forget, self._time.now())
            await self._time.wait_until(self._time.monotonic() + _FORGET_EVERY_S, unless=self._ending)

    def _shadow_of(self, config: StationConfig, control: Control | None) -> Shadow | None:
        """Only AWS IoT keeps shadows: behind a transport that speaks by its topics."""
        if control is None or config.transport.kind.topic is not aws_topic:
            return None
        return Shadow(
            station_id=config.station_id, control=control, courier=self._courier, transport=self._transport
        )

    async def _wish(self, patch: Adjustments) -> None:
        if self._shadow is not None:
            await self._shadow.wish(patch)

    def _question(self) -> Message:
        """Which commands wait?"""
        asked = encode_pending_request(PendingRequest(station_id=self._station_id))
        return Message(topic=broker_topic(Channel.PENDING, self._station_id), payload=asked)
