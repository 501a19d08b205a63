"""The publisher on a real outbox: what becomes of samples, whatever the far side does."""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evswap_edge.backoff import Backoff
from evswap_edge.clock import SystemTime, TimeSource
from evswap_edge.message import Message
from evswap_edge.outbox import OutboxFull
from evswap_edge.outbox.v1 import Outbox, Row
from evswap_edge.publisher import Publisher
from evswap_edge.reporting import Batched, EverySample, Formed, Moment, Reporter
from evswap_edge.transports import CredentialsError, NotConnected, ReasonCode
from evswap_edge.transports.memory import MemoryTransport
from evswap_schema import decode_batch, decode_reading
from tests.edge.conftest import Eventually, MakeReading, Store


class Publishing:
    """A publisher at work."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        transport: MemoryTransport | None = None,
        reporter: Reporter | None = None,
        window: int = 5,
        drain_s: float = 10.0,
        backoff: Backoff | None = None,
        time: TimeSource | None = None,
    ) -> None:
        self.outbox = outbox
        self.transport = transport or MemoryTransport()
        self.stop = asyncio.Event()
        self.publisher = Publisher(
            outbox=outbox,
            reporter=reporter or EverySample("station-01"),
            transport=self.transport,
            time=time or SystemTime(),
            backoff=backoff or Backoff(base_s=0.001, cap_s=0.005, chance=random.Random(1)),
            window=window,
            drain_s=drain_s,
        )
        self.task = asyncio.create_task(self.publisher.run(self.stop))

    async def __aenter__(self) -> "Publishing":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop.set()
        await self.task

    @property
    def delivered(self) -> list[int]:
        return sequences(self.transport.accepted)


def sequences(messages: Iterable[Message]) -> list[int]:
    return [sequence for message in messages for sequence in message.sequences]


@pytest.fixture
def ten(outbox: Outbox, store: Store, make_reading: MakeReading) -> Outbox:
    for n in range(10):
        store(outbox, make_reading(n))
    return outbox


async def test_everything_is_delivered_once_oldest_first_and_leaves_the_outbox(
    ten: Outbox, eventually: Eventually
) -> None:
    async with Publishing(ten) as run:
        await eventually(lambda: ten.depth == 0)
    assert run.delivered == list(range(1, 11))
    assert [decode_reading(message.payload).sequence for message in run.transport.accepted] == run.delivered


async def test_a_new_row_wakes_it(
    outbox: Outbox, store: Store, make_reading: MakeReading, eventually: Eventually
) -> None:
    async with Publishing(outbox) as run:
        for n in range(1, 4):
            store(outbox, make_reading(n))
            run.publisher.notify()
            await eventually(lambda: len(run.transport.accepted) == n)  # noqa: B023
    assert outbox.depth == 0


async def test_rows_stay_until_the_far_side_has_answered(ten: Outbox, eventually: Eventually) -> None:
    run = Publishing(ten, window=4, drain_s=0.0)
    run.transport.go_silent()
    await eventually(lambda: len(run.transport.attempts) == 4)
    assert ten.depth == 10
    run.transport.answer_again()
    await eventually(lambda: ten.depth == 0)
    async with run:
        pass


async def test_never_more_under_way_than_the_window(ten: Outbox, eventually: Eventually) -> None:
    run = Publishing(ten, window=3, drain_s=0.0)
    run.transport.go_silent()
    await eventually(lambda: len(run.transport.attempts) >= 3)
    for _ in range(100):
        await asyncio.sleep(0)
    assert sequences(run.transport.attempts) == [1, 2, 3]
    run.transport.answer_again()
    async with run:
        await eventually(lambda: ten.depth == 0)


@pytest.mark.parametrize(
    "code", [ReasonCode.PACKET_TOO_LARGE, ReasonCode.PAYLOAD_FORMAT_INVALID, ReasonCode.TOPIC_NAME_INVALID]
)
async def test_a_message_at_fault_is_set_aside_and_the_others_go_on(
    ten: Outbox, eventually: Eventually, code: ReasonCode, caplog: pytest.LogCaptureFixture
) -> None:
    async with Publishing(ten, transport=MemoryTransport([ReasonCode.SUCCESS, code])) as run:
        await eventually(lambda: ten.depth == 0)
    assert run.delivered == [1, *range(3, 11)]
    ((sequence, reason),) = ten.aside()
    assert sequence == 2
    assert f"{code:#04x}" in reason
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


@pytest.mark.parametrize(
    "code", [ReasonCode.NOT_AUTHORIZED, ReasonCode.QUOTA_EXCEEDED, ReasonCode.UNSPECIFIED_ERROR]
)
async def test_a_refusal_that_may_pass_is_tried_again_and_reported_once(
    ten: Outbox, eventually: Eventually, code: ReasonCode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with Publishing(ten, transport=MemoryTransport([code] * 12)) as run:
        await eventually(lambda: ten.depth == 0)
    assert sorted(run.delivered) == list(range(1, 11))
    assert ten.aside() == []
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert f"{code:#04x}" in lines[0]
    assert lines[1].startswith("delivery: works again")


async def test_while_refused_it_knocks_with_one_message_at_a_time(
    ten: Outbox, eventually: Eventually
) -> None:
    async with Publishing(ten, window=5, transport=MemoryTransport([ReasonCode.NOT_AUTHORIZED] * 25)) as run:
        await eventually(lambda: len(run.transport.attempts) >= 20)
        assert set(sequences(run.transport.attempts[5:20])) == {1}


async def test_what_was_under_way_when_the_link_broke_is_sent_again_in_order(
    ten: Outbox, eventually: Eventually
) -> None:
    run = Publishing(ten, window=4)
    run.transport.go_silent()
    await eventually(lambda: len(run.transport.attempts) == 4)
    run.transport.take_down()
    assert ten.depth == 10
    run.transport.bring_up()
    async with run:
        await eventually(lambda: ten.depth == 0)
    assert run.delivered == list(range(1, 11))
    assert run.transport.connects == 2


async def test_a_message_over_which_the_far_side_hangs_up_is_found_and_set_aside(
    ten: Outbox, eventually: Eventually
) -> None:
    class HangsUpOver(MemoryTransport):
        async def send(self, message: Message) -> None:
            if message.sequences == (3,):
                self.attempts.append(message)
                self.cut(reason_code=ReasonCode.PACKET_TOO_LARGE)
                raise NotConnected("hung up", reason_code=ReasonCode.PACKET_TOO_LARGE)
            await super().send(message)

    async with Publishing(ten, transport=HangsUpOver()) as run:
        await eventually(lambda: ten.depth == 0)
    assert sorted(run.delivered) == [1, 2, *range(4, 11)]
    assert [sequence for sequence, _ in ten.aside()] == [3]


async def test_a_link_that_breaks_for_no_reason_never_costs_a_message(
    ten: Outbox, eventually: Eventually
) -> None:
    class Flapping(MemoryTransport):
        async def send(self, message: Message) -> None:
            if len(self.attempts) < 30:
                self.attempts.append(message)
                self.cut()
            await super().send(message)

    async with Publishing(ten, window=1, transport=Flapping()) as run:
        await eventually(lambda: ten.depth == 0)
    assert run.delivered == list(range(1, 11))
    assert ten.aside() == []


async def test_a_pause_that_ends_while_the_publisher_thinks_is_not_slept_through(
    ten: Outbox, eventually: Eventually
) -> None:
    class Hurrying(SystemTime):
        """A millisecond passes each time somebody looks at the clock."""

        looks = 0

        def monotonic(self) -> float:
            self.looks += 1
            return self.looks / 1_000

        async def wait_until(self, moment: float, *, unless: asyncio.Event) -> None:
            if moment > self.monotonic() + 60:
                await unless.wait()
            await asyncio.sleep(0)

    class Flapping(MemoryTransport):
        async def send(self, message: Message) -> None:
            if len(self.attempts) < 100:
                self.cut()
                self.attempts.append(message)
            await super().send(message)

    async with Publishing(ten, window=1, transport=Flapping(), time=Hurrying()):
        await eventually(lambda: ten.depth == 0)


async def test_a_link_that_never_carried_anything_is_not_mended_at_once(
    ten: Outbox, eventually: Eventually
) -> None:
    class HangsUpOnEverything(MemoryTransport):
        async def send(self, message: Message) -> None:
            self.attempts.append(message)
            self.cut()
            raise NotConnected("hung up")

    class Counting(Backoff):
        waits = 0

        def next_s(self) -> float:
            self.waits += 1
            return super().next_s()

    backoff = Counting(base_s=0.001, cap_s=0.002)
    async with Publishing(ten, transport=HangsUpOnEverything(), window=1, backoff=backoff) as run:
        await eventually(lambda: len(run.transport.attempts) >= 10)
    assert backoff.waits >= 9
    assert ten.depth == 10


async def test_poison_in_the_outbox_is_set_aside(
    ten: Outbox, store: Store, make_reading: MakeReading, eventually: Eventually
) -> None:
    ten.append(lambda number: b"not a reading", uptime=0.0)
    store(ten, make_reading(11))
    async with Publishing(ten) as run:
        await eventually(lambda: ten.depth == 0)
    assert run.delivered == [*range(1, 11), 12]
    assert [sequence for sequence, _ in ten.aside()] == [11]


async def test_a_sample_in_several_batches_leaves_with_the_last_of_them(
    outbox: Outbox, store: Store, make_reading: MakeReading, eventually: Eventually
) -> None:
    messages = [Message("t", b"1", (1,)), Message("t", b"2", (1,)), Message("t", b"3", (1, 2))]

    class Split(Batched):
        def form(self, rows: Sequence[Row], now: Moment) -> Formed:
            return Formed(messages=tuple(messages))

    store(outbox, make_reading(1))
    store(outbox, make_reading(2))
    codes = [ReasonCode.SUCCESS, ReasonCode.SUCCESS, *[ReasonCode.QUOTA_EXCEEDED] * 3]
    async with Publishing(
        outbox, reporter=Split("station-01", age_s=0), transport=MemoryTransport(codes)
    ) as run:
        await eventually(lambda: len(run.transport.accepted) == 2)
        assert outbox.depth == 2
        await eventually(lambda: outbox.depth == 0)


async def test_batches_go_when_they_are_due_and_at_the_latest_when_it_is_told_to_stop(
    outbox: Outbox, store: Store, make_reading: MakeReading, eventually: Eventually
) -> None:
    time = SystemTime()
    outbox.close()
    outbox = Outbox(outbox.path, station_id="station-01", boot_id=time.boot_id, machine="machine")
    store(outbox, make_reading(1), uptime=time.monotonic() - 59.9)
    store(outbox, make_reading(2), uptime=time.monotonic())
    async with Publishing(outbox, reporter=Batched("station-01", age_s=60)) as run:
        await eventually(lambda: outbox.depth == 0)
        store(outbox, make_reading(3), uptime=time.monotonic())
        run.publisher.notify()
        for _ in range(20):
            await asyncio.sleep(0)
        assert outbox.depth == 1
    assert outbox.depth == 0
    batches = [decode_batch(message.payload) for message in run.transport.accepted]
    assert [[reading.sequence for reading in batch.readings] for batch in batches] == [[1, 2], [3]]
    outbox.close()


async def test_stopping_delivers_what_is_left(ten: Outbox, eventually: Eventually) -> None:
    run = Publishing(ten, window=1)
    run.transport.go_silent()
    await eventually(lambda: len(run.transport.attempts) == 1)
    run.stop.set()
    run.transport.answer_again()
    await run.task
    assert run.delivered == list(range(1, 11))
    assert ten.depth == 0


async def test_stopping_does_not_wait_longer_than_it_may_for_a_far_side_that_is_silent(
    ten: Outbox, eventually: Eventually
) -> None:
    run = Publishing(ten, window=4, drain_s=0.05)
    run.transport.go_silent()
    await eventually(lambda: len(run.transport.attempts) == 4)
    run.stop.set()
    await asyncio.wait_for(run.task, timeout=10)
    assert ten.depth == 10


async def test_stopping_without_a_link_is_immediate(ten: Outbox) -> None:
    transport = MemoryTransport()
    transport.take_down()
    run = Publishing(ten, transport=transport, drain_s=3_600.0)
    await asyncio.sleep(0)
    run.stop.set()
    await asyncio.wait_for(run.task, timeout=10)
    assert ten.depth == 10


@pytest.mark.parametrize("call", ["acknowledge", "pending"])
async def test_an_outbox_that_fails_for_a_while_delivers_everything_and_nothing_twice(
    ten: Outbox,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    call: str,
) -> None:
    works: Callable[..., Any] = getattr(ten, call)
    failures = 3

    def fails_at_first(*arguments: Any, **options: Any) -> Any:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise OutboxFull(ten.path, "database or disk is full")
        return works(*arguments, **options)

    monkeypatch.setattr(ten, call, fails_at_first)
    caplog.set_level(logging.INFO)
    async with Publishing(ten) as run:
        await eventually(lambda: ten.depth == 0)
    assert run.delivered == list(range(1, 11))
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["outbox", "outbox"]


async def test_credentials_that_can_never_work_end_it(ten: Outbox) -> None:
    class Expired(MemoryTransport):
        async def connect(self) -> None:
            raise CredentialsError(Path("station-01.cert.pem"), "expired")

    run = Publishing(ten, transport=Expired())
    with pytest.raises(CredentialsError, match="expired"):
        await run.task


_FATES = st.sampled_from([*ReasonCode, *[ReasonCode.SUCCESS] * 6])


@settings(max_examples=30)
@given(
    fates=st.lists(_FATES, max_size=40),
    cuts=st.lists(st.integers(min_value=0, max_value=60), max_size=5),
    window=st.integers(min_value=1, max_value=8),
)
def test_whatever_happens_every_sample_arrives_or_is_set_aside(
    fates: list[ReasonCode],
    cuts: list[int],
    window: int,
    store: Store,
    make_reading: MakeReading,
    eventually: Eventually,
) -> None:
    class Unreliable(MemoryTransport):
        async def send(self, message: Message) -> None:
            if len(self.attempts) in cuts:
                cuts.remove(len(self.attempts))
                self.cut()
            await super().send(message)

    async def scenario(outbox: Outbox) -> MemoryTransport:
        async with Publishing(outbox, transport=Unreliable(fates), window=window) as run:
            await eventually(lambda: outbox.depth == 0)
        return run.transport

    with TemporaryDirectory() as folder:
        outbox = Outbox(Path(folder) / "o", station_id="station-01", boot_id="b", machine="m")
        for n in range(20):
            store(outbox, make_reading(n))
        transport = asyncio.run(scenario(outbox))
        aside = [sequence for sequence, _ in outbox.aside()]
        outbox.close()
    delivered = sequences(transport.accepted)
    assert sorted(delivered + aside) == list(range(1, 21))
