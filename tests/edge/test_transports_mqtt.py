"""The transport ``mqtt`` alone: what it takes from aiomqtt and paho, and which brokers it will not trust."""

import asyncio
import inspect
import random
import re
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt import client as paho
from paho.mqtt.client import topic_matches_sub
from paho.mqtt.enums import CallbackAPIVersion

from evswap_edge import keys
from evswap_edge.backoff import Backoff
from evswap_edge.message import Message
from evswap_edge.transports import (
    CredentialsError,
    NotConnected,
    ReasonCode,
    Rejected,
    Transport,
    aws_iot,
    mqtt_transport,
)
from evswap_edge.transports import mqtt as mqtt_module
from evswap_edge.transports.dialling import tls_context, told
from evswap_edge.transports.mqtt_link import MqttLink
from evswap_edge.transports.subscriptions import matches
from tests.authority import Authority, new_key
from tests.edge.conftest import Eventually
from tests.edge.far_sides import CALLER, STATION, issue, mqtt
from tests.mosquitto import free_port

MESSAGE = Message(topic="ev/station/station-01/telemetry", payload=b'{"n":1}')


def connack(reason_code: int = 0, properties: bytes = b"") -> bytes:
    body = bytes([0, reason_code, len(properties)]) + properties
    return bytes([0x20, len(body)]) + body


RECEIVE_MAXIMUM, MAXIMUM_QOS, RETAIN_AVAILABLE, MAXIMUM_PACKET_SIZE = 0x21, 0x24, 0x25, 0x27


async def first_complaint(
    transport: Transport, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> str:
    """Why the transport does not connect, as a person reads it."""
    connecting = asyncio.create_task(transport.connect())
    await eventually(lambda: any("connection to" in line for line in caplog.messages))
    assert not connecting.done()
    connecting.cancel()
    return caplog.messages[0]


# --- when it dials again ----------------------------------------------------------------------------------


class Unlucky(random.Random):
    """The longest wait of those that might come."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


async def test_however_long_the_broker_was_away_it_is_dialled_within_two_seconds(
    tmp_path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    class Hurried(Backoff):
        """Notes how long it should be waited, and waits no time at all."""

        def next_s(self) -> float:
            waits.append(super().next_s())
            return 0.0

    monkeypatch.setattr(mqtt_transport, "Backoff", partial(Hurried, chance=Unlucky()))
    settings = mqtt_module.Settings(
        host="127.0.0.1",
        port=free_port(),
        **keys_and_certificate(tmp_path),
    )
    transport = await mqtt_module.KIND.open(settings, CALLER)
    connecting = asyncio.create_task(transport.connect())
    await eventually(lambda: len(waits) > 20)
    connecting.cancel()
    await transport.aclose()
    assert (waits[0], max(waits), waits[-1]) == (0.5, 2.0, 2.0)


def test_aws_is_not_dialled_that_often() -> None:
    files: dict[str, Any] = {"certificate_file": Path("c.pem"), "key_file": Path("k.pem")}
    assert aws_iot.Settings(host="h", **files).reconnect_max_s == 60
    assert mqtt_module.Settings(host="h", **files).reconnect_max_s == 2


def keys_and_certificate(folder: Path) -> dict[str, Any]:
    authority = Authority(folder, "ca")
    issue(authority, folder)
    return {
        "ca_file": authority.certificate,
        "certificate_file": keys.certificate_path(folder, STATION),
        "key_file": keys.key_path(folder, STATION),
    }


# --- what would break with an upgrade ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hook", "parameters"),
    [
        ("_on_connect", ["client", "userdata", "flags", "reason_code", "properties"]),
        ("_on_disconnect", ["client", "userdata", "flags", "reason_code", "properties"]),
        ("_on_publish", ["client", "userdata", "mid", "reason_code", "properties"]),
        ("_on_message", ["client", "userdata", "message"]),
    ],
)
def test_aiomqtt_still_has_the_hooks(hook: str, parameters: list[str]) -> None:
    assert hook in vars(MqttLink)
    assert list(inspect.signature(vars(aiomqtt.Client)[hook]).parameters)[1:] == parameters


def test_paho_still_has_what_is_replaced_in_it() -> None:
    for method in ("_handle_pubackcomp", "_create_socket", "_sock_close"):
        assert method in vars(paho.Client)
    assert "packet" in paho.Client(CallbackAPIVersion.VERSION2)._in_packet


@pytest.mark.parametrize("code", [0x80, 0x83, 0x87, 0x90, 0x97, 0x99, 0x86, 0x95, 0xFF])
async def test_every_code_of_a_puback_is_read_also_those_that_paho_does_not_know(
    tmp_path: Path, code: int
) -> None:
    """Fails when an upgrade moves the place that the code is read at: aiomqtt's own publish would return as
    if all were well, and paho would end the connection."""
    async with mqtt(tmp_path) as (transport, far):
        await transport.connect()
        far.script.append(code)  # type: ignore[arg-type] # some have no name
        with pytest.raises(Rejected) as refused:
            await transport.send(MESSAGE)
        assert refused.value.reason_code == code
        await transport.send(MESSAGE)
        assert len(far.clients) == 1


def test_aiomqtt_is_loaded_by_whoever_opens_a_link_with_it_and_by_nobody_else() -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from evswap_edge.clock import SystemTime\n"
        "from evswap_edge.transports import Caller, load_transport\n"
        "import evswap_edge.app\n"
        "kind = load_transport(sys.argv[1])\n"
        "assert not {'paho', 'awscrt'} & set(sys.modules)\n"
        "settings = kind.settings(host='h', certificate_file=Path('c'), key_file=Path('k'))\n"
        "asyncio.run(kind.open(settings, Caller(station_id='s', time=SystemTime())))\n"
        "print('paho' in sys.modules, 'awscrt' in sys.modules)\n"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", program, name], capture_output=True, text=True, check=True
        ).stdout.split()
        for name in ("aws-iot", "mqtt")
    ]
    assert printed == [["False", "True"], ["True", "False"]]


# --- which broker it takes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"\x20\x02\x00\x01", "does not speak MQTT 5"),  # as MQTT 3.1.1 refuses a version
        (connack(0x84), "does not speak MQTT 5"),
        (connack(0x87), r"refuses this station: Not authorized \(0x87\)"),
        (connack(0, bytes([MAXIMUM_QOS, 0])), "QoS 0 only"),
        (b"\xd0\x00\x00", "no CONNACK"),
    ],
    ids=["3.1.1", "unsupported", "not authorized", "QoS 0", "nonsense"],
)
async def test_a_broker_that_is_not_to_be_relied_on_is_refused_with_the_reason(
    tmp_path: Path,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
    answer: bytes,
    reason: str,
) -> None:
    async with mqtt(tmp_path, connect_timeout_s=1) as (transport, far):
        far.connack = answer
        assert re.search(reason, await first_complaint(transport, eventually, caplog))
        far.connack = connack()
        await transport.connect()
        await transport.send(MESSAGE)


async def test_a_broker_of_another_name_is_not_spoken_to(
    tmp_path: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    async with mqtt(tmp_path, host="localhost") as (transport, far):
        complaint = await first_complaint(transport, eventually, caplog)
    assert "certificate is not to be trusted" in complaint
    assert "localhost" in complaint
    assert far.clients == []


async def test_what_a_broker_does_not_retain_is_not_sent_to_be_retained(tmp_path: Path) -> None:
    async with mqtt(tmp_path) as (transport, far):
        far.connack = connack(0, bytes([RETAIN_AVAILABLE, 0]))
        await transport.connect()
        with pytest.raises(Rejected) as refused:
            await transport.send(replace(MESSAGE, retain=True))
        assert refused.value.reason_code == ReasonCode.RETAIN_NOT_SUPPORTED
        await transport.send(MESSAGE)
        assert far.retained == [False]


async def test_a_packet_of_the_largest_size_passes_and_a_larger_one_is_not_sent(tmp_path: Path) -> None:
    async with mqtt(tmp_path) as (transport, far):
        far.connack = connack(0, bytes([MAXIMUM_PACKET_SIZE, *(200).to_bytes(4)]))
        await transport.connect()
        room = 200 - 10 - len(MESSAGE.topic)
        await transport.send(replace(MESSAGE, payload=bytes(room)))
        with pytest.raises(Rejected) as refused:
            await transport.send(replace(MESSAGE, payload=bytes(room + 1)))
        assert refused.value.permanent
        assert len(far.accepted) == 1


# --- the window -------------------------------------------------------------------------------------------


async def test_no_more_is_under_way_than_the_broker_takes(tmp_path: Path, eventually: Eventually) -> None:
    async with mqtt(tmp_path, acknowledge_timeout_s=20) as (transport, far):
        far.connack = connack(0, bytes([RECEIVE_MAXIMUM, 0, 3]))
        await transport.connect()
        far.go_silent()
        messages = [replace(MESSAGE, payload=str(number).encode()) for number in range(10)]
        sending = [asyncio.create_task(transport.send(message)) for message in messages]
        await eventually(lambda: far.under_way == 3)
        sending[0].cancel()  # still under way, whoever waits for it
        far.answer_again()
        answers = await asyncio.gather(*sending, return_exceptions=True)
        assert answers[1:] == [None] * 9
        assert far.most_under_way == 3
        assert [payload for _, payload in far.accepted] == [message.payload for message in messages]


async def test_whoever_waits_for_a_place_learns_that_the_link_has_ended(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with mqtt(tmp_path, acknowledge_timeout_s=20) as (transport, far):
        far.connack = connack(0, bytes([RECEIVE_MAXIMUM, 0, 1]))
        await transport.connect()
        far.go_silent()
        sending = [asyncio.create_task(transport.send(MESSAGE)) for _ in range(3)]
        await eventually(lambda: far.under_way == 1)
        far.cut(reason_code=0x8E)
        answers = await asyncio.gather(*sending, return_exceptions=True)
        assert [type(answer) for answer in answers] == [NotConnected] * 3
        assert "Session taken over" in str(answers[0])


# --- dialling ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def mute_listener(folder: Path) -> AsyncIterator[int]:
    """Takes connections and says nothing, not even in TLS."""
    held: list[asyncio.StreamWriter] = []

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for writer in held:
            writer.close()
        server.close()
        await server.wait_closed()


async def test_whoever_stops_while_it_dials_leaves_nothing_behind(
    tmp_path: Path, eventually: Eventually
) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async with mute_listener(tmp_path) as port:
        before = open_files()
        async with mqtt(tmp_path, port=port, connect_timeout_s=300) as (transport, _):
            connecting = asyncio.create_task(transport.connect())
            await eventually(lambda: open_files() > before + 2)
            await transport.aclose()
            with pytest.raises(NotConnected, match="closed"):
                await connecting
        await eventually(lambda: len(asyncio.all_tasks()) == 1)


async def test_a_listener_that_says_nothing_is_given_up(
    tmp_path: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        mute_listener(tmp_path) as port,
        mqtt(tmp_path, port=port, connect_timeout_s=1) as (transport, _),
    ):
        assert "no answer within 1 s" in await first_complaint(transport, eventually, caplog)


async def test_a_broker_that_never_says_whether_it_takes_a_connection_costs_no_file(
    tmp_path: Path, eventually: Eventually
) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = open_files()
    async with mqtt(tmp_path, connect_timeout_s=0.05) as (transport, far):
        far.connack = b""
        connecting = asyncio.create_task(transport.connect())
        await eventually(lambda: len(far.clients) >= 5)
        far.connack = connack()
        await connecting
        far.cut()
    await eventually(lambda: open_files() <= before)


async def test_a_key_behind_a_password_asks_nobody(
    tmp_path: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    async with mqtt(tmp_path) as (transport, _):
        locked = new_key().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        )
        keys.key_path(tmp_path, STATION).write_bytes(locked)
        connecting = asyncio.create_task(transport.connect())
        await eventually(lambda: "is protected by a password" in caplog.text)
        assert not connecting.done()
        connecting.cancel()
        with pytest.raises(CredentialsError, match="encrypted"):
            tls_context(
                certificate_file=keys.certificate_path(tmp_path, STATION),
                key_file=keys.key_path(tmp_path, STATION),
                ca_file=None,
            )


async def test_a_packet_that_is_none_ends_the_link_and_the_next_one_works(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with mqtt(tmp_path) as (transport, far):
        await transport.connect()
        await transport.subscribe("#", lambda topic, payload: None)
        far.send_raw(b"\x40\x01\x00")
        await eventually(lambda: len(far.clients) == 2)
        await transport.connect()
        await transport.send(MESSAGE)


def test_errors_are_told_in_words_that_help() -> None:
    assert told(ConnectionRefusedError(111, "Connection refused")) == "Connection refused"
    assert told(ConnectionResetError(104, "Connection reset by peer")) == "the broker hung up"
    assert told(OSError()) == "OSError"
    assert "(_ssl.c" not in told(ssl.SSLError(1, "[SSL] something odd (_ssl.c:1006)"))


# --- topic filters ----------------------------------------------------------------------------------------

LEVELS = st.sampled_from(["a", "b", "$aws", ""])
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join)
FILTERS = st.tuples(
    st.lists(st.one_of(LEVELS, st.just("+")), min_size=1, max_size=4), st.sampled_from(["", "/#"])
).map(lambda parts: "/".join(parts[0]) + parts[1])


@given(FILTERS | st.just("#"), TOPICS)
def test_a_filter_matches_what_pahos_does(topic_filter: str, topic: str) -> None:
    assert matches(topic_filter, topic) == topic_matches_sub(topic_filter, topic)
