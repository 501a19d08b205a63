"""A station whose certificate is of no use: it samples on, says once what is wrong, and sends all of it when
other files have taken the place of these.
"""

import asyncio
import json
import logging
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from evswap_edge.__main__ import main
from evswap_edge.app import run_station
from evswap_edge.clock import SystemTime
from evswap_edge.config import StationConfig, read_station
from evswap_edge.transports import Caller, CredentialsError, aws_link, identity, mqtt_transport
from evswap_edge.transports.mqtt import Settings as MqttSettings
from evswap_edge.vitals import Vitals
from evswap_schema import Clock
from tests.authority import Authority, common_name, key_pem, new_key
from tests.edge.conftest import Eventually
from tests.edge.publishing import waiting_in
from tests.mosquitto import Mosquitto

STATION = "station-01"
DAY = timedelta(days=1)

every_transport = pytest.mark.parametrize("transport", ["aws-iot", "mqtt"])


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "LOOK_AGAIN_S", 0.2)
    monkeypatch.setattr(aws_link, "_SURE_AFTER_S", 0.2)


class SetClock(SystemTime):
    """Whatever the machine of the test says of its own."""

    def state(self) -> Clock:
        return Clock.SYNCHRONIZED


class Station:
    """A station of a file, over a real broker."""

    def __init__(self, folder: Path, broker: Mosquitto, transport: str) -> None:
        self.folder = folder
        self.broker = broker
        self.vitals = Vitals()
        self.file = folder / "station.yaml"
        told: dict[str, Any] = {
            "station_id": STATION,
            "driver": {"name": "simulated", "bays": 2},
            "sampling": {"interval_s": 0.05},
            "reporting": {"mode": "every-sample"},
            "publishing": {"backlog_per_s": 0},
            "outbox": {"path": "outbox.sqlite"},
            "transport": {
                "name": transport,
                "host": broker.host,
                "port": broker.port,
                "ca_file": str(broker.ca_file),
                "certificate_file": str(self.certificate_file),
                "key_file": str(self.key_file),
                "reconnect_min_s": 0.1,
                "reconnect_max_s": 0.2,
            },
        }
        self.file.write_text(json.dumps(told))

    @property
    def certificate_file(self) -> Path:
        return self.folder / "shown.cert.pem"

    @property
    def key_file(self) -> Path:
        return self.folder / "shown.key.pem"

    @property
    def config(self) -> StationConfig:
        (config,) = read_station(self.file).stations
        return config

    def issue(
        self, *, ends: datetime | None = None, authority: Authority | None = None, key: bool = True
    ) -> None:
        """Put key and certificate there, in the place of whatever there is. Without ``key``: the key of
        another."""
        now, own = datetime.now(UTC), new_key()
        pem = (authority or self.broker.authority).sign(
            common_name(STATION), own.public_key(), begins=now - 2 * DAY, ends=ends or now + DAY
        )
        self._put(self.key_file, key_pem(own if key else new_key()))
        self._put(self.certificate_file, pem)

    def _put(self, path: Path, content: bytes) -> None:
        draft = path.with_suffix(".draft")
        draft.write_bytes(content)
        draft.replace(path)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(run_station(self.config, SetClock(), stop, vitals=self.vitals))
        try:
            yield
        finally:
            stop.set()
            await task

    async def samples_on(self, eventually: Eventually) -> None:
        enough = self.vitals.samples + 5
        await eventually(lambda: self.vitals.samples >= enough)


def missing(station: Station) -> None:
    """As after a card was lost that the files lay on."""


def expired(station: Station) -> None:
    station.issue(ends=datetime.now(UTC) - DAY)


def not_a_pair(station: Station) -> None:
    station.issue(key=False)


def foreign(station: Station) -> None:
    station.issue(authority=Authority(station.folder, "foreign"))


def revoked(station: Station) -> None:
    station.issue()
    station.broker.revoke(station.certificate_file)


SAID: dict[Callable[[Station], None], dict[str, str]] = {
    missing: dict.fromkeys(("aws-iot", "mqtt"), "does not exist; obtain one with"),
    expired: dict.fromkeys(("aws-iot", "mqtt"), "expired at"),
    not_a_pair: dict.fromkeys(("aws-iot", "mqtt"), "does not belong to the certificate"),
    foreign: {"aws-iot": "of another authority", "mqtt": "it does not trust the authority"},
    revoked: {"aws-iot": "a certificate that is revoked", "mqtt": "it was revoked; obtain another with"},
}
"""What is said, by transport: awscrt does not tell the alert by which a broker gives its reason."""


@asynccontextmanager
async def archived(broker: Mosquitto) -> AsyncIterator[set[int]]:
    """The numbers of the samples that have arrived."""
    mine, arrived = broker.station_credentials("observer"), set[int]()
    context = ssl.create_default_context(cafile=str(mine.ca_file))
    context.load_cert_chain(mine.certificate_file, mine.key_file)

    async def note(client: aiomqtt.Client) -> None:
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            arrived.add(json.loads(message.payload)["sequence"])

    client = aiomqtt.Client(
        broker.host,
        broker.port,
        identifier="observer",
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_context=context,
    )
    async with client:
        await client.subscribe(f"ev/station/{STATION}/telemetry", qos=1)
        noting = asyncio.create_task(note(client))
        yield arrived
        noting.cancel()
        await asyncio.gather(noting, return_exceptions=True)  # who missed something is found by what lacks


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno == logging.ERROR]


@every_transport
@pytest.mark.parametrize("fault", SAID)
async def test_it_samples_says_so_once_and_delivers_all_when_others_take_their_place(
    fault: Callable[[Station], None],
    transport: str,
    mosquitto: Mosquitto,
    tmp_path: Path,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    station = Station(tmp_path, mosquitto, transport)
    fault(station)
    async with archived(mosquitto) as arrived, station.running(), asyncio.timeout(60):
        await eventually(lambda: station.vitals.credentials_problem)
        await station.samples_on(eventually)
        await station.samples_on(eventually)
        assert not arrived
        (said,) = complaints(caplog)
        assert "nothing can be sent: " in said
        assert SAID[fault][transport] in said
        assert said.startswith(f"nothing can be sent: {tmp_path}")
        station.issue()
        before = station.vitals.samples
        await eventually(lambda: arrived >= set(range(1, before + 1)))
        assert station.vitals.credentials_problem is None
        assert len(complaints(caplog)) == 1
    assert "alarm credentials_unusable: raised" in caplog.text
    assert caplog.text.count("alarm credentials_unusable: cleared") == 1
    assert await waiting_in(tmp_path / "outbox.sqlite") == 0


@every_transport
async def test_revoked_while_it_runs_it_samples_on_and_says_so_once(
    transport: str,
    mosquitto: Mosquitto,
    tmp_path: Path,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    station = Station(tmp_path, mosquitto, transport)
    station.issue()
    async with station.running(), asyncio.timeout(60):
        await eventually(lambda: station.vitals.linked)
        await asyncio.to_thread(mosquitto.revoke, station.certificate_file)
        await eventually(lambda: station.vitals.credentials_problem)
        await station.samples_on(eventually)
        (said,) = complaints(caplog)
        assert SAID[revoked][transport] in said
        async with archived(mosquitto) as arrived:
            last = station.vitals.samples
            station.issue()
            await eventually(lambda: arrived >= {last, last + 1, last + 2})
    assert await waiting_in(tmp_path / "outbox.sqlite") == 0
    assert len(complaints(caplog)) == 1


@every_transport
async def test_an_alarm_of_before_a_power_cut_is_cleared_when_the_broker_takes_the_next_certificate(
    transport: str,
    mosquitto: Mosquitto,
    tmp_path: Path,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    station = Station(tmp_path, mosquitto, transport)
    async with station.running(), asyncio.timeout(30):
        await eventually(lambda: "alarm credentials_unusable: raised" in caplog.text)
    station.issue()
    async with station.running(), asyncio.timeout(30):
        await eventually(lambda: "alarm credentials_unusable: cleared" in caplog.text)


async def test_systemd_and_the_health_check_say_what_is_wrong(
    mosquitto: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    station = Station(tmp_path, mosquitto, "mqtt")
    expired(station)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(30)
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": "300000",
        }
        environment.pop("WATCHDOG_PID", None)
        command = [sys.executable, "-m", "evswap_edge", "run", "--config", str(station.file)]
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
            heard = ""
            while "but nothing can be sent: " not in heard:
                heard = listening.recv(4096).decode()
            assert main(["health", "--config", str(station.file)]) == 0
            process.terminate()
        assert process.returncode == 0
    assert f"{station.certificate_file}: " in heard
    said = capsys.readouterr().out
    assert "wrote " in said
    assert f"{station.certificate_file}: expired at" in said


async def test_of_a_pair_that_is_being_replaced_nothing_is_said(
    mosquitto: Mosquitto, tmp_path: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    station, looks = Station(tmp_path, mosquitto, "mqtt"), list[object]()
    station.issue()

    def tls_of_the_files(settings: MqttSettings) -> ssl.SSLContext:
        try:
            return mqtt_transport.tls_of(settings)
        finally:
            looks.append(settings)

    settings = station.config.transport.settings
    assert isinstance(settings, MqttSettings)
    shown = identity.Identity(settings, Caller(station_id=STATION, time=SetClock()), tls_of_the_files)
    await shown.context()
    station.issue(key=False)
    async with asyncio.timeout(60):
        looking = asyncio.create_task(shown.context())
        await eventually(lambda: len(looks) == 2)
        station.issue()
        await looking
    assert not complaints(caplog)
    station.issue(key=False)
    with pytest.raises(CredentialsError, match="does not belong to the certificate"):
        await shown.context()
    assert len(complaints(caplog)) == 1
