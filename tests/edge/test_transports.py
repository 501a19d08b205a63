"""One contract, every transport: ``send`` returns when the far side has accepted, and raises otherwise.

``aws-iot`` meets a far side made of a TLS listener that speaks just enough MQTT 5 to misbehave on demand;
what a complete broker does with it is tested end to end. ``greengrass`` meets the emulated nucleus.
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
from typing import Protocol
from unittest import mock

import pytest

from evswap_edge import keys
from evswap_edge.clock import SystemTime
from evswap_edge.emulators.greengrass.configuration import Configuration
from evswap_edge.emulators.greengrass.nucleus import EmulatedNucleus
from evswap_edge.message import Message
from evswap_edge.transports import (
    PERMANENT,
    Caller,
    CredentialsError,
    NotAcknowledged,
    NotConnected,
    ReasonCode,
    Rejected,
    RestartRequired,
    Transport,
    TransportError,
    load_transport,
)
from evswap_edge.transports.memory import MemoryTransport
from tests.authority import Authority, common_name, key_pem, new_key
from tests.edge.conftest import Eventually
from tests.edge.nuclei import EVERYTHING_ALLOWED

STATION = "station-01"
MESSAGE = Message(topic="ev/station/station-01/telemetry", payload=b'{"n":1}', sequences=(1,))
NOT_OF_A_PUBACK = {ReasonCode.PACKET_TOO_LARGE, ReasonCode.RETAIN_NOT_SUPPORTED}
"""A broker hangs up with these (MQTT 5, section 3.4.2.1)."""
REFUSALS = [code for code in ReasonCode if code >= 0x80 and code not in NOT_OF_A_PUBACK]

CALLER = Caller(station_id=STATION, time=SystemTime())

NUCLEUS_ERRORS = {ReasonCode.NOT_AUTHORIZED: "UnauthorizedError"}
"""The one refusal that a nucleus hands on; what the broker says, it keeps to itself."""


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
    def cut(self, *, reason_code: int | None = None) -> None: ...


# --- memory -----------------------------------------------------------------------------------------------


class MemoryFarSide:
    refusals: Sequence[ReasonCode] = tuple(REFUSALS)

    def __init__(self, transport: MemoryTransport) -> None:
        self._transport = transport
        self.script = transport.script
        self.go_silent, self.answer_again, self.cut = (
            transport.go_silent,
            transport.answer_again,
            transport.cut,
        )

    @property
    def accepted(self) -> list[tuple[str, bytes]]:
        return [(message.topic, message.payload) for message in self._transport.accepted]

    @property
    def under_way(self) -> int:
        return len(self._transport.attempts) - len(self._transport.accepted)


@asynccontextmanager
async def memory(tmp_path: Path) -> AsyncIterator[tuple[Transport, FarSide]]:
    transport = MemoryTransport()
    yield transport, MemoryFarSide(transport)


# --- aws-iot ----------------------------------------------------------------------------------------------


@dataclass
class Mqtt5FarSide:
    """A listener that takes MQTT 5 connections over mutual TLS and answers publishes by script."""

    script: deque[ReasonCode] = field(default_factory=deque)
    refusals: Sequence[ReasonCode] = tuple(REFUSALS)
    accepted: list[tuple[str, bytes]] = field(default_factory=list)
    clients: list[str] = field(default_factory=list)
    goodbyes: int = 0
    under_way: int = 0
    silent: bool = False
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)
    _unanswered: list[Callable[[], None]] = field(default_factory=list)

    def go_silent(self) -> None:
        self.silent = True

    def answer_again(self) -> None:
        self.silent = False
        while self._unanswered:
            self._unanswered.pop(0)()

    def cut(self, *, reason_code: int | None = None) -> None:
        for writer in self._writers:
            if reason_code is not None:
                writer.write(bytes([0xE0, 2, reason_code, 0]))
            writer.close()
        self._writers.clear()
        self._unanswered.clear()
        self.silent = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            while True:
                self._answer(*await _packet(reader), writer)
        writer.close()

    def _answer(self, header: int, body: bytes, writer: asyncio.StreamWriter) -> None:
        match header >> 4:
            case 1:  # CONNECT: protocol name, version, flags, keep alive, properties, client id
                self.clients.append(_text(body, 10 + 1 + body[10]))
                writer.write(b"\x20\x03\x00\x00\x00")
            case 3:  # PUBLISH
                self._published(body, writer)
            case 12:  # PINGREQ
                writer.write(b"\xd0\x00")
            case 14:  # DISCONNECT
                self.goodbyes += 1

    def _published(self, body: bytes, writer: asyncio.StreamWriter) -> None:
        topic = _text(body, 0)
        after = 2 + len(topic)
        packet_id, properties = body[after : after + 2], body[after + 2]
        payload = body[after + 3 + properties :]
        self.under_way += 1

        def answer() -> None:
            code = self.script.popleft() if self.script else ReasonCode.SUCCESS
            writer.write(bytes([0x40, 4, *packet_id, code, 0]))
            if code < 0x80:
                self.accepted.append((topic, payload))

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


def _text(body: bytes, at: int) -> str:
    length = int.from_bytes(body[at : at + 2])
    return body[at + 2 : at + 2 + length].decode()


def _issue(authority: Authority, folder: Path) -> None:
    """What a station and a broker need, in ``folder``."""
    request = keys.request_certificate(STATION, folder).read_bytes()
    keys.certificate_path(folder, STATION).write_bytes(authority.sign_request(request))
    server = new_key()
    folder.joinpath("server.pem").write_bytes(
        authority.sign(common_name("broker"), server.public_key()) + key_pem(server)
    )


def _server_context(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(folder / "server.pem")
    return context


@asynccontextmanager
async def over_mqtt5(name: str, tmp_path: Path) -> AsyncIterator[tuple[Transport, Mqtt5FarSide]]:
    _issue(Authority(tmp_path, "ca"), tmp_path)
    far = Mqtt5FarSide()
    server = await asyncio.start_server(far.serve, "127.0.0.1", 0, ssl=_server_context(tmp_path))
    kind = load_transport(name)
    settings = kind.settings(
        host="127.0.0.1",
        port=server.sockets[0].getsockname()[1],
        ca_file=tmp_path / "ca.pem",
        certificate_file=keys.certificate_path(tmp_path, STATION),
        key_file=keys.key_path(tmp_path, STATION),
        acknowledge_timeout_s=1,
        reconnect_min_s=0.1,
        reconnect_max_s=0.2,
    )
    kind.check(settings, SystemTime())
    transport = await kind.open(settings, CALLER)
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

    def cut(self, *, reason_code: int | None = None) -> None:
        self.nucleus.hang_up()


@asynccontextmanager
async def greengrass(tmp_path: Path) -> AsyncIterator[tuple[Transport, NucleusFarSide]]:
    nucleus = EmulatedNucleus(
        tmp_path / "ipc.socket",
        component="com.evswap.Station",
        thing_name=STATION,
        configuration=Configuration(EVERYTHING_ALLOWED),
    )
    await nucleus.start()
    kind = load_transport("greengrass")
    with mock.patch.dict(os.environ, nucleus.environment()):
        kind.check(kind.settings(), SystemTime())
        transport = await kind.open(kind.settings(acknowledge_timeout_s=1), CALLER)
    try:
        yield transport, NucleusFarSide(nucleus)
    finally:
        await transport.aclose()
        await nucleus.aclose()


# --- the contract -----------------------------------------------------------------------------------------

Open = Callable[[Path], AbstractAsyncContextManager[tuple[Transport, FarSide]]]
OPEN: dict[str, Open] = {"memory": memory, "aws-iot": aws_iot, "mqtt": mqtt, "greengrass": greengrass}
every_transport = pytest.mark.parametrize("open_transport", OPEN.values(), ids=OPEN.keys())
self_mending_transport = pytest.mark.parametrize(
    "open_transport", [memory, aws_iot, mqtt], ids=["memory", "aws-iot", "mqtt"]
)


@every_transport
async def test_send_returns_when_the_far_side_has_every_byte(open_transport: Open, tmp_path: Path) -> None:
    payload = bytes(range(256)) * 20
    async with open_transport(tmp_path) as (transport, far):
        await transport.connect()
        await transport.send(Message(MESSAGE.topic, payload, (1,)))
        assert far.accepted == [(MESSAGE.topic, payload)]


@every_transport
async def test_no_subscriber_is_no_failure(open_transport: Open, tmp_path: Path) -> None:
    async with open_transport(tmp_path) as (transport, far):
        await transport.connect()
        far.script.append(ReasonCode.NO_MATCHING_SUBSCRIBERS)
        await transport.send(MESSAGE)
        assert len(far.accepted) == 1


@every_transport
async def test_a_refusal_is_raised_with_its_code(open_transport: Open, tmp_path: Path) -> None:
    async with open_transport(tmp_path) as (transport, far):
        await transport.connect()
        for code in far.refusals:
            far.script.append(code)
            with pytest.raises(Rejected, match=f"{code:#04x}") as refused:
                await transport.send(MESSAGE)
            assert refused.value.reason_code == code
            assert refused.value.permanent == (code in PERMANENT)
        await transport.send(MESSAGE)
        assert len(far.accepted) == 1


@every_transport
async def test_each_message_has_its_own_answer(open_transport: Open, tmp_path: Path) -> None:
    async with open_transport(tmp_path) as (transport, far):
        await transport.connect()
        far.script.extend([ReasonCode.SUCCESS, ReasonCode.NOT_AUTHORIZED] * 10)
        messages = [Message(MESSAGE.topic, str(n).encode(), (n,)) for n in range(20)]
        answers = await asyncio.gather(*map(transport.send, messages), return_exceptions=True)
        taken = [messages[n].payload for n, answer in enumerate(answers) if answer is None]
        assert sorted(taken) == sorted(payload for _, payload in far.accepted)
        assert len(taken) == 10
        assert all(isinstance(answer, Rejected) for answer in answers if answer is not None)


@every_transport
async def test_without_a_link_nothing_is_sent(open_transport: Open, tmp_path: Path) -> None:
    async with open_transport(tmp_path) as (transport, far):
        with pytest.raises(NotConnected) as refused:
            await transport.send(MESSAGE)
        assert refused.value.reason_code is None
        assert far.accepted == []


@self_mending_transport
@pytest.mark.parametrize("code", [None, ReasonCode.PACKET_TOO_LARGE, ReasonCode.QUOTA_EXCEEDED])
async def test_a_link_that_breaks_fails_what_is_under_way_says_why_and_comes_back(
    open_transport: Open, tmp_path: Path, eventually: Eventually, code: ReasonCode | None
) -> None:
    async with open_transport(tmp_path) as (transport, far):
        await transport.connect()
        far.go_silent()
        sending = asyncio.create_task(transport.send(MESSAGE))
        await eventually(lambda: far.under_way == 1)
        far.cut(reason_code=code)
        with pytest.raises(NotConnected) as broken:
            await sending
        assert broken.value.reason_code == code
        await transport.connect()
        await transport.send(MESSAGE)
        assert len(far.accepted) == 1


async def test_a_nucleus_that_is_gone_is_gone_for_this_process(
    tmp_path: Path, eventually: Eventually
) -> None:
    """Whoever is not self-mending: a new nucleus takes no SVCUID of the old one."""
    async with greengrass(tmp_path) as (transport, far):
        await transport.connect()
        far.go_silent()
        sending = asyncio.create_task(transport.send(MESSAGE))
        await eventually(lambda: far.under_way == 1)
        far.cut()
        with pytest.raises(RestartRequired, match="started again"):
            await sending
        for again in (transport.connect, lambda: transport.send(MESSAGE)):
            with pytest.raises(RestartRequired):
                await again()
        assert far.accepted == []


@every_transport
async def test_a_send_that_is_cancelled_harms_no_other(
    open_transport: Open, tmp_path: Path, eventually: Eventually
) -> None:
    async with open_transport(tmp_path) as (transport, far):
        await transport.connect()
        far.go_silent()
        sending = asyncio.create_task(transport.send(MESSAGE))
        await eventually(lambda: far.under_way == 1)
        sending.cancel()
        await asyncio.wait({sending})
        far.answer_again()
        await transport.send(Message(MESSAGE.topic, b"the next", (2,)))
        assert (MESSAGE.topic, b"the next") in far.accepted


@every_transport
async def test_closing_is_safe_at_any_time(open_transport: Open, tmp_path: Path) -> None:
    async with open_transport(tmp_path) as (transport, _):
        await transport.aclose()
    async with open_transport(tmp_path) as (transport, _):
        await transport.connect()
        await transport.aclose()
        await transport.aclose()
        with pytest.raises(TransportError):
            await transport.send(MESSAGE)


# --- aws-iot's own ----------------------------------------------------------------------------------------


async def test_aws_iot_connects_under_the_stations_name(tmp_path: Path) -> None:
    async with aws_iot(tmp_path) as (transport, far):
        await transport.connect()
        assert far.clients == [STATION]


async def test_aws_iot_says_goodbye(tmp_path: Path, eventually: Eventually) -> None:
    async with aws_iot(tmp_path) as (transport, far):
        await transport.connect()
        await transport.aclose()
        await eventually(lambda: far.goodbyes == 1)


async def test_aws_iot_takes_files_that_tls_cannot_use_for_bad_credentials(tmp_path: Path) -> None:
    async with aws_iot(tmp_path) as (transport, _):
        keys.key_path(tmp_path, STATION).write_text("no key any more")
        with pytest.raises(CredentialsError, match="cannot be used together with"):
            await transport.connect()


async def test_aws_iot_gives_up_waiting_for_an_answer(tmp_path: Path) -> None:
    async with aws_iot(tmp_path) as (transport, far):
        await transport.connect()
        far.go_silent()
        with pytest.raises(NotAcknowledged, match="within 1 s"):
            await transport.send(MESSAGE)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (Message(MESSAGE.topic, bytes(128 * 1024 + 1), (1,)), ReasonCode.PACKET_TOO_LARGE),
        (Message("with/#/wildcard", b"", (1,)), ReasonCode.TOPIC_NAME_INVALID),
    ],
    ids=["too large", "wildcard"],
)
async def test_aws_iot_refuses_by_itself_what_would_end_the_connection(
    tmp_path: Path, message: Message, code: ReasonCode
) -> None:
    async with aws_iot(tmp_path) as (transport, far):
        await transport.connect()
        with pytest.raises(Rejected) as refused:
            await transport.send(message)
        assert (refused.value.reason_code, refused.value.permanent) == (code, True)
        await transport.send(MESSAGE)
        assert len(far.accepted) == 1


async def test_aws_iot_goes_on_trying_and_reports_once_that_it_does(
    tmp_path: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    _issue(Authority(tmp_path, "ca"), tmp_path)
    kind = load_transport("aws-iot")
    attempts = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = kind.settings(
        host="127.0.0.1",
        port=port,
        ca_file=tmp_path / "ca.pem",
        certificate_file=keys.certificate_path(tmp_path, STATION),
        key_file=keys.key_path(tmp_path, STATION),
        reconnect_min_s=0.1,
        reconnect_max_s=0.1,
    )
    transport = await kind.open(settings, CALLER)
    connecting = asyncio.create_task(transport.connect())
    await eventually(lambda: attempts >= 4)
    assert not connecting.done()
    connecting.cancel()
    await transport.aclose()
    server.close()
    await server.wait_closed()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert lines[0].startswith(f"connection to 127.0.0.1:{port}: ")
