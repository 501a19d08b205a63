"""A message counts as delivered when the cloud has named it, and not before; nothing waits for ever."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from evswap_edge.confirmations import Confirmations, NotConfirmed, TooManyUnconfirmed
from evswap_edge.message import Message
from evswap_edge.testing import ManualTime, settle
from evswap_edge.transports import NotConnected
from evswap_schema import Acknowledgement, acknowledgements, encode_acknowledgement, message_digest

STATION = "station-01"
TOPIC = "ev/station/station-01/acknowledgement"
TIMEOUT_S = 300.0


def message(n: int = 1) -> Message:
    return Message(topic="$aws/rules/r/x", payload=f"message {n}".encode())


class Way:
    """A way to the cloud, and what went over it. ``lose`` names what is not to arrive."""

    def __init__(self, **options: Any) -> None:
        self.time = ManualTime()
        self.confirmations = Confirmations(self.time, station_id=STATION, timeout_s=TIMEOUT_S, **options)
        self.sent: list[bytes] = []
        self.subscriptions: list[str] = []

    async def subscribe(self, topic_filter: str, on_message: Callable[[str, bytes], None]) -> None:
        assert on_message == self.confirmations.on_acknowledgement
        self.subscriptions.append(topic_filter)

    async def send(self, message: Message) -> None:
        self.sent.append(message.payload)

    async def begin(self, *numbers: int) -> list["asyncio.Task[None]"]:
        tasks = [asyncio.create_task(self.confirmations.deliver(message(n), self.send)) for n in numbers]
        await settle()
        return tasks

    def answer(self, *numbers: int, station_id: str = STATION) -> None:
        digests = [message_digest(message(n).payload) for n in numbers]
        for each in acknowledgements(station_id, digests):
            self.confirmations.on_acknowledgement(TOPIC, encode_acknowledgement(each))


async def test_a_message_is_delivered_when_the_cloud_names_it_and_only_that_one() -> None:
    way = Way()
    first, second = await way.begin(1, 2)
    assert way.confirmations.unconfirmed == 2
    await way.time.advance(TIMEOUT_S - 1)
    way.answer(2)
    await settle()
    assert (first.done(), second.done()) == (False, True)
    way.answer(1)
    await first
    assert way.confirmations.unconfirmed == 0
    assert way.sent == [b"message 1", b"message 2"]


async def test_what_is_not_confirmed_in_time_is_to_be_sent_again() -> None:
    way = Way()
    (task,) = await way.begin(1)
    await way.time.advance(TIMEOUT_S)
    with pytest.raises(NotConfirmed, match="not confirmed by the cloud within 300 s") as missed:
        await task
    assert (missed.value.topic, missed.value.timeout_s) == ("$aws/rules/r/x", TIMEOUT_S)
    assert way.confirmations.unconfirmed == 0


async def test_the_time_out_counts_from_the_moment_of_handing_over() -> None:
    way = Way()
    taken = asyncio.Event()

    async def slow(_: Message) -> None:
        await taken.wait()

    task = asyncio.create_task(way.confirmations.deliver(message(), slow))
    await settle()
    await way.time.advance(TIMEOUT_S * 2)
    taken.set()
    await way.time.advance(TIMEOUT_S - 1)
    assert not task.done()
    way.answer(1)
    await task


async def test_the_cloud_may_be_quicker_than_the_one_who_takes_the_message_over() -> None:
    way = Way()

    async def answered_at_once(sent: Message) -> None:
        way.answer(1)

    task = asyncio.create_task(way.confirmations.deliver(message(), answered_at_once))
    await settle()
    assert task.done()
    await task


async def test_an_answer_after_the_time_out_spares_the_second_sending() -> None:
    way = Way()
    (task,) = await way.begin(1)
    await way.time.advance(TIMEOUT_S)
    with pytest.raises(NotConfirmed):
        await task
    way.answer(1)
    (again,) = await way.begin(1)
    assert again.done()
    await again
    assert way.sent == [b"message 1"]
    # An answer counts once: the same bytes, sent on purpose a third time, need another.
    (third,) = await way.begin(1)
    assert not third.done()
    third.cancel()


async def test_answers_that_nobody_wants_are_not_collected_for_ever() -> None:
    way = Way()
    way.answer(*range(1_001))
    tasks = await way.begin(0, 1)
    assert [task.done() for task in tasks] == [False, True]
    tasks[0].cancel()


async def test_one_more_than_the_limit_is_refused_and_not_sent() -> None:
    way = Way(limit=3)
    tasks = await way.begin(1, 2, 3)
    assert way.confirmations.room == 0
    with pytest.raises(TooManyUnconfirmed, match="3 messages wait") as refused:
        await way.confirmations.deliver(message(4), way.send)
    assert refused.value.limit == 3
    assert len(way.sent) == 3
    way.answer(2)
    await tasks[1]
    assert way.confirmations.room == 1
    for task in tasks:
        task.cancel()


async def test_five_hundred_may_wait_when_nothing_else_is_said() -> None:
    assert Confirmations(ManualTime(), station_id=STATION).room == 500


async def test_a_failed_or_cancelled_sending_waits_for_nothing() -> None:
    way = Way()

    async def fail(_: Message) -> None:
        raise NotConnected("no link")

    with pytest.raises(NotConnected):
        await way.confirmations.deliver(message(), fail)
    (task,) = await way.begin(2)
    task.cancel()
    await asyncio.wait({task})
    assert (way.confirmations.unconfirmed, way.confirmations.room) == (0, 500)


async def test_the_same_bytes_under_way_twice_are_both_confirmed() -> None:
    way = Way()
    tasks = await way.begin(1, 1)
    assert way.confirmations.unconfirmed == 2
    way.answer(1)
    await asyncio.gather(*tasks)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b'{"station_id":"station-01","digests":[]}',
        b'{"station_id":"station-01","digests":["short"]}',
        encode_acknowledgement(
            Acknowledgement(station_id="station-02", digests=(message_digest(message().payload),))
        ),
    ],
    ids=["empty", "no json", "none", "no digest", "another station"],
)
async def test_what_is_no_acknowledgement_for_this_station_confirms_nothing(
    payload: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    way = Way()
    (task,) = await way.begin(1)
    way.confirmations.on_acknowledgement(TOPIC, payload)
    await settle()
    assert not task.done()
    assert TOPIC in caplog.text
    task.cancel()


@given(st.binary())
def test_no_bytes_from_the_cloud_end_the_station(payload: bytes) -> None:
    Confirmations(ManualTime(), station_id=STATION).on_acknowledgement(TOPIC, payload)


async def test_a_silent_way_back_is_reported_once_and_listened_to_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="evswap_edge")
    way = Way()
    await way.confirmations.listen(way)
    for _ in range(3):
        tasks = await way.begin(*range(20))
        await way.time.advance(TIMEOUT_S)
        assert all(isinstance(task.exception(), NotConfirmed) for task in tasks)
    assert way.subscriptions == [TOPIC] * 4
    way.answer(99)
    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(": ")[2][:11] for line in lines] == ["none for 30", "works again"]


async def test_a_message_that_is_lost_while_others_are_confirmed_is_no_silence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    way = Way()
    await way.confirmations.listen(way)
    lost, _ = await way.begin(1, 2)
    await way.time.advance(10)
    way.answer(2)
    await way.time.advance(TIMEOUT_S)
    assert isinstance(lost.exception(), NotConfirmed)
    assert way.subscriptions == [TOPIC]
    assert caplog.text == ""


class AnyOrder(RuleBasedStateMachine):
    """Whatever is sent, answered, lost and late: nothing counts as delivered that the cloud has not named,
    and all that waits is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.way = Way(limit=5)
        self.named: dict[int, int] = {}
        self.tasks: list[tuple[int, asyncio.Task[None]]] = []

    def teardown(self) -> None:
        for _, task in self.tasks:
            task.cancel()
        self.wait(settle())
        self.loop.close()

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    @precondition(lambda self: self.way.confirmations.room)
    @rule(n=st.integers(1, 4))
    def send(self, n: int) -> None:
        (task,) = self.wait(self.way.begin(n))
        self.tasks.append((n, task))
        self.judge()

    @rule(numbers=st.sets(st.integers(1, 4), min_size=1))
    def name(self, numbers: Iterable[int]) -> None:
        self.way.answer(*numbers)
        for n in numbers:
            self.named[n] = self.named.get(n, 0) + 1
        self.wait(settle())
        self.judge()

    @rule(seconds=st.sampled_from([1.0, 200.0, 300.0]))
    def pass_time(self, seconds: float) -> None:
        self.wait(self.way.time.advance(seconds))
        self.judge()

    def judge(self) -> None:
        for n, task in [one for one in self.tasks if one[1].done()]:
            self.tasks.remove((n, task))
            if task.exception() is None:
                assert self.named.get(n), "delivered, although the cloud never named it"
            else:
                assert isinstance(task.exception(), NotConfirmed)

    @invariant()
    def all_that_waits_is_counted(self) -> None:
        assert self.way.confirmations.unconfirmed == len(self.tasks) <= 5


AnyOrder.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
test_in_any_order = AnyOrder.TestCase
