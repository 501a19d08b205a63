"""Swaps in a whole station: what they decide is in its readings, what they tell reaches the cloud."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from evswap_edge.app import Station, run_station
from evswap_edge.clock import SystemTime
from evswap_edge.config import StationConfig
from evswap_edge.swaps.floor import Request
from evswap_edge.transports.memory import MemoryTransport
from evswap_schema import (
    Authority,
    Channel,
    Event,
    InventoryEvent,
    Reading,
    SwapEvent,
    broker_topic,
    decode_event,
    decode_reading,
)
from tests.edge.conftest import Eventually
from tests.edge.swapping import STATION, Mechanics, battery, configured


def wired(config: StationConfig, cabinet: Mechanics, link: MemoryTransport) -> StationConfig:
    """The station of ``config`` with this cabinet and this link."""

    async def open_link(_: object, caller: Any) -> MemoryTransport:
        link._on_link = caller.on_link
        return link

    async def open_cabinet(*_: object) -> Mechanics:
        return cabinet

    transport = replace(config.transport.kind, open=open_link, topic=broker_topic)
    driver = replace(config.driver.kind, open=open_cabinet)
    return replace(
        config,
        transport=replace(config.transport, kind=transport),
        driver=replace(config.driver, kind=driver),
    )


def events(link: MemoryTransport) -> list[Event]:
    topic = broker_topic(Channel.EVENT, STATION)
    return [decode_event(message.payload) for message in link.accepted if message.topic == topic]


def last_reading(link: MemoryTransport) -> Reading:
    topic = broker_topic(Channel.TELEMETRY, STATION)
    return [decode_reading(message.payload) for message in link.accepted if message.topic == topic][-1]


async def test_a_station_swaps_and_tells(tmp_path: Path, eventually: Eventually) -> None:
    sampling = "\nsampling: {interval_s: 0.05}\nreporting: {mode: every-sample}"
    config = configured(tmp_path, "confirm_s: 0.05", f"watch_s: 0.05{sampling}")
    cabinet = Mechanics({1: None, 2: battery("EVS-2"), 3: battery("EVS-3")})
    link, stop = MemoryTransport(), asyncio.Event()
    seen: list[Station] = []

    @contextmanager
    def show(station: Station) -> Iterator[None]:
        seen.append(station)
        yield

    running = asyncio.create_task(
        run_station(
            wired(config, cabinet, link),
            SystemTime(),
            stop,
            show=show,
        )
    )
    await eventually(lambda: any(isinstance(one, InventoryEvent) for one in events(link)))
    request = Request(request_id=41, id_token="1" * 64, authority=Authority.ONLINE)
    await seen[0].swaps.begin(request)
    await eventually(lambda: last_reading(link).battery_available == 1)
    await eventually(lambda: 1 in cabinet.open)
    cabinet.put(1, battery("EVS-OLD", soc=10.0))
    await eventually(lambda: 2 in cabinet.open)
    cabinet.take(2)
    await eventually(lambda: len([one for one in events(link) if isinstance(one, SwapEvent)]) == 2)
    stop.set()
    await running
    told = events(link)
    assert [one.sequence for one in told] == [1, 2, 3]
    assert {one.station_id for one in told} == {STATION}
    assert len({one.stream_id for one in told}) == 1
