"""A publisher whose transport proves nothing: samples leave by the cloud's own word."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from evswap_edge.confirmations import Confirmations
from evswap_edge.message import Message
from evswap_edge.outbox import Outbox
from evswap_edge.reporting import Mode
from evswap_edge.testing import ManualTime, settle
from evswap_edge.transports.memory import MemoryTransport
from evswap_schema import Channel, acknowledgements, encode_acknowledgement, message_digest
from tests.edge.conftest import Eventually, MakeReading
from tests.edge.publishing import STATION, Publishing, opened, sequences, store, store_event, topic

TIMEOUT_S = 300.0


class Station:
    """A publisher, and a cloud that confirms what it is told to."""

    def __init__(self, outbox: Outbox, time: ManualTime, *, limit: int = 500, mode: Mode = Mode.EVERY_SAMPLE):
        self.time = time
        self.transport = MemoryTransport()
        self.confirmations = Confirmations(time, station_id=STATION, timeout_s=TIMEOUT_S, limit=limit)
        self.run = Publishing(
            outbox,
            time,
            transport=self.transport,
            confirmations=self.confirmations,
            mode=mode,
            window=10,
            drain_s=0,
        )

    @property
    def sent(self) -> list[int]:
        return sequences(self.transport.accepted)

    def confirm(self, wanted: Callable[[Message], bool] = lambda message: True) -> None:
        """Name all that has come and that ``wanted`` wants."""
        digests = [message_digest(one.payload) for one in self.transport.accepted if wanted(one)]
        for each in acknowledgements(STATION, digests):
            self.transport.deliver(topic(Channel.ACKNOWLEDGEMENT), encode_acknowledgement(each))


@asynccontextmanager
async def station(
    folder: Path, make_reading: MakeReading, samples: int, **options: Any
) -> AsyncIterator[Station]:
    time = ManualTime()
    outbox = await opened(folder, time)
    for n in range(samples):
        await store(outbox, make_reading(n), time)
    one = Station(outbox, time, **options)
    await one.confirmations.listen(one.transport)
    async with one.run:
        yield one
    await outbox.aclose()


async def test_a_sample_leaves_when_the_cloud_has_named_its_message(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    async with station(tmp_path, make_reading, 30) as one:
        await eventually(lambda: len(one.sent) == 30)
        assert one.run.outbox.waiting.all_samples == 30
        one.confirm()
        await eventually(lambda: one.run.outbox.waiting.all_samples == 0)
        assert one.sent == list(range(1, 31))


async def test_what_is_not_named_in_time_goes_again_and_holds_up_nothing(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    async with station(tmp_path, make_reading, 30) as one:
        await eventually(lambda: len(one.sent) == 30)
        one.confirm(lambda message: sequences([message]) != [7])
        await eventually(lambda: one.run.outbox.waiting.all_samples == 1)
        await one.time.advance(TIMEOUT_S)
        await eventually(lambda: len(one.sent) == 31)
        assert one.sent[-1] == 7
        one.confirm()
        await eventually(lambda: one.run.outbox.waiting.all_samples == 0)
    assert "not confirmed" not in caplog.text


async def test_no_more_wait_for_the_cloud_than_may_and_the_next_go_when_it_has_spoken(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    async with station(tmp_path, make_reading, 60, limit=25) as one:
        for came in (25, 50, 60):
            await eventually(lambda: len(one.sent) == came)  # noqa: B023
            await settle()
            assert one.confirmations.unconfirmed <= 25
            assert len(one.sent) == came
            one.confirm()
        await eventually(lambda: one.run.outbox.waiting.all_samples == 0)
    assert "wait for the cloud's confirmation" not in caplog.text


async def test_the_newest_state_waits_for_nobody(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually
) -> None:
    """It is volatile: its copy that lasts is in a batch."""
    async with station(tmp_path, make_reading, 0, limit=1, mode=Mode.ON_CHANGE) as one:
        await store_event(one.run.outbox, 1, one.time)
        one.run.publisher.happened()
        await eventually(lambda: one.confirmations.room == 0)
        await one.run.sample(make_reading(1), changed=True)
        changes = topic(Channel.CHANGE)
        await eventually(lambda: any(message.topic == changes for message in one.transport.accepted))
        assert one.confirmations.unconfirmed == 1
