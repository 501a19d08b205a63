"""The end-to-end acknowledgement, whole: a station under a nucleus keeps what the cloud has not confirmed.

The nucleus is emulated, over the real wire, and loses; ingest and acknowledger are the cloud's own, over
stores in memory. Nothing is written for the test but the road between the two.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from evswap_cloud.acknowledge import Acknowledger
from evswap_cloud.archive import readings_in
from evswap_cloud.ingest import Delivery
from evswap_edge.emulators.greengrass.nucleus import EmulatedNucleus
from evswap_edge.emulators.greengrass.uplink import Broker, Published
from evswap_schema import (
    Acknowledgement,
    Channel,
    aws_topic,
    broker_topic,
    decode_reading,
    encode_acknowledgement,
)
from tests.cloud.messages import delivery, envelope
from tests.cloud.stores import Stores
from tests.edge.conftest import LONGEST_WAIT_S
from tests.edge.nuclei import STATION as CONFIGURATION
from tests.edge.nuclei import Component, component
from tests.edge.publishing import waiting_in

STATION = "station-01"
INVOCATION_S = 0.05
CHANNELS = {
    aws_topic(channel, STATION): channel for channel in (Channel.TELEMETRY, Channel.BATCH, Channel.EVENT)
}


@dataclass
class Cloud:
    """Takes what the broker has, batch by batch as the queues do, and answers over the same nucleus."""

    nucleus: EmulatedNucleus
    events: list[Mapping[str, Any]]
    stores: Stores = field(default_factory=Stores)
    numbers: Iterator[int] = field(default_factory=count)
    taken: int = 0

    def send(self, acknowledgement: Acknowledgement) -> None:
        topic = broker_topic(Channel.ACKNOWLEDGEMENT, acknowledgement.station_id)
        self.nucleus.deliver(Published(topic, encode_acknowledgement(acknowledgement)))

    async def run(self) -> None:
        while True:
            self.invoke()
            await asyncio.sleep(INVOCATION_S)

    def invoke(self) -> None:
        came, self.taken = self.events[self.taken :], len(self.events)
        for channel, ingest in (
            (Channel.TELEMETRY, self.stores.live),
            (Channel.BATCH, self.stores.bulk),
            (Channel.EVENT, self.stores.events),
        ):
            report = ingest.process(tuple(self._deliveries(came, channel)))
            assert report.failures == ()
            Acknowledger(self).acknowledge(report.receipts)

    def _deliveries(self, came: list[Mapping[str, Any]], channel: Channel) -> Iterator[Delivery]:
        for event in came:
            if CHANNELS.get(event.get("topic", "")) is channel:
                now = datetime.now(UTC)
                body = envelope(event["payload"], station_id=STATION, channel=channel, received_at=now)
                yield delivery(body, f"record-{next(self.numbers)}", sent_at=now)

    def archived(self) -> set[int]:
        """The sequence numbers in the archive."""
        objects = self.stores.archive.objects.values()
        lines = (line for item in objects for line in readings_in(item.key, item.body))
        return {decode_reading(line).sequence or 0 for line in lines}


@pytest.mark.parametrize("mode", ["every-sample", "on-change"])
def test_what_the_cloud_has_archived_leaves_the_station_and_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    changes = {"reporting": {"mode": mode, "batch_age_s": 1}}
    asyncio.run(archived_in_the_end(tmp_path, monkeypatch, CONFIGURATION | changes))
    assert asyncio.run(waiting_in(tmp_path / "outbox.sqlite")) == 0


async def archived_in_the_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch, configuration: dict[str, Any]
) -> None:
    publishing = configuration["publishing"] | {"confirmation_timeout_s": 2}
    async with component(
        folder, monkeypatch, eventually, configuration | {"publishing": publishing}
    ) as running:
        running.nucleus.acknowledging = False  # the cloud is here
        cloud = Cloud(running.nucleus, running.events)
        working = asyncio.create_task(cloud.run())
        await reached(running, cloud, 10)
        running.nucleus.set_broker(Broker.LOSING)
        await running.until(lambda: running.nucleus.status()["lost"] >= 2)
        running.nucleus.set_broker(Broker.UP)
        await reached(running, cloud, 60)
        running.stop.set()
        await running.task
        working.cancel()
        assert cloud.archived() >= set(range(1, 61))
        assert cloud.stores.quarantine.messages == {}


async def reached(running: Component, cloud: Cloud, number: int) -> None:
    """Until the cloud has all samples up to ``number``."""
    await running.until(lambda: cloud.archived() >= set(range(1, number + 1)))


async def eventually(condition: Any) -> None:
    async with asyncio.timeout(LONGEST_WAIT_S):
        while not condition():
            await asyncio.sleep(0.005)
