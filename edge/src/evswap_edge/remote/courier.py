"""Bring up what a station has to say about commands and configuration: answers, questions, results.

Results are in the journal and stay there until the transport has taken them. Everything else is of the
moment: it is said when there is a link, one thing under one heading, the newest only.
"""

import asyncio
import logging
from typing import Final

from evswap_edge.backoff import Backoff
from evswap_edge.clock import TimeSource
from evswap_edge.episode import Episode
from evswap_edge.message import Message
from evswap_edge.remote.journal import Journal, JournalError
from evswap_edge.transports import ENDING, NotConnected, Rejected, Transport, TransportError
from evswap_schema import Channel, CommandResult, Outcome, encode_result
from evswap_schema.topics import broker_topic

FAREWELL_S: Final = 2.0
"""How long the last results may take when the station stops; those that are left wait for its next start."""

_AT_ONCE: Final = 50
_MOST_HEADINGS: Final = 200
_RETRY_MIN_S: Final = 1.0
_RETRY_MAX_S: Final = 60.0

_log: Final = logging.getLogger(__name__)


class Courier:
    """Sends one message after another over ``transport`` while there is a link."""

    def __init__(self, *, station_id: str, journal: Journal, transport: Transport, time: TimeSource) -> None:
        self._station_id = station_id
        self._journal = journal
        self._transport = transport
        self._time = time
        self._up = False
        self._news = asyncio.Event()
        self._of_the_moment: dict[str, Message] = {}
        self._results = False
        self._backoff = Backoff(base_s=_RETRY_MIN_S, cap_s=_RETRY_MAX_S)
        self._refusals: dict[str, Episode] = {}
        self._trouble = Episode(_log, "answering commands", monotonic=time.monotonic)

    def on_link(self, up: bool) -> None:
        """There is a new link, or the last one has ended. A new one may be the first: results may wait."""
        self._up = up
        self._results = True
        self._news.set()

    def say(self, heading: str, message: Message) -> None:
        """Bring ``message`` up, and none that was said under this heading before; the first word of the
        heading is its kind. What the far side refuses is dropped: what matters is said anew on every link."""
        self._of_the_moment.pop(heading, None)
        if len(self._of_the_moment) < _MOST_HEADINGS:
            self._of_the_moment[heading] = message
        self._news.set()

    def tell(self, result: CommandResult) -> None:
        """Bring up what became of a command: that it was accepted, or, from the journal, its result; in this
        order."""
        if result.outcome is Outcome.ACCEPTED:
            self.say(f"accepted {result.command_id}", self._message(result))
            return
        self._results = True
        self._news.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Bring things up until ``stop`` is set, and then what is left, for ``FAREWELL_S`` at most. Raises
        what no repetition mends."""
        stopping = asyncio.create_task(stop.wait())
        stopping.add_done_callback(lambda _: self._news.set())
        try:
            while not stop.is_set():
                await self._news.wait()
                self._news.clear()
                if self._up and not await self._bring_up():
                    pause = self._time.monotonic() + self._backoff.next_s()
                    await self._time.wait_until(pause, unless=stop)
                    self._news.set()
            if self._up:
                await asyncio.wait_for(self._bring_up(), FAREWELL_S)
        except TimeoutError:
            _log.warning("results of commands are left for the next start")
        finally:
            stopping.cancel()

    async def _bring_up(self) -> bool:
        """Say all that there is to say. False: something has to be tried again later."""
        try:
            await self._say_what_is_of_the_moment()
            await self._tell_results()
        except NotConnected:
            return True  # the next link brings it up
        except ENDING:
            raise
        except (TransportError, JournalError) as error:
            self._trouble.begin(error)
            return False
        self._trouble.end()
        self._backoff.reset()
        return True

    async def _say_what_is_of_the_moment(self) -> None:
        while self._of_the_moment:
            heading, message = next(iter(self._of_the_moment.items()))
            kind = heading.partition(" ")[0]
            try:
                await self._transport.send(message)
            except Rejected as error:
                self._refusal_of(kind).begin(error)
            else:
                self._refusal_of(kind).end()
            if self._of_the_moment.get(heading) is message:
                del self._of_the_moment[heading]

    def _refusal_of(self, kind: str) -> Episode:
        if kind not in self._refusals:
            self._refusals[kind] = Episode(_log, f"saying {kind}", monotonic=self._time.monotonic)
        return self._refusals[kind]

    async def _tell_results(self) -> None:
        while self._results:
            self._results = False
            try:
                for result in await asyncio.to_thread(self._journal.untold, _AT_ONCE):
                    self._results = True
                    await self._tell(result)
            except BaseException:
                self._results = True
                raise

    async def _tell(self, result: CommandResult) -> None:
        await self._say_what_is_of_the_moment()
        try:
            await self._transport.send(self._message(result))
        except Rejected as error:
            if not error.permanent:
                raise
            _log.error("a result can never be told: %s", error, extra={"command_id": result.command_id})
        await asyncio.to_thread(self._journal.mark, result.command_id, told=True)

    def _message(self, result: CommandResult) -> Message:
        topic = broker_topic(Channel.RESULT, self._station_id, result.command_id)
        return Message(topic=topic, payload=encode_result(result))
