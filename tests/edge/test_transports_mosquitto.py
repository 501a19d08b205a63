"""The transports that reach a broker, against a real one: mutual TLS, access by topic, revocation, and a way
that loses what it should carry.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import aiomqtt
import pytest

from evswap_edge.message import Message
from evswap_edge.transports import (
    Caller,
    NotAcknowledged,
    NotConnected,
    ReasonCode,
    Rejected,
    Transport,
    TransportError,
    load_transport,
)
from tests.chaos.proxy import Proxy, Way
from tests.conftest import SkipAloud
from tests.edge.conftest import Eventually
from tests.edge.far_sides import CALLER, STATION, Ears
from tests.mosquitto import MISSING, SERVER, Credentials, Mosquitto, find_mosquitto

MESSAGE = Message(topic="ev/station/station-01/telemetry", payload=b'{"n":1}')
WILL = Message(topic="ev/station/station-01/connection", payload=b"gone", retain=True)
COMMANDS = "ev/station/station-01/commands/+"

every_transport = pytest.mark.parametrize("name", ["aws-iot", "mqtt"])


@dataclass(frozen=True)
class Seen:
    topic: str
    payload: bytes
    retain: bool


class Observer:
    """A client that is none of ours, and what it saw."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client
        self.seen: list[Seen] = []

    async def say(self, topic: str, payload: bytes = b"") -> None:
        await self._client.publish(topic, payload, qos=1)

    async def watch(self) -> None:
        async for message in self._client.messages:
            assert isinstance(message.payload, bytes)
            self.seen.append(Seen(str(message.topic), message.payload, retain=message.retain))

    @property
    def topics(self) -> list[str]:
        return [each.topic for each in self.seen]


@asynccontextmanager
async def opened(
    name: str,
    mosquitto: Mosquitto,
    caller: Caller = CALLER,
    *,
    credentials: Credentials | None = None,
    **settings: object,
) -> AsyncIterator[Transport]:
    """The transport ``name`` to a broker, with times as short as they can be."""
    mine = credentials or mosquitto.station_credentials(STATION)
    kind = load_transport(name)
    chosen: dict[str, object] = {
        "host": mosquitto.host,
        "port": mosquitto.port,
        "ca_file": mine.ca_file,
        "certificate_file": mine.certificate_file,
        "key_file": mine.key_file,
        "acknowledge_timeout_s": 1,
        "connect_timeout_s": 2,
        "reconnect_min_s": 0.1,
        "reconnect_max_s": 0.2,
        "will_delay_s": 0,
    }
    transport: Transport = await kind.open(kind.settings(**chosen | settings), caller)
    try:
        yield transport
    finally:
        await transport.aclose()


@asynccontextmanager
async def observing(mosquitto: Mosquitto, *filters: str) -> AsyncIterator[Observer]:
    """Watch ``filters``, or all that stations say."""
    client = plain_client(mosquitto)
    observer = Observer(client)
    async with client:
        for topic_filter in filters or ("ev/station/#",):
            await client.subscribe(topic_filter, qos=1)
        watching = asyncio.create_task(observer.watch())
        yield observer
        watching.cancel()
        await asyncio.wait({watching})


def plain_client(mosquitto: Mosquitto) -> aiomqtt.Client:
    mine = mosquitto.station_credentials("observer")
    context = ssl.create_default_context(cafile=str(mine.ca_file))
    context.load_cert_chain(mine.certificate_file, mine.key_file)
    return aiomqtt.Client(
        mosquitto.host,
        mosquitto.port,
        identifier="observer",
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_context=context,
    )


@asynccontextmanager
async def proxied(mosquitto: Mosquitto) -> AsyncIterator[Proxy]:
    """A way to the broker that can be broken in every manner."""
    proxy = Proxy(
        mosquitto.station_credentials(STATION), mosquitto.station_credentials(SERVER), mosquitto.port
    )
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.aclose()


async def delivered(transport: Transport, message: Message) -> None:
    """As a publisher does it: again and again until there is an answer. Raises ``Rejected``."""
    while True:
        await transport.connect()
        with suppress(NotConnected, NotAcknowledged):
            return await transport.send(message)


async def fails(transport: Transport) -> None:
    """Return when the transport has seen that its link is gone."""
    while True:
        try:
            with suppress(NotAcknowledged):  # a busy machine may see the end later than that
                await transport.send(MESSAGE)
        except NotConnected:
            return


# --- what it acknowledges -----------------------------------------------------------------------------------


@every_transport
async def test_what_was_sent_is_at_the_broker_byte_for_byte(
    name: str, mosquitto: Mosquitto, eventually: Eventually
) -> None:
    payload = bytes(range(256)) * 20
    async with observing(mosquitto) as observer, opened(name, mosquitto) as transport:
        await transport.connect()
        await transport.send(replace(MESSAGE, payload=payload))
        await eventually(lambda: observer.seen)
        assert observer.seen == [Seen(MESSAGE.topic, payload, retain=False)]


@every_transport
async def test_what_was_retained_is_there_for_whoever_comes_later(
    name: str, mosquitto: Mosquitto, eventually: Eventually
) -> None:
    async with opened(name, mosquitto) as transport:
        await transport.connect()
        await transport.send(replace(MESSAGE, retain=True))
        await transport.send(replace(MESSAGE, payload=b"not kept"))
    async with observing(mosquitto) as observer:
        await eventually(lambda: observer.seen)
    assert observer.seen == [Seen(MESSAGE.topic, MESSAGE.payload, retain=True)]


@every_transport
async def test_a_hundred_at_once_are_answered_each(
    name: str, mosquitto: Mosquitto, eventually: Eventually
) -> None:
    """Five times what mosquitto takes at once (its Receive Maximum)."""
    messages = [replace(MESSAGE, payload=str(number).encode()) for number in range(100)]
    async with observing(mosquitto) as observer, opened(name, mosquitto) as transport:
        await transport.connect()
        await asyncio.gather(*map(transport.send, messages))
        await eventually(lambda: len(observer.seen) == len(messages))
        assert {each.payload for each in observer.seen} == {message.payload for message in messages}


@every_transport
async def test_another_stations_topic_is_refused_and_ones_own_is_not(
    name: str, mosquitto: Mosquitto, eventually: Eventually
) -> None:
    """mosquitto 2.0.11 answers 0x87 and hangs up all the same."""
    async with observing(mosquitto) as observer, opened(name, mosquitto) as transport:
        for _ in range(2):
            with pytest.raises(Rejected) as refused:
                await delivered(transport, replace(MESSAGE, topic="ev/station/station-02/telemetry"))
            assert (refused.value.reason_code, refused.value.permanent) == (ReasonCode.NOT_AUTHORIZED, False)
        await delivered(transport, MESSAGE)
        await eventually(lambda: observer.seen)
        assert {each.topic for each in observer.seen} == {MESSAGE.topic}


@pytest.fixture
def particular(tmp_path: Path, skip_aloud: SkipAloud) -> Iterator[Callable[..., Mosquitto]]:
    """A broker with options of its own."""
    if find_mosquitto() is None:
        skip_aloud(MISSING, could_run=True)
    brokers: list[Mosquitto] = []

    def start(*options: str) -> Mosquitto:
        broker = Mosquitto(tmp_path / "particular", options=options)
        brokers.append(broker)
        broker.start()
        return broker

    yield start
    for broker in brokers:
        broker.stop()


@every_transport
async def test_what_a_broker_says_that_it_will_not_take_is_never_sent(
    name: str, particular: Callable[..., Mosquitto], eventually: Eventually
) -> None:
    broker = particular("max_packet_size 6000")
    async with observing(broker) as observer, opened(name, broker) as transport:
        await transport.connect()
        with pytest.raises(Rejected) as refused:
            await transport.send(replace(MESSAGE, payload=bytes(6000)))
        assert (refused.value.reason_code, refused.value.permanent) == (ReasonCode.PACKET_TOO_LARGE, True)
        await transport.send(MESSAGE)
        await eventually(lambda: observer.seen)
        assert [each.payload for each in observer.seen] == [MESSAGE.payload]


async def test_a_reason_code_that_a_puback_must_not_have_is_read_all_the_same(
    particular: Callable[..., Mosquitto],
) -> None:
    """mosquitto's message_size_limit is announced to nobody, and answered by 0x95."""
    broker = particular("message_size_limit 6000")
    async with opened("mqtt", broker) as transport:
        await transport.connect()
        with pytest.raises(Rejected) as refused:
            await transport.send(replace(MESSAGE, payload=bytes(6001)))
        assert (refused.value.reason_code, refused.value.permanent) == (ReasonCode.PACKET_TOO_LARGE, True)
        await delivered(transport, MESSAGE)


async def test_such_a_code_is_none_that_aws_iot_knows_and_still_no_success(
    particular: Callable[..., Mosquitto],
) -> None:
    broker = particular("message_size_limit 6000")
    async with opened("aws-iot", broker) as transport:
        await transport.connect()
        with pytest.raises(Rejected, match="unknown reason code"):
            await transport.send(replace(MESSAGE, payload=bytes(6001)))
        await delivered(transport, MESSAGE)


# --- what becomes of the link -------------------------------------------------------------------------------


@every_transport
@pytest.mark.parametrize("end", [Mosquitto.stop, Mosquitto.kill], ids=["stopped", "killed"])
async def test_a_broker_that_comes_back_finds_the_subscriptions_again(
    name: str, mosquitto: Mosquitto, eventually: Eventually, end: Callable[[Mosquitto], None]
) -> None:
    ears = Ears()
    async with opened(name, mosquitto) as transport:
        await transport.connect()
        await transport.subscribe(COMMANDS, ears)
        end(mosquitto)
        await fails(transport)
        mosquitto.start()
        await delivered(transport, MESSAGE)
        async with observing(mosquitto) as observer:
            for number in range(20):
                await observer.say(COMMANDS.replace("+", str(number)))
        await eventually(lambda: len(ears.heard) == 20)
        assert [topic for topic, _ in ears.heard] == [COMMANDS.replace("+", str(n)) for n in range(20)]


@every_transport
async def test_a_half_open_link_is_found_by_its_keep_alive_and_made_anew(
    name: str, mosquitto: Mosquitto, eventually: Eventually
) -> None:
    told: list[bool] = []
    caller = replace(CALLER, on_link=told.append)
    async with (
        proxied(mosquitto) as proxy,
        opened(name, mosquitto, caller, port=proxy.port, keep_alive_s=2) as transport,
    ):
        await transport.connect()
        proxy.way = Way.SWALLOWS
        with pytest.raises(TransportError):
            await transport.send(MESSAGE)
        await eventually(lambda: told == [True, False])
        proxy.way = Way.OPEN
        await delivered(transport, MESSAGE)


@every_transport
async def test_what_arrived_though_its_answer_did_not_is_sent_again(
    name: str, mosquitto: Mosquitto, eventually: Eventually
) -> None:
    async with (
        observing(mosquitto) as observer,
        proxied(mosquitto) as proxy,
        opened(name, mosquitto, port=proxy.port, keep_alive_s=2) as transport,
    ):
        await transport.connect()
        proxy.way = Way.SWALLOWS_ANSWERS
        with pytest.raises(TransportError):
            await transport.send(MESSAGE)
        await eventually(lambda: len(observer.seen) == 1)
        proxy.way = Way.OPEN
        proxy.cut()
        await delivered(transport, MESSAGE)
        await eventually(lambda: len(observer.seen) >= 2)


@every_transport
async def test_answers_that_come_twice_confuse_nobody(
    name: str, mosquitto: Mosquitto, eventually: Eventually
) -> None:
    messages = [replace(MESSAGE, payload=str(number).encode()) for number in range(60)]
    async with (
        observing(mosquitto) as observer,
        proxied(mosquitto) as proxy,
        opened(name, mosquitto, port=proxy.port) as transport,
    ):
        await transport.connect()
        proxy.acknowledges_twice = True
        await asyncio.gather(*map(transport.send, messages))
        await eventually(lambda: len(observer.seen) >= len(messages))
        assert sorted(each.payload for each in observer.seen) == sorted(each.payload for each in messages)


# --- the will -----------------------------------------------------------------------------------------------


@every_transport
async def test_the_will_is_published_when_the_link_breaks_and_kept(
    name: str, mosquitto: Mosquitto, eventually: Eventually
) -> None:
    async with (
        observing(mosquitto) as observer,
        proxied(mosquitto) as proxy,
        opened(name, mosquitto, replace(CALLER, will=WILL), port=proxy.port) as transport,
    ):
        await transport.connect()
        proxy.way = Way.CUT
        proxy.cut()
        await eventually(lambda: Seen(WILL.topic, WILL.payload, retain=False) in observer.seen)
        await transport.aclose()
    async with observing(mosquitto, WILL.topic) as later:
        await eventually(lambda: later.seen == [Seen(WILL.topic, WILL.payload, retain=True)])


@every_transport
async def test_the_will_is_void_when_the_station_takes_its_leave(
    name: str, mosquitto: Mosquitto, eventually: Eventually
) -> None:
    async with observing(mosquitto) as observer:
        async with opened(name, mosquitto, replace(CALLER, will=WILL)) as transport:
            await transport.connect()
        async with opened(name, mosquitto) as transport:
            await transport.connect()
            await transport.send(MESSAGE)
        await eventually(lambda: observer.seen)
        assert observer.topics == [MESSAGE.topic]


@every_transport
async def test_a_link_that_comes_back_in_time_was_never_away(
    name: str, mosquitto: Mosquitto, eventually: Eventually
) -> None:
    async with (
        observing(mosquitto) as observer,
        proxied(mosquitto) as proxy,
        opened(name, mosquitto, replace(CALLER, will=WILL), port=proxy.port, will_delay_s=300) as transport,
    ):
        await transport.connect()
        proxy.way = Way.CUT
        proxy.cut()
        await fails(transport)
        proxy.way = Way.OPEN
        await delivered(transport, MESSAGE)
        await eventually(lambda: MESSAGE.topic in observer.topics)
        assert WILL.topic not in observer.topics


async def test_with_mqtt_nothing_is_lost_that_came_meanwhile(
    mosquitto: Mosquitto, eventually: Eventually
) -> None:
    """The session outlives the link for as long as the will waits."""
    ears = Ears()
    async with (
        observing(mosquitto) as observer,
        proxied(mosquitto) as proxy,
        opened("mqtt", mosquitto, replace(CALLER, will=WILL), port=proxy.port, will_delay_s=300) as transport,
    ):
        await transport.connect()
        await transport.subscribe(COMMANDS, ears)
        proxy.way = Way.CUT
        proxy.cut()
        await fails(transport)
        await observer.say(COMMANDS.replace("+", "meanwhile"))
        proxy.way = Way.OPEN
        await eventually(lambda: ears.heard)
        assert ears.heard == [(COMMANDS.replace("+", "meanwhile"), b"")]


# --- what is peculiar to mosquitto 2.0.11 ------------------------------------------------------------------


@every_transport
async def test_a_subscription_that_access_rules_forbid_is_accepted_and_hears_nothing(
    name: str, mosquitto: Mosquitto, eventually: Eventually
) -> None:
    ears, own = Ears(), Ears()
    async with observing(mosquitto) as observer, opened(name, mosquitto) as transport:
        await transport.connect()
        await transport.subscribe("ev/station/station-02/commands/+", ears)
        await transport.subscribe(COMMANDS, own)
        await observer.say("ev/station/station-02/commands/1")
        await observer.say(COMMANDS.replace("+", "1"))
        await eventually(lambda: own.heard)
        assert ears.heard == []


@every_transport
async def test_a_refusal_costs_the_link(name: str, mosquitto: Mosquitto, eventually: Eventually) -> None:
    told: list[bool] = []
    async with opened(name, mosquitto, replace(CALLER, on_link=told.append)) as transport:
        await transport.connect()
        with pytest.raises(Rejected):
            await transport.send(replace(MESSAGE, topic="ev/station/station-02/telemetry"))
        await eventually(lambda: told[:3] == [True, False, True])
