"""The far sides that the transports meet in the tests: each of them misbehaves on demand.

``aws-iot`` and ``mqtt`` meet a TLS listener that speaks just enough MQTT 5; what a real broker does with
them stands in test_transports_mosquitto.py. ``greengrass`` meets the emulated nucleus.
"""

import asyncio
import os
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Protocol
from unittest import mock

from paho.mqtt.client import topic_matches_sub

from evswap_edge import keys
from evswap_edge.clock import SystemTime
from evswap_edge.emulators.greengrass.configuration import Configuration
from evswap_edge.emulators.greengrass.nucleus import EmulatedNucleus
from evswap_edge.emulators.greengrass.uplink import Published
from evswap_edge.transports import Caller, ReasonCode, Transport, load_transport
from evswap_edge.transports.memory import MemoryTransport
from tests.authority import Authority, common_name, key_pem, new_key
from tests.edge.nuclei import EVERYTHING_ALLOWED, MQTT_PROXY
from tests.mqtt_wire import server_context

STATION: Final = "station-01"
CALLER: Final = Caller(station_id=STATION, time=SystemTime())

NOT_OF_A_PUBACK: Final = {ReasonCode.PACKET_TOO_LARGE, ReasonCode.RETAIN_NOT_SUPPORTED}
"""A broker hangs up with these (MQTT 5, section 3.4.2.1), if it keeps to the standard."""
REFUSALS: Final = [code for code in ReasonCode if code >= 0x80 and code not in NOT_OF_A_PUBACK]
NUCLEUS_ERRORS: Final = {ReasonCode.NOT_AUTHORIZED: "UnauthorizedError"}
"""The one refusal that a nucleus hands on; what the broker says, it keeps to itself."""


class Ears:
    """A subscriber, and what it heard."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []

    def __call__(self, topic: str, payload: bytes) -> None:
        self.heard.append((topic, payload))


class FarSide(Protocol):
    """What the suite sees of, and does to, the other end."""

    script: deque[ReasonCode]

    @property
    def refusals(self) -> Sequence[ReasonCode]: ...
    @property
    def accepted(self) -> list[tuple[str, bytes]]: ...
    @property
    def under_way(self) -> int: ...
    def go_silent(self) -> None: ...
    def answer_again(self) -> None: ...
    def lose_answers(self) -> None: ...
    def cut(self, *, reason_code: int | None = None) -> None: ...
    def forbid_to_subscribe(self, topic_filter: str) -> None: ...
    def deliver(self, topic: str, payload: bytes) -> None: ...


Opened = AbstractAsyncContextManager[tuple[Transport, FarSide]]


class Open(Protocol):
    def __call__(self, folder: Path, caller: Caller = CALLER) -> Opened: ...


# --- memory -----------------------------------------------------------------------------------------------


class MemoryFarSide:
    refusals: Sequence[ReasonCode] = tuple(REFUSALS)

    def __init__(self, transport: MemoryTransport) -> None:
        self._transport = transport
        self.script = transport.script
        self.go_silent, self.answer_again = transport.go_silent, transport.answer_again
        self.lose_answers, self.cut = transport.lose_answers, transport.cut
        self.forbid_to_subscribe = transport.refused_filters.add
        self.deliver = transport.deliver

    @property
    def accepted(self) -> list[tuple[str, bytes]]:
        return [(message.topic, message.payload) for message in self._transport.accepted]

    @property
    def under_way(self) -> int:
        return len(self._transport.attempts) - len(self._transport.accepted)


@asynccontextmanager
async def memory(folder: Path, caller: Caller = CALLER) -> AsyncIterator[tuple[Transport, FarSide]]:
    kind = load_transport("memory")
    transport = await kind.open(kind.settings(), caller)
    assert isinstance(transport, MemoryTransport)
    yield transport, MemoryFarSide(transport)
    await transport.aclose()


# --- MQTT 5 -----------------------------------------------------------------------------------------------


@dataclass
class Mqtt5FarSide:
    """A listener that takes MQTT 5 connections over mutual TLS and answers publishes by script."""

    script: deque[ReasonCode] = field(default_factory=deque)
    refusals: Sequence[ReasonCode] = tuple(REFUSALS)
    accepted: list[tuple[str, bytes]] = field(default_factory=list)
    retained: list[bool] = field(default_factory=list)
    clients: list[str] = field(default_factory=list)
    filters: list[str] = field(default_factory=list)
    forbidden: set[str] = field(default_factory=set)
    connack: bytes = b"\x20\x03\x00\x00\x00"
    subscriptions_to_ignore: int = 0
    goodbyes: int = 0
    under_way: int = 0
    most_under_way: int = 0
    silent: bool = False
    deaf: bool = False
    forgetful: bool = False
    answers_twice: bool = False
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)
    _unanswered: list[Callable[[], None]] = field(default_factory=list)

    def go_silent(self) -> None:
        """Answer no publish."""
        self.silent = True

    def answer_again(self) -> None:
        self.silent = self.deaf = False
        while self._unanswered:
            self._unanswered.pop(0)()

    def go_deaf(self) -> None:
        """Keep the connection and hear nothing any more, not even a ping."""
        self.deaf = True

    def lose_answers(self) -> None:
        """Take publishes and let the answers get lost, until the link breaks."""
        self.forgetful = True

    def forbid_to_subscribe(self, topic_filter: str) -> None:
        self.forbidden.add(topic_filter)

    def deliver(self, topic: str, payload: bytes) -> None:
        """Send a QoS 1 PUBLISH, if this connection has subscribed to the like."""
        if not any(topic_matches_sub(topic_filter, topic) for topic_filter in self.filters):
            return
        body = len(topic.encode()).to_bytes(2) + topic.encode() + b"\x00\x07\x00" + payload
        for writer in self._writers:
            writer.write(b"\x32" + _length(len(body)) + body)

    def send_raw(self, packet: bytes) -> None:
        """Whatever it may be."""
        for writer in self._writers:
            writer.write(packet)

    def cut(self, *, reason_code: int | None = None) -> None:
        for writer in self._writers:
            if reason_code is not None:
                writer.write(bytes([0xE0, 2, reason_code, 0]))
            writer.close()
        self._writers.clear()
        self._unanswered.clear()
        self.under_way = 0
        self.silent = self.forgetful = self.deaf = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            while True:
                packet = await _packet(reader)
                if not self.deaf:
                    self._answer(*packet, writer)
        writer.close()

    def _answer(self, header: int, body: bytes, writer: asyncio.StreamWriter) -> None:
        match header >> 4:
            case 1:  # CONNECT: protocol name, version, flags, keep alive, properties, client id
                self.clients.append(_text(body, 10 + 1 + body[10]))
                self.filters.clear()
                writer.write(self.connack)
            case 3:  # PUBLISH
                self.retained.append(bool(header & 1))
                self._published(body, writer)
            case 8:  # SUBSCRIBE: packet identifier, properties, filter, options
                self._subscribed(body, writer)
            case 12:  # PINGREQ
                writer.write(b"\xd0\x00")
            case 14:  # DISCONNECT
                self.goodbyes += 1

    def _subscribed(self, body: bytes, writer: asyncio.StreamWriter) -> None:
        if self.subscriptions_to_ignore:
            self.subscriptions_to_ignore -= 1
            return
        topic_filter = _text(body, 3 + body[2])
        allowed = topic_filter not in self.forbidden
        if allowed:
            self.filters.append(topic_filter)
        code = 1 if allowed else ReasonCode.NOT_AUTHORIZED
        writer.write(bytes([0x90, 4, *body[:2], 0, code]))

    def _published(self, body: bytes, writer: asyncio.StreamWriter) -> None:
        topic = _text(body, 0)
        after = 2 + len(topic)
        packet_id, properties = body[after : after + 2], body[after + 2]
        payload = body[after + 3 + properties :]
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)

        def answer() -> None:
            code = self.script.popleft() if self.script else ReasonCode.SUCCESS
            self.under_way -= 1
            if code < 0x80:
                self.accepted.append((topic, payload))
            if not self.forgetful:
                writer.write(bytes([0x40, 4, *packet_id, code, 0]) * (2 if self.answers_twice else 1))

        if self.silent:
            self._unanswered.append(answer)
        else:
            answer()


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    header = (await reader.readexactly(1))[0]
    length, shift = 0, 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return header, await reader.readexactly(length)


class OpenMqtt5(Protocol):
    def __call__(
        self, folder: Path, caller: Caller = CALLER
    ) -> AbstractAsyncContextManager[tuple[Transport, Mqtt5FarSide]]: ...


def _length(value: int) -> bytes:
    """A variable byte integer."""
    digits = bytearray()
    while True:
        value, digit = divmod(value, 0x80)
        digits.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(digits)


def _text(body: bytes, at: int) -> str:
    length = int.from_bytes(body[at : at + 2])
    return body[at + 2 : at + 2 + length].decode()


def issue(authority: Authority, folder: Path) -> None:
    """What a station and a broker need, in ``folder``."""
    request = keys.request_certificate(STATION, folder).read_bytes()
    keys.certificate_path(folder, STATION).write_bytes(authority.sign_request(request))
    server = new_key()
    folder.joinpath("server.cert.pem").write_bytes(authority.sign(common_name("broker"), server.public_key()))
    folder.joinpath("server.key.pem").write_bytes(key_pem(server))


@asynccontextmanager
async def over_mqtt5(
    name: str, folder: Path, caller: Caller = CALLER, **settings: object
) -> AsyncIterator[tuple[Transport, Mqtt5FarSide]]:
    """The transport ``name`` and a far side for it, with times as short as they can be."""
    authority = Authority(folder, "ca")
    issue(authority, folder)
    far = Mqtt5FarSide()
    context = server_context(authority.certificate, folder / "server.cert.pem", folder / "server.key.pem")
    server = await asyncio.start_server(far.serve, "127.0.0.1", 0, ssl=context)
    kind = load_transport(name)
    chosen = {
        "host": "127.0.0.1",
        "port": server.sockets[0].getsockname()[1],
        "ca_file": authority.certificate,
        "certificate_file": keys.certificate_path(folder, STATION),
        "key_file": keys.key_path(folder, STATION),
        "acknowledge_timeout_s": 1,
        "reconnect_min_s": 0.1,
        "reconnect_max_s": 0.2,
    }
    opened = kind.settings(**chosen | settings)
    kind.check(opened, caller.time)
    transport = await kind.open(opened, caller)
    try:
        yield transport, far
    finally:
        await transport.aclose()
        server.close()
        far.cut()
        await server.wait_closed()


aws_iot = partial(over_mqtt5, "aws-iot")
mqtt = partial(over_mqtt5, "mqtt")


# --- greengrass -------------------------------------------------------------------------------------------


class NucleusScript(deque[ReasonCode]):
    """Reason codes, told as errors of a nucleus."""

    def __init__(self, nucleus: EmulatedNucleus) -> None:
        super().__init__()
        self._to_fail = nucleus.operations.to_fail

    def append(self, code: ReasonCode) -> None:
        self._to_fail.append(NUCLEUS_ERRORS.get(code))

    def extend(self, codes: Iterable[ReasonCode]) -> None:
        for code in codes:
            self.append(code)


class NucleusFarSide:
    refusals: Sequence[ReasonCode] = tuple(NUCLEUS_ERRORS)

    def __init__(self, nucleus: EmulatedNucleus) -> None:
        self.nucleus = nucleus
        self.script: deque[ReasonCode] = NucleusScript(nucleus)
        self.go_silent, self.answer_again = nucleus.hold_answers, nucleus.release_answers

    @property
    def accepted(self) -> list[tuple[str, bytes]]:
        return [(message.topic, message.payload) for message in self.nucleus.published]

    @property
    def under_way(self) -> int:
        return len(self.nucleus.operations.held)

    def lose_answers(self) -> None:
        raise NotImplementedError("this link is not mended by the process that lost it")

    def cut(self, *, reason_code: int | None = None) -> None:
        self.nucleus.hang_up()

    def forbid_to_subscribe(self, topic_filter: str) -> None:
        """Every filter: access control knows no exceptions."""
        only = {"all": {"operations": ["aws.greengrass#PublishToIoTCore"], "resources": ["*"]}}
        self.nucleus.configure({"accessControl": {MQTT_PROXY: only}})

    def deliver(self, topic: str, payload: bytes) -> None:
        self.nucleus.deliver(Published(topic, payload))


@asynccontextmanager
async def greengrass(
    folder: Path, caller: Caller = CALLER
) -> AsyncIterator[tuple[Transport, NucleusFarSide]]:
    nucleus = EmulatedNucleus(
        folder / "ipc.socket",
        component="com.evswap.Station",
        thing_name=STATION,
        configuration=Configuration(EVERYTHING_ALLOWED),
    )
    await nucleus.start()
    kind = load_transport("greengrass")
    with mock.patch.dict(os.environ, nucleus.environment()):
        kind.check(kind.settings(), caller.time)
        transport = await kind.open(kind.settings(acknowledge_timeout_s=1), caller)
    try:
        yield transport, NucleusFarSide(nucleus)
    finally:
        await transport.aclose()
        await nucleus.aclose()
