"""The publisher on a real outbox: what becomes of what is stored, whatever the far side does."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evswap_edge.backoff import Backoff
from evswap_edge.clock import SystemTime
from evswap_edge.message import Message
from evswap_edge.outbox import Outbox, OutboxFull
from evswap_edge.reporting import Mode
from evswap_edge.testing import ManualTime
from evswap_edge.transports import NotConnected, ReasonCode, Rejected, RestartRequired
from evswap_edge.transports.memory import MemoryTransport
from evswap_schema import Channel as C
from evswap_schema import decode_batch
from tests.edge.conftest import Eventually, MakeReading
from tests.edge.publishing import (
    Publishing,
    changes,
    events,
    opened,
    repeated,
    sequences,
    store,
    topic,
)

TIME = SystemTime()


def nothing_waits(outbox: Outbox) -> Callable[[], bool]:
    return lambda: outbox.waiting.all_samples == outbox.waiting.events == 0


async def holding(folder: Path, make_reading: MakeReading, count: int = 10) -> Outbox:
    """An outbox with samples 1 to ``count``."""
    outbox = await opened(folder)
    for n in range(count):
        await store(outbox, make_reading(n), TIME)
    return outbox


# --- every sample -----------------------------------------------------------------------------------------


async def test_everything_is_delivered_once_oldest_first_and_leaves_the_outbox(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    outbox = await holding(tmp_path, make_reading)
    async with Publishing(outbox, TIME) as run:
        await eventually(nothing_waits(outbox))
    assert run.archived == list(range(1, 11))
    assert run.vitals.accepted["live"] == 10
    assert run.vitals.latencies.at_most()[-1] == 10
    await outbox.aclose()


async def test_a_new_sample_and_a_new_event_wake_it(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    outbox = await opened(tmp_path)
    async with Publishing(outbox, TIME) as run:
        for n in range(1, 4):
            await run.sample(make_reading(n))
            await run.event(n)
            await eventually(nothing_waits(outbox))
            assert len(run.archived) == n
    assert events(run.transport.accepted) == [1, 2, 3]
    await outbox.aclose()


async def test_rows_stay_until_the_far_side_has_answered_and_no_more_than_the_window_is_under_way(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    outbox = await holding(tmp_path, make_reading)
    run = Publishing(outbox, TIME, window=4, drain_s=0.0)
    run.transport.go_silent()
    await eventually(lambda: len(run.transport.attempts) == 4)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(run.transport.attempts) == run.vitals.in_flight == 4
    assert outbox.waiting.all_samples == 10
    run.transport.answer_again()
    await eventually(nothing_waits(outbox))
    async with run:
        pass
    await outbox.aclose()


async def test_the_window_counts_what_the_outbox_does_not_know_durably(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = await holding(tmp_path, make_reading)
    slow, works = asyncio.Event(), outbox.acknowledge

    async def acknowledge(tickets: Any) -> None:
        await slow.wait()
        await works(tickets)

    monkeypatch.setattr(outbox, "acknowledge", acknowledge)
    async with Publishing(outbox, TIME, window=4) as run:
        await eventually(lambda: len(run.archived) >= 4)
        for _ in range(100):
            await asyncio.sleep(0)
        without_the_disk = len(run.archived)
        slow.set()
        await eventually(nothing_waits(outbox))
    assert without_the_disk == 4
    assert run.archived == list(range(1, 11))
    await outbox.aclose()


async def test_what_waited_longer_than_a_batch_is_compact_and_arrives_sample_by_sample(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    outbox = await opened(tmp_path)
    transport = MemoryTransport()
    transport.take_down()
    async with Publishing(outbox, TIME, window=8, age_s=0.01, transport=transport) as run:
        for n in range(20):
            await run.sample(make_reading(n))
        await eventually(lambda: outbox.waiting.samples == 0)
        assert outbox.waiting.parcel_samples == 20
        transport.bring_up()
        await eventually(nothing_waits(outbox))
    assert run.archived == list(range(1, 21))
    assert {message.topic for message in run.transport.accepted} == {topic(C.TELEMETRY), topic(C.CHANGE)}
    await outbox.aclose()


async def test_what_was_stored_before_a_sample_is_of_age_with_it_and_not_overtaken(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    outbox = await opened(tmp_path)
    before_it_was_set_back = ManualTime()
    before_it_was_set_back.stall(100.0)
    for n in range(5):
        await store(outbox, make_reading(n), before_it_was_set_back)
    time = ManualTime()
    transport = MemoryTransport()
    transport.take_down()
    async with Publishing(outbox, time, window=8, age_s=1.0, transport=transport) as run:
        await run.sample(make_reading(5))
        await time.advance(1.0)
        await eventually(lambda: outbox.waiting.parcels)
        await run.sample(make_reading(6))
        transport.bring_up()
        await eventually(nothing_waits(outbox))
    assert run.archived == [7, 1, 2, 3, 4, 5, 6]
    await outbox.aclose()


# --- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code", [ReasonCode.PACKET_TOO_LARGE, ReasonCode.PAYLOAD_FORMAT_INVALID, ReasonCode.TOPIC_NAME_INVALID]
)
async def test_a_message_at_fault_is_set_aside_and_the_others_go_on(
    tmp_path: Path,
    make_reading: MakeReading,
    eventually: Eventually,
    code: ReasonCode,
    caplog: pytest.LogCaptureFixture,
) -> None:
    outbox = await holding(tmp_path, make_reading)
    transport = MemoryTransport([ReasonCode.SUCCESS, code])
    async with Publishing(outbox, TIME, transport=transport) as run:
        await eventually(nothing_waits(outbox))
    assert run.archived == [1, *range(3, 11)]
    assert outbox.waiting.set_aside == 1
    assert run.vitals.refused == {"live": 1}
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert f"{code:#04x}" in caplog.messages[0]
    await outbox.aclose()


@pytest.mark.parametrize(
    "code", [ReasonCode.NOT_AUTHORIZED, ReasonCode.QUOTA_EXCEEDED, ReasonCode.UNSPECIFIED_ERROR]
)
async def test_a_refusal_that_may_pass_is_tried_again_and_reported_once(
    tmp_path: Path,
    make_reading: MakeReading,
    eventually: Eventually,
    code: ReasonCode,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    outbox = await holding(tmp_path, make_reading)
    transport = Refusing(lambda message: message.topic == topic(C.TELEMETRY), [code] * 12)
    async with Publishing(outbox, TIME, transport=transport) as run:
        await eventually(nothing_waits(outbox))
    assert sorted(run.archived) == list(range(1, 11))
    assert run.vitals.retried["live"] == 12
    lines = [line for line in caplog.messages if line.startswith("delivery")]
    assert len(lines) == 2
    assert f"{code:#04x}" in lines[0]
    assert lines[1].startswith("delivery of live: works again")
    await outbox.aclose()


async def test_what_is_refused_for_long_is_compact_and_keeps_its_order_over_another_link(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    outbox = await opened(tmp_path)
    transport = MemoryTransport([ReasonCode.NOT_AUTHORIZED] * 100_000)
    async with Publishing(outbox, TIME, window=4, age_s=0.05, transport=transport) as run:
        await eventually(lambda: run.vitals.linked)
        for n in range(20):
            await run.sample(make_reading(n))
        await eventually(lambda: outbox.waiting.parcel_samples == 20)
        assert run.vitals.linked
        transport.script.clear()
        transport.cut()
        await eventually(nothing_waits(outbox))
    assert run.archived == list(range(1, 21))
    await outbox.aclose()


async def test_a_lane_that_is_refused_knocks_with_one_message_and_holds_up_no_other(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    outbox = await holding(tmp_path, make_reading)
    transport = Refusing(lambda message: message.topic == topic(C.TELEMETRY))
    async with Publishing(outbox, TIME, window=5, drain_s=0, transport=transport) as run:
        await eventually(lambda: len(refused(transport)) >= 5)
        await run.event(7)
        await eventually(lambda: len(refused(transport)) >= 20)
        assert set(sequences(refused(transport)[5:20])) == {1}
        assert events(transport.accepted) == [7]
    await outbox.aclose()


class Refusing(MemoryTransport):
    """Refuses what ``whether`` says: with each of ``codes`` in turn, or for ever."""

    def __init__(self, whether: Callable[[Message], bool], codes: list[ReasonCode] | None = None) -> None:
        super().__init__()
        self._whether = whether
        self._codes = codes

    async def send(self, message: Message) -> None:
        if not self._whether(message) or self._codes == []:
            await super().send(message)
            return
        self.attempts.append(message)
        await asyncio.sleep(0)
        code = self._codes.pop() if self._codes else ReasonCode.NOT_AUTHORIZED
        raise Rejected(topic=message.topic, reason_code=code)


def refused(transport: MemoryTransport) -> list[Message]:
    return [message for message in transport.attempts if message.topic == topic(C.TELEMETRY)]


async def test_a_message_over_which_the_far_side_hangs_up_is_found_and_set_aside(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    class HangsUpOver(MemoryTransport):
        async def send(self, message: Message) -> None:
            if sequences([message]) == [3]:
                self.attempts.append(message)
                self.cut(reason_code=ReasonCode.PACKET_TOO_LARGE)
                raise NotConnected("hung up", reason_code=ReasonCode.PACKET_TOO_LARGE)
            await super().send(message)

    outbox = await holding(tmp_path, make_reading)
    async with Publishing(outbox, TIME, transport=HangsUpOver()) as run:
        await eventually(nothing_waits(outbox))
    assert sorted(run.archived) == [1, 2, *range(4, 11)]
    assert outbox.waiting.set_aside == 1
    await outbox.aclose()


async def test_poison_in_the_outbox_is_set_aside(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    outbox = await holding(tmp_path, make_reading)
    stamp = (await outbox.open_samples(1))[0].stamp
    await outbox.append(lambda stream_id, sequence: b"not a reading", stamp=stamp)
    await outbox.append_event(lambda stream_id, sequence: b"not an event", stamp=stamp)
    await store(outbox, make_reading(11), TIME)
    async with Publishing(outbox, TIME, confirmations=None) as run:
        await eventually(lambda: outbox.waiting.all_samples == 0)
    assert run.archived == [*range(1, 11), 12]
    await outbox.aclose()


# --- links that come and go -------------------------------------------------------------------------------


async def test_what_was_under_way_when_the_link_broke_is_sent_again_in_order(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    outbox = await holding(tmp_path, make_reading)
    run = Publishing(outbox, TIME, window=4)
    run.transport.go_silent()
    await eventually(lambda: len(run.transport.attempts) == 4)
    run.transport.take_down()
    assert outbox.waiting.all_samples == 10
    run.transport.bring_up()
    async with run:
        await eventually(nothing_waits(outbox))
    assert run.archived == list(range(1, 11))
    assert run.vitals.links == run.transport.connects == 2
    assert not run.vitals.linked
    await outbox.aclose()


async def test_what_was_under_way_when_the_link_broke_is_not_behind_what_came_of_age_meanwhile(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    outbox = await opened(tmp_path)
    time = ManualTime()
    async with Publishing(outbox, time, window=4, age_s=1.0) as run:
        await eventually(lambda: run.vitals.linked)
        run.transport.go_silent()
        for n in range(20):
            await run.sample(make_reading(n))
        await eventually(lambda: len(run.transport.attempts) == 4)
        await time.advance(1.0)
        await run.sample(make_reading(20))
        run.transport.take_down()
        await eventually(lambda: outbox.waiting.parcel_samples == 20)
        run.transport.bring_up()
        await time.advance(0.1)
        await eventually(nothing_waits(outbox))
    assert run.archived == [21, *range(1, 21)]
    await outbox.aclose()


async def test_a_link_that_breaks_while_nothing_is_under_way_is_noticed_when_the_transport_tells(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    outbox = await holding(tmp_path, make_reading, 1)
    async with Publishing(outbox, TIME) as run:
        await eventually(nothing_waits(outbox))
        run.transport.take_down()
        run.publisher.link_changed(False)
        assert not run.vitals.linked
        run.transport.bring_up()
        await eventually(lambda: run.vitals.linked)
    assert run.vitals.links == 2
    await outbox.aclose()


async def test_a_link_that_breaks_for_no_reason_never_costs_a_message(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    class Flapping(MemoryTransport):
        async def send(self, message: Message) -> None:
            if len(self.attempts) < 30:
                self.attempts.append(message)
                self.cut()
            await super().send(message)

    outbox = await holding(tmp_path, make_reading)
    async with Publishing(outbox, TIME, window=1, transport=Flapping()) as run:
        await eventually(nothing_waits(outbox))
    assert run.archived == list(range(1, 11))
    assert outbox.waiting.set_aside == 0
    await outbox.aclose()


async def test_answers_of_a_link_that_is_gone_do_not_cost_the_new_one(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    class Late(MemoryTransport):
        """Tells of a broken link only when another one stands."""

        async def send(self, message: Message) -> None:
            link = self.connects
            try:
                await super().send(message)
            except NotConnected:
                while self.connects == link:
                    await asyncio.sleep(0.001)
                await asyncio.sleep(0.01)
                raise

    outbox = await holding(tmp_path, make_reading)
    run = Publishing(outbox, TIME, window=4, transport=Late())
    run.transport.go_silent()
    await eventually(lambda: len(run.transport.attempts) == 4)
    run.transport.cut()
    run.publisher.link_changed(False)
    async with run:
        await eventually(nothing_waits(outbox))
    assert run.vitals.links == 2
    assert repeated(run.archived) == 0
    await outbox.aclose()


async def test_what_was_under_way_is_not_overtaken_though_its_transport_never_says_what_became_of_it(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mute(MemoryTransport):
        """Never tells of what was under way when the link broke."""

        async def send(self, message: Message) -> None:
            try:
                await super().send(message)
            except NotConnected:
                await asyncio.Event().wait()

    monkeypatch.setattr("evswap_edge.publisher.publisher._PARTING_S", 0.8)
    outbox = await opened(tmp_path)
    async with Publishing(outbox, TIME, window=4, age_s=0.2, transport=Mute()) as run:
        await eventually(lambda: run.vitals.linked)
        run.transport.go_silent()
        for n in range(4):
            await run.sample(make_reading(n))
        await eventually(lambda: len(run.transport.attempts) == 4)
        run.transport.take_down()
        run.publisher.link_changed(False)
        for n in range(4, 12):
            await run.sample(make_reading(n))
        await eventually(lambda: outbox.waiting.samples == 0)
        run.transport.bring_up()
        await eventually(nothing_waits(outbox))
    assert run.archived == list(range(1, 13))
    await outbox.aclose()


async def test_a_pause_that_ends_while_the_publisher_thinks_is_not_slept_through(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
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

    outbox = await holding(tmp_path, make_reading)
    async with Publishing(outbox, Hurrying(), window=1, transport=Flapping()):
        await eventually(nothing_waits(outbox))
    await outbox.aclose()


async def test_a_link_that_never_carried_anything_is_not_mended_at_once(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    class HangsUpOnEverything(MemoryTransport):
        async def send(self, message: Message) -> None:
            self.attempts.append(message)
            self.cut()
            raise NotConnected("hung up")

    waits: list[float] = []

    class Counting(Backoff):
        def next_s(self) -> float:
            waits.append(super().next_s())
            return waits[-1]

    outbox = await holding(tmp_path, make_reading)
    backoff = lambda: Counting(base_s=0.001, cap_s=0.002)  # noqa: E731
    async with Publishing(outbox, TIME, transport=HangsUpOnEverything(), window=1, backoff=backoff) as run:
        await eventually(lambda: len(run.transport.attempts) >= 10)
    assert len(waits) >= 9
    assert outbox.waiting.all_samples == 10
    await outbox.aclose()


# --- the lanes --------------------------------------------------------------------------------------------


async def test_after_an_outage_events_go_first_then_the_newest_state_then_what_is_new_then_the_backlog(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    outbox = await opened(tmp_path)
    transport = MemoryTransport()
    transport.take_down()
    async with Publishing(
        outbox, TIME, mode=Mode.ON_CHANGE, age_s=0.01, transport=transport, window=1
    ) as run:
        for n in range(30):
            await run.sample(make_reading(n, bays=8), changed=n == 20)
            if n in (9, 19):
                await eventually(lambda: outbox.waiting.samples == 0)
        await run.event(1)
        await eventually(lambda: outbox.waiting.samples == 0)
        transport.bring_up()
        await eventually(nothing_waits(outbox))
    first, second, *others = transport.accepted
    assert events([first]) == [1]
    assert [reading.sequence for reading in changes([second])] == [30]
    assert sequences(others) == list(range(1, 31))
    assert all(decode_batch(message.payload).backlog for message in others)
    assert run.caught_up == 1
    await outbox.aclose()


async def test_what_is_sealed_while_there_is_a_link_is_not_backlog(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    outbox = await opened(tmp_path)
    async with Publishing(outbox, TIME, mode=Mode.ON_CHANGE, age_s=0.01) as run:
        await eventually(lambda: run.vitals.linked)
        for n in range(3):
            await run.sample(make_reading(n, bays=8))
        await eventually(nothing_waits(outbox))
    batches = [decode_batch(message.payload) for message in run.transport.accepted]
    assert not any(batch.backlog for batch in batches)
    assert run.archived == [1, 2, 3]
    await outbox.aclose()


async def test_a_change_is_told_at_once_and_archived_with_its_batch(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    outbox = await opened(tmp_path)
    async with Publishing(outbox, TIME, mode=Mode.ON_CHANGE) as run:
        await eventually(lambda: run.vitals.linked)
        await run.sample(make_reading(1), changed=True)
        await run.sample(make_reading(2))
        await eventually(lambda: len(changes(run.transport.accepted)) == 1)
        assert run.archived == []
        assert outbox.waiting.samples == 2
    assert [reading.sequence for reading in changes(run.transport.accepted)] == [1]
    assert run.archived == [1, 2]  # when it stopped
    await outbox.aclose()


async def test_a_newer_state_takes_the_place_of_one_that_waits(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    outbox = await opened(tmp_path)
    run = Publishing(outbox, TIME, mode=Mode.ON_CHANGE, drain_s=0)
    await eventually(lambda: run.vitals.linked)
    run.transport.go_silent()
    await run.sample(make_reading(0), changed=True)
    await eventually(lambda: run.transport.attempts)
    for n in range(1, 6):
        await run.sample(make_reading(n), changed=True)
    run.transport.answer_again()
    await eventually(lambda: len(changes(run.transport.accepted)) == 2)
    async with run:
        pass
    assert [reading.sequence for reading in changes(run.transport.accepted)] == [1, 6]
    await outbox.aclose()


async def test_a_change_that_is_refused_is_not_kept_and_its_batch_goes_on(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    outbox = await opened(tmp_path)
    transport = Refusing(lambda message: message.topic == topic(C.CHANGE))
    async with Publishing(outbox, TIME, mode=Mode.ON_CHANGE, age_s=0.01, transport=transport) as run:
        await eventually(lambda: run.vitals.linked)
        await run.sample(make_reading(1), changed=True)
        await eventually(nothing_waits(outbox))
    assert changes(transport.accepted) == []
    assert run.archived == [1]
    await outbox.aclose()


async def test_changes_are_not_told_faster_than_anybody_can_look(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    outbox = await opened(tmp_path)
    async with Publishing(outbox, TIME, mode=Mode.ON_CHANGE) as run:
        await eventually(lambda: run.vitals.linked)
        for n in range(60):
            await run.sample(make_reading(n), changed=True)
    assert len(changes(run.transport.accepted)) < 20
    assert run.archived == list(range(1, 61))
    await outbox.aclose()


async def test_the_backlog_leaves_room_in_the_window_and_live_never_waits_for_it(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    outbox = await opened(tmp_path)
    transport = MemoryTransport()
    transport.take_down()
    run = Publishing(outbox, TIME, mode=Mode.ON_CHANGE, age_s=0.001, transport=transport, window=8)
    for n in range(40):
        await run.sample(make_reading(n))
        await eventually(lambda: outbox.waiting.samples == 0)
    transport.go_silent()
    transport.bring_up()
    await eventually(lambda: len(transport.attempts) == 6)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(transport.attempts) == 6  # the backlog's share
    live = await run.sample(make_reading(41))
    await eventually(lambda: len(transport.attempts) == 7)
    assert sequences(transport.attempts[-1:]) == [live.sequence]
    transport.answer_again()
    async with run:
        await eventually(nothing_waits(outbox))
    assert sorted(run.archived) == list(range(1, 42))
    assert repeated(run.archived) == 0
    await outbox.aclose()


async def test_a_link_that_live_messages_fill_for_good_still_has_a_turn_for_the_backlog(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    outbox = await opened(tmp_path)
    transport = MemoryTransport()
    transport.take_down()
    async with Publishing(outbox, TIME, age_s=0.001, transport=transport) as run:
        for n in range(4):
            await run.sample(make_reading(n))
        await eventually(lambda: outbox.waiting.parcel_samples == 4)
    for n in range(300):
        await store(outbox, make_reading(n), TIME)
    transport.bring_up()
    async with Publishing(outbox, TIME, transport=transport) as run:
        await eventually(nothing_waits(outbox))
    assert sorted(run.archived) == list(range(1, 305))
    assert run.archived[0] == 5
    assert run.archived.index(1) < 100
    await outbox.aclose()


async def test_the_backlog_goes_at_its_rate_after_a_pause(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    outbox = await opened(tmp_path)
    transport = MemoryTransport()
    transport.take_down()
    run = Publishing(
        outbox,
        TIME,
        mode=Mode.ON_CHANGE,
        age_s=0.001,
        transport=transport,
        backlog_per_s=0.001,
        backlog_pause_s=0.001,
    )
    for n in range(5):
        await run.sample(make_reading(n))
        await eventually(lambda: outbox.waiting.samples == 0)
    transport.bring_up()
    await eventually(lambda: run.archived)
    live = await run.sample(make_reading(6))
    await eventually(lambda: live.sequence in run.archived)
    async with run:
        pass
    assert run.archived == [1, live.sequence]
    assert run.caught_up == 0
    await outbox.aclose()


# --- the end ----------------------------------------------------------------------------------------------


async def test_stopping_delivers_what_is_new_and_leaves_the_backlog(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    outbox = await opened(tmp_path)
    transport = MemoryTransport()
    transport.take_down()
    run = Publishing(outbox, TIME, mode=Mode.ON_CHANGE, age_s=30, transport=transport, backlog_per_s=0.001)
    for n in range(400):
        await run.sample(make_reading(n))
    await eventually(lambda: outbox.waiting.parcel_samples == 360)
    transport.bring_up()
    await eventually(lambda: run.vitals.linked)
    run.stop.set()
    await run.task
    assert set(range(361, 401)) <= set(run.archived)
    assert outbox.waiting.samples == 0
    await outbox.aclose()


async def test_stopping_waits_for_answers(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    outbox = await holding(tmp_path, make_reading)
    run = Publishing(outbox, TIME, window=1)
    run.transport.go_silent()
    await eventually(lambda: len(run.transport.attempts) == 1)
    run.stop.set()
    run.transport.answer_again()
    await run.task
    assert run.archived == list(range(1, 11))
    assert outbox.waiting.all_samples == 0
    await outbox.aclose()


async def test_stopping_does_not_wait_longer_than_it_may_for_a_far_side_that_is_silent(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    outbox = await holding(tmp_path, make_reading)
    run = Publishing(outbox, TIME, window=4, drain_s=0.05)
    run.transport.go_silent()
    await eventually(lambda: len(run.transport.attempts) == 4)
    run.stop.set()
    await asyncio.wait_for(run.task, timeout=10)
    assert outbox.waiting.all_samples == 10
    await outbox.aclose()


async def test_stopping_without_a_link_is_immediate(tmp_path: Path, make_reading: MakeReading) -> None:
    outbox = await holding(tmp_path, make_reading)
    transport = MemoryTransport()
    transport.take_down()
    run = Publishing(outbox, TIME, transport=transport, drain_s=3_600.0)
    await asyncio.sleep(0)
    run.stop.set()
    await asyncio.wait_for(run.task, timeout=10)
    assert outbox.waiting.all_samples == 10
    await outbox.aclose()


# --- an outbox or a far side in trouble ---------------------------------------------------------------------


@pytest.mark.parametrize("call", ["acknowledge", "take_samples", "open_samples"])
async def test_an_outbox_that_fails_for_a_while_delivers_everything_and_nothing_twice(
    tmp_path: Path,
    make_reading: MakeReading,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    call: str,
) -> None:
    outbox = await holding(tmp_path, make_reading)
    works: Callable[..., Any] = getattr(outbox, call)
    failures = 2

    async def fails_at_first(*arguments: Any, **options: Any) -> Any:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise OutboxFull(outbox.path, "database or disk is full")
        return await works(*arguments, **options)

    monkeypatch.setattr(outbox, call, fails_at_first)
    monkeypatch.setattr("evswap_edge.publisher.publisher._STORAGE_PAUSE_S", 0.001)
    caplog.set_level(logging.INFO)
    async with Publishing(outbox, TIME) as run:
        await eventually(nothing_waits(outbox))
    assert run.archived == list(range(1, 11))
    told = [line.split(":")[0] for line in caplog.messages]
    assert told == ["outbox"] * len(told)
    assert len(told) % 2 == 0
    assert told
    await outbox.aclose()


async def test_a_link_that_is_gone_for_good_ends_it(tmp_path: Path, make_reading: MakeReading) -> None:
    class Gone(MemoryTransport):
        async def connect(self) -> None:
            raise RestartRequired("the nucleus is gone")

    outbox = await holding(tmp_path, make_reading)
    run = Publishing(outbox, TIME, transport=Gone())
    with pytest.raises(RestartRequired, match="the nucleus is gone"):
        await run.task
    await outbox.aclose()


async def test_a_bug_in_a_transport_ends_it(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    class Buggy(MemoryTransport):
        async def send(self, message: Message) -> None:
            raise LookupError("a bug")

    outbox = await holding(tmp_path, make_reading)
    with pytest.raises(LookupError, match="a bug"):
        await Publishing(outbox, TIME, transport=Buggy()).task
    await outbox.aclose()
