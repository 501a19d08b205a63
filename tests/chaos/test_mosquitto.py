"""What the other suites rely on in their broker: who may come, what it keeps, and that it can be revoked."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.authority import Authority
from tests.mosquitto import Credentials, Mosquitto

_PATIENCE_S = 10
_NOT_AUTHORIZED = 0x87
_DAY_S = 86_400
TELEMETRY = "ev/station/station-01/telemetry"


class Client:
    """A client of paho's, with what it got."""

    def __init__(self, broker: Mosquitto, mine: Credentials, *, keeps_session: bool = False) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=mine.name, protocol=mqtt.MQTTv5)
        self._client.tls_set(
            ca_certs=str(mine.ca_file),
            certfile=str(mine.certificate_file),
            keyfile=str(mine.key_file),
            tls_version=ssl.PROTOCOL_TLS_CLIENT,
        )
        self._broker = broker
        self._keeps_session = keeps_session
        self._outcome = ""
        self._answers: dict[int, int] = {}
        self._news = threading.Condition()
        self.got: list[tuple[str, bytes]] = []
        self._client.on_connect = lambda *_: self._come_to("connected")
        self._client.on_disconnect = lambda *_: self._come_to("refused")
        self._client.on_publish = lambda _c, _u, mid, code, _p: self._note(mid, code)
        self._client.on_subscribe = lambda _c, _u, mid, codes, _p: self._note(mid, codes[0])
        self._client.on_message = lambda _c, _u, message: self.got.append(
            (message.topic, bytes(message.payload))
        )

    def open(self) -> None:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = _DAY_S if self._keeps_session else 0
        self._client.connect(
            self._broker.host, self._broker.port, clean_start=not self._keeps_session, properties=properties
        )
        self._client.loop_start()
        with self._news:
            assert self._news.wait_for(lambda: self._outcome, _PATIENCE_S)
        if self._outcome != "connected":
            raise ConnectionError(self._outcome)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes) -> int:
        """The broker's reason code."""
        return self._answer_to(self._client.publish(topic, payload, qos=1).mid)

    def subscribe(self, topic: str) -> int:
        _, mid = self._client.subscribe(topic, qos=1)
        assert mid is not None
        return self._answer_to(mid)

    def _come_to(self, outcome: str) -> None:
        with self._news:
            self._outcome = self._outcome or outcome
            self._news.notify_all()

    def _note(self, mid: int, code: Any) -> None:
        with self._news:
            self._answers[mid] = code.value
            self._news.notify_all()

    def _answer_to(self, mid: int) -> int:
        with self._news:
            assert self._news.wait_for(lambda: mid in self._answers, _PATIENCE_S)
            return self._answers[mid]


Open = Callable[..., Client]


@pytest.fixture
def connect() -> Iterator[Open]:
    opened: list[Client] = []

    def connect(broker: Mosquitto, mine: Credentials, *, keeps_session: bool = False) -> Client:
        client = Client(broker, mine, keeps_session=keeps_session)
        opened.append(client)
        client.open()
        return client

    yield connect
    for client in opened:
        client.close()


@contextmanager
def refused() -> Iterator[None]:
    """TLS 1.3 tells a client what the server thinks of its certificate only after the handshake."""
    with pytest.raises((ssl.SSLError, ConnectionError)):
        yield


def test_a_station_speaks_for_itself_alone(mosquitto: Mosquitto, connect: Open) -> None:
    station = connect(mosquitto, mosquitto.station_credentials("station-01"))
    assert station.publish(TELEMETRY, b"mine") < 0x80
    assert station.publish("$aws/rules/evswap_batch/ev/station/station-01/telemetry/batch", b"mine") < 0x80
    assert station.publish("ev/station/station-02/telemetry", b"another's") == _NOT_AUTHORIZED


def test_its_name_is_its_certificates(mosquitto: Mosquitto, connect: Open) -> None:
    mine = mosquitto.station_credentials("station-01")
    station = connect(mosquitto, replace(mine, name="station-02"))
    assert station.publish("ev/station/station-02/telemetry", b"") == _NOT_AUTHORIZED
    assert "as station-01" in mosquitto.log


def test_an_observer_hears_all_stations(mosquitto: Mosquitto, connect: Open, eventually: Any) -> None:
    observer = connect(mosquitto, mosquitto.station_credentials("observer"))
    assert observer.subscribe("ev/station/+/telemetry") == 1
    assert observer.subscribe("$aws/rules/#") == 1
    connect(mosquitto, mosquitto.station_credentials("station-01")).publish(
        "ev/station/station-01/telemetry", b"x"
    )
    eventually(lambda: observer.got == [(TELEMETRY, b"x")])


def test_a_strangers_certificate_is_refused(mosquitto: Mosquitto, connect: Open, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    stranger = Mosquitto(folder, authority=Authority(folder, "stranger")).station_credentials("station-01")
    with refused():
        connect(
            mosquitto,
            Credentials("station-01", stranger.certificate_file, stranger.key_file, mosquitto.ca_file),
        )


@pytest.mark.parametrize("how", ["restart", "reload"])
def test_a_revoked_certificate_is_refused_and_the_others_are_not(
    mosquitto: Mosquitto, connect: Open, how: str
) -> None:
    mine, others = mosquitto.station_credentials("station-01"), mosquitto.station_credentials("station-02")
    connect(mosquitto, mine).close()
    mosquitto.revoke(mine.certificate_file, restart=how == "restart")
    with refused():
        connect(mosquitto, mine)
    connect(mosquitto, others)


def test_stopped_it_keeps_what_a_session_waits_for(
    mosquitto: Mosquitto, connect: Open, eventually: Any
) -> None:
    mine = mosquitto.station_credentials("observer")
    observer = connect(mosquitto, mine, keeps_session=True)
    observer.subscribe("ev/#")
    observer.close()
    connect(mosquitto, mosquitto.station_credentials("station-01")).publish(
        "ev/station/station-01/telemetry", b"x"
    )
    port = mosquitto.port
    mosquitto.restart()
    assert mosquitto.port == port
    later = connect(mosquitto, mine, keeps_session=True)
    eventually(lambda: later.got == [(TELEMETRY, b"x")])


def test_killed_it_comes_back_on_its_port(mosquitto: Mosquitto, connect: Open) -> None:
    mosquitto.kill()
    assert not mosquitto.running
    mosquitto.start()
    connect(mosquitto, mosquitto.station_credentials("station-01"))
