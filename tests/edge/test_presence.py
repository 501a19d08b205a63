"""What the broker keeps of a station's coming and going."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from evswap_edge.clock import SystemTime
from evswap_edge.presence import Presence
from evswap_edge.transports import Caller, ReasonCode
from evswap_edge.transports.memory import MemoryTransport
from evswap_schema import Connection, ConnectionState, broker_topic, decode_connection
from tests.chaos.proxy import Way
from tests.edge.conftest import Eventually
from tests.edge.test_transports_mosquitto import Observer, observing, opened, proxied
from tests.mosquitto import Mosquitto

STATION = "station-01"
TOPIC = "ev/station/station-01/connection"
ONLINE, OFFLINE = ConnectionState.ONLINE, ConnectionState.OFFLINE


def new_presence() -> Presence:
    return Presence(STATION, topic=broker_topic, time=SystemTime())


@asynccontextmanager
async def in_memory(presence: Presence) -> AsyncIterator[MemoryTransport]:
    caller = Caller(station_id=STATION, time=SystemTime(), will=presence.will, on_link=presence.on_link)
    transport = MemoryTransport(caller=caller)
    async with presence.over(transport):
        yield transport
    await transport.aclose()


def said(transport: MemoryTransport) -> list[Connection]:
    assert all(message.topic == TOPIC and message.retain for message in transport.accepted)
    return [decode_connection(message.payload) for message in transport.accepted]


def states(transport: MemoryTransport) -> list[ConnectionState]:
    return [each.state for each in said(transport)]


async def test_a_station_says_when_it_comes_and_when_it_goes(eventually: Eventually) -> None:
    async with in_memory(new_presence()) as transport:
        assert transport.accepted == []
        await transport.connect()
        await eventually(lambda: states(transport) == [ONLINE])
    assert states(transport) == [ONLINE, OFFLINE]
    assert {each.station_id for each in said(transport)} == {STATION}


async def test_every_new_link_is_told_and_the_broker_tells_of_its_end(eventually: Eventually) -> None:
    async with in_memory(new_presence()) as transport:
        for count in range(1, 4):
            await transport.connect()
            await eventually(lambda: states(transport)[-1:] == [ONLINE])
            transport.cut()
            assert states(transport) == [ONLINE, OFFLINE] * count
    assert states(transport) == [ONLINE, OFFLINE] * 3, "without a link there is no farewell"


async def test_one_run_is_one_session_and_the_next_one_is_another(eventually: Eventually) -> None:
    sessions = []
    for _ in range(2):
        async with in_memory(new_presence()) as transport:
            await transport.connect()
            await eventually(lambda: transport.accepted)
            transport.cut()
            await transport.connect()
            await eventually(lambda: len(transport.accepted) == 3)
        (session,) = {each.session for each in said(transport)}
        sessions.append(session)
    assert sessions[0] != sessions[1]


async def test_a_broker_that_will_not_have_it_is_told_of_once_and_stops_nothing(
    eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with in_memory(new_presence()) as transport:
        for _ in range(3):
            transport.script.append(ReasonCode.NOT_AUTHORIZED)
            await transport.connect()
            await eventually(lambda: not transport.script)
            transport.cut()
        await transport.connect()
        await eventually(lambda: any("works again" in line for line in caplog.messages))
        assert ONLINE in states(transport)
    lines = [line for line in caplog.messages if line.startswith("saying that this station is online")]
    assert len(lines) == 2
    assert "0x87" in lines[0]
    assert "works again" in lines[1]


async def test_a_station_that_stops_does_not_wait_long_for_its_last_word(eventually: Eventually) -> None:
    async with in_memory(new_presence()) as transport:
        await transport.connect()
        await eventually(lambda: transport.accepted)
        transport.go_silent()
    assert states(transport) == [ONLINE]


async def kept(observer: Observer, eventually: Eventually) -> Connection:
    """What whoever subscribes now is told."""
    await eventually(lambda: observer.seen)
    assert observer.seen[0].retain
    return decode_connection(observer.seen[0].payload)


@pytest.mark.parametrize("name", ["aws-iot", "mqtt"])
async def test_mosquitto_keeps_the_last_word_whoever_says_it(
    name: str, mosquitto: Mosquitto, eventually: Eventually
) -> None:
    presence = new_presence()
    caller = Caller(station_id=STATION, time=SystemTime(), will=presence.will, on_link=presence.on_link)
    async with proxied(mosquitto) as proxy, observing(mosquitto, TOPIC) as watching:
        async with opened(name, mosquitto, caller, port=proxy.port) as transport, presence.over(transport):
            await transport.connect()
            await eventually(lambda: len(watching.seen) == 1)
            proxy.way = Way.CUT
            proxy.cut()
            await eventually(lambda: len(watching.seen) == 2)
            proxy.way = Way.OPEN
            await eventually(lambda: len(watching.seen) >= 3)
        await eventually(lambda: len(watching.seen) >= 4)
        words = [decode_connection(each.payload).state for each in watching.seen]
        assert words == [ONLINE, OFFLINE, ONLINE, OFFLINE]
    async with observing(mosquitto, TOPIC) as later:
        assert (await kept(later, eventually)).state is OFFLINE
