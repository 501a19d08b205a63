"""Whatever happens to link, process and clock, in whatever order: everything stored arrives, in order, and no
more often than it has to."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from evswap_edge.message import Message
from evswap_edge.outbox import Outbox
from evswap_edge.reporting import Mode
from evswap_edge.testing import ManualTime, settle
from evswap_edge.transports import ReasonCode
from evswap_edge.transports.memory import MemoryTransport
from evswap_schema import Channel, Clock, Reading, StationStatus, decode_batch
from tests.edge.publishing import (
    STATION,
    Publishing,
    changes,
    events,
    opened,
    repeated,
    sequences,
    topic,
)

T = TypeVar("T")

WINDOW = 4
AGE_S = 10.0
PATIENCE = 4_000


class Witness(MemoryTransport):
    """Sees to it that nothing is handed over a second time while the answer to the first is open, and that
    no more is open than may be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: Counter[Message] = Counter()
        self.faults: list[str] = []

    async def send(self, message: Message) -> None:
        if self.open[message]:
            self.faults.append(f"handed over twice: {message}")
        self.open[message] += 1
        if self.open.total() > WINDOW:
            self.faults.append(f"{self.open.total()} under way")
        try:
            await super().send(message)
        finally:
            self.open[message] -= 1


class PublisherModel(RuleBasedStateMachine):
    """One station's outbox and link, through runs that end in every way."""

    @initialize(mode=st.sampled_from(Mode))
    def begin(self, mode: Mode) -> None:
        self.mode = mode
        self.loop = asyncio.new_event_loop()
        self.folder = TemporaryDirectory()
        self.time = ManualTime(state=Clock.ESTIMATED)
        self.link = Witness()
        self.stored: list[int] = []
        self.happened = 0
        self.loses_answers = False
        self.interruptions = self.refusals = 0
        self.outbox, self.run = self.do(self._start())

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` and whatever it wakes."""

        async def done() -> T:
            result = await work
            await settle()
            return result

        return self.loop.run_until_complete(done())

    async def _start(self) -> tuple[Outbox, Publishing]:
        outbox = await opened(Path(self.folder.name), self.time)
        run = Publishing(
            outbox, self.time, transport=self.link, mode=self.mode, window=WINDOW, age_s=AGE_S, drain_s=5.0
        )
        return outbox, run

    # --- what happens -------------------------------------------------------------------------------------

    @rule(count=st.integers(1, 12), news=st.booleans())
    def samples(self, count: int, news: bool) -> None:
        async def work() -> None:
            for _ in range(count):
                sample = await self.run.sample(a_reading(len(self.stored)), changed=news)
                self.stored.append(sample.sequence)
                await self.time.advance(0.5)

        self.do(work())

    @rule()
    def event(self) -> None:
        self.happened += 1
        self.do(self.run.event(self.happened))

    @rule(seconds=st.sampled_from([0.1, 5.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.do(self.time.advance(seconds))

    @rule(down=st.booleans())
    def lose_link(self, down: bool) -> None:
        self.interruptions += 1
        (self.link.take_down if down else self.link.cut)()
        self.run.publisher.link_changed(False)
        self.do(settle())

    @rule()
    def lose_link_unnoticed(self) -> None:
        self.interruptions += 1
        self.link.cut()
        self.do(settle())

    @rule()
    def lose_answers(self) -> None:
        """What is sent from now on arrives, and nobody learns of it; not while something is under way that
        has not arrived: no stream of bytes lets later messages overtake earlier ones."""
        if not self.link.open.total():
            self.interruptions += 1
            self.loses_answers = True
            self.link.lose_answers()

    @rule()
    def mend_link(self) -> None:
        self._mend()
        self.do(settle())

    def _mend(self) -> None:
        """Answers that were lost stay lost: only another link ends that."""
        if self.loses_answers:
            self.interruptions += 1
            self.loses_answers = False
            self.link.cut()
        self.link.bring_up()
        self.link.answer_again()

    @rule()
    def go_silent(self) -> None:
        self.link.go_silent()

    @rule(code=st.sampled_from([ReasonCode.NOT_AUTHORIZED, ReasonCode.QUOTA_EXCEEDED]))
    def refuse_for_now(self, code: ReasonCode) -> None:
        """One of several under way may be refused; then those behind it overtake it."""
        self.refusals += 1
        self.link.script.append(code)

    @rule(days=st.integers(-1, 1))
    def move_the_wall_clock(self, days: int) -> None:
        self.time.jump(days * 86_400)

    @rule(state=st.sampled_from(Clock))
    def set_the_clock(self, state: Clock) -> None:
        self.time.clock_state = state

    @rule()
    def restart(self) -> None:
        self.interruptions += 1
        self.do(self._end(kill=False))
        self.outbox, self.run = self.do(self._start())

    @rule()
    def kill(self) -> None:
        self.interruptions += 1
        self.do(self._end(kill=True))
        self.outbox, self.run = self.do(self._start())

    async def _end(self, *, kill: bool) -> None:
        if kill:
            self.run.task.cancel()
        self.run.stop.set()
        while not self.run.task.done():
            await self.time.advance(1.0)
            await asyncio.sleep(0.001)
        await asyncio.gather(self.run.task, return_exceptions=True)
        await self.outbox.aclose()

    # --- what has to hold ---------------------------------------------------------------------------------

    @invariant()
    def nothing_is_handed_over_twice_at_once_or_beyond_the_window(self) -> None:
        if hasattr(self, "link"):
            assert self.link.faults == []

    @invariant()
    def the_publisher_works(self) -> None:
        if hasattr(self, "run"):
            assert not self.run.task.done()

    def teardown(self) -> None:
        if not hasattr(self, "run"):
            return
        try:
            self.do(self._deliver_everything())
            self._check()
        finally:
            self.do(self._end(kill=True))
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
            self.folder.cleanup()

    async def _deliver_everything(self) -> None:
        self._mend()
        self.link.script.clear()
        for _ in range(PATIENCE):
            if not (self.outbox.waiting.all_samples or self.outbox.waiting.events):
                return
            await self.time.advance(1.0)
            await asyncio.sleep(0.001)
        raise AssertionError(f"still waiting: {self.outbox.waiting}")

    def _check(self) -> None:
        accepted = self.link.accepted
        arrived = sequences(accepted)
        assert set(arrived) == set(self.stored)
        assert set(events(accepted)) == set(range(1, self.happened + 1))
        # What is repeated are whole messages, and of these a window for each interruption.
        assert repeated(message.payload for message in lasting(accepted)) <= WINDOW * self.interruptions
        told = [reading.sequence or 0 for reading in changes(accepted)]
        assert told == sorted(told)
        if not self.refusals:
            self._check_order()

    def _check_order(self) -> None:
        accepted = self.link.accepted
        assert first_times(events(accepted)) == sorted(set(events(accepted)))
        for backlog in (True, False):
            batches = [message for message in accepted if is_batch(message, backlog=backlog)]
            assert first_times(sequences(batches)) == sorted(set(sequences(batches)))
        if self.mode is Mode.EVERY_SAMPLE:
            # Flat messages do not say whether they waited: live ones and backlog are two rising rows.
            assert rising_rows(first_times(sequences(accepted))) <= 2


def a_reading(number: int) -> Reading:
    return Reading(
        station_id=STATION,
        battery_available=number % 12,
        battery_charging=4,
        temperature=28.5,
        humidity=42.0,
        status=StationStatus.OPERATIONAL,
        timestamp=ManualTime().now(),
    )


def rising_rows(numbers: Sequence[int]) -> int:
    """The least number of rising rows that make ``numbers``."""
    ends: list[int] = []
    for number in numbers:
        fits = [end for end in ends if end < number]
        if fits:
            ends.remove(max(fits))
        ends.append(number)
    return len(ends)


def lasting(messages: list[Message]) -> list[Message]:
    return [message for message in messages if message.topic != topic(Channel.CHANGE)]


def is_batch(message: Message, *, backlog: bool) -> bool:
    return message.topic == topic(Channel.BATCH) and decode_batch(message.payload).backlog is backlog


def first_times(numbers: list[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


TestPublisherModel = PublisherModel.TestCase
TestPublisherModel.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
