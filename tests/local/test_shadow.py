"""A station's own program follows its shadow on the real local AWS, and takes commands from it."""

import asyncio
import json
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from evswap_edge.clock import SystemTime
from evswap_edge.config import read_station
from evswap_edge.keys import certificate_path, key_path
from evswap_edge.message import Message
from evswap_edge.remote.journal import Journal
from evswap_edge.transports import Caller, Rejected
from evswap_hil.deadline import wait_until
from evswap_local import emulator as local_aws
from evswap_local.certificates import keep_certificates
from evswap_local.clients import Clients
from evswap_local.stack.change import Change
from evswap_local.stack.source import Source
from evswap_schema import (
    Channel,
    Command,
    Outcome,
    SetCharging,
    SetConfiguration,
    aws_topic,
    encode_command,
    shadow,
)
from tests.local.real import Emulator

FILE = """\
station_id: {station_id}
driver: {{name: simulated, bays: 8}}
outbox: {{path: outbox.sqlite}}
transport:
  name: aws-iot
  host: 127.0.0.1
  port: {port}
  ca_file: {ca}
  certificate_file: {certificate}
  key_file: {key}
"""


class Station:
    """A station with its certificate, its file, and its shadow as the cloud sees it."""

    def __init__(self, station_id: str, folder: Path, data: Any) -> None:
        self.station_id = station_id
        self.folder = folder
        self._data = data

    @property
    def file(self) -> Path:
        return self.folder / f"{self.station_id}.yaml"

    @contextmanager
    def running(self) -> Iterator[None]:
        command = [sys.executable, "-m", "evswap_edge", "run", "--config", str(self.file)]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(command, cwd=self.folder, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            assert process.wait(60) == 0, (self.folder / "log").read_text()[-2_000:]

    def wish(self, desired: Any) -> None:
        self._data.update_thing_shadow(
            thingName=self.station_id,
            shadowName=shadow.NAME,
            payload=json.dumps({"state": {"desired": desired}}),
        )

    @property
    def reported(self) -> dict[str, Any]:
        try:
            answer = self._data.get_thing_shadow(thingName=self.station_id, shadowName=shadow.NAME)
        except self._data.exceptions.ResourceNotFoundException:
            return {}
        return dict(json.loads(answer["payload"].read())["state"].get("reported", {}))

    def reports(self, section: str, key: str, value: Any) -> None:
        wait_until(
            lambda: self.reported.get(section, {}).get(key) == value, what=f"{section}.{key}", within=90
        )

    def send(self, command_id: str, action: Any) -> None:
        now = datetime.now(UTC)
        command = Command(
            command_id=command_id,
            station_id=self.station_id,
            issued_at=now,
            expires_at=now + timedelta(minutes=5),
            action=action,
        )
        topic = aws_topic(Channel.COMMAND, self.station_id, command_id)
        self._data.publish(topic=topic, qos=1, payload=encode_command(command))

    def has_answered(self, command_id: str, outcome: Outcome) -> None:
        journal = Journal(self.folder / "outbox.sqlite", station_id=self.station_id)

        def told() -> bool:
            entry = journal.find(command_id)
            done = entry is not None and entry.result is not None and entry.result.outcome is outcome
            return done and not journal.untold(1)

        try:
            wait_until(told, what=f"the result of {command_id}", within=90)
        finally:
            journal.close()


@pytest.fixture
def make_station(
    applied: list[Change],
    clients: Clients,
    source: Source,
    emulator: Emulator,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Callable[[str], Station]:
    ca = tmp_path / "ca.pem"
    local_aws.fetch_trust_anchor(emulator.settings, ca)
    used = emulator.credentials
    data = boto3.client(
        "iot-data",
        endpoint_url=emulator.settings.endpoint_url,
        region_name=emulator.settings.region,
        aws_access_key_id=used.access_key_id,
        aws_secret_access_key=used.secret_access_key,
    )

    def make(name: str) -> Station:
        station_id = f"{name}-{zlib.crc32(request.node.name.encode()):08x}"
        folder = tmp_path / station_id
        folder.mkdir()
        list(keep_certificates(clients, source, folder, [station_id]))
        station = Station(station_id, folder, data)
        told = FILE.format(
            station_id=station_id,
            port=emulator.settings.mqtt_port,
            ca=ca,
            certificate=certificate_path(folder, station_id),
            key=key_path(folder, station_id),
        )
        station.file.write_text(told)
        return station

    return make


def test_what_is_wished_for_is_followed_reported_refused_and_remembered(
    make_station: Callable[[str], Station],
) -> None:
    station = make_station("wished")
    with station.running():
        station.reports("sampling", "interval_s", 5.0)
        station.wish({"sampling": {"interval_s": 7}})
        station.reports("sampling", "interval_s", 7.0)
        station.wish({"sampling": {"interval_s": -1}})
        station.reports(shadow.REFUSED, "key", "sampling.interval_s")
        assert station.reported["sampling"]["interval_s"] == 7.0
        station.wish({"sampling": {"interval_s": 8}})
        station.reports("sampling", "interval_s", 8.0)
        wait_until(lambda: shadow.REFUSED not in station.reported, what="the refusal's end", within=90)
    station.wish({"log": {"level": "warning"}})
    with station.running():
        station.reports("log", "level", "warning")
        assert station.reported["sampling"]["interval_s"] == 8.0


def test_a_command_comes_down_and_its_result_goes_up(make_station: Callable[[str], Station]) -> None:
    station = make_station("commanded")
    with station.running():
        station.reports("sampling", "interval_s", 5.0)
        station.send("c-1", SetCharging(bay=1, enabled=False))
        station.has_answered("c-1", Outcome.DONE)
        station.send("c-2", SetConfiguration(configuration={"sampling": {"interval_s": 9}}))
        station.has_answered("c-2", Outcome.DONE)
        station.reports("sampling", "interval_s", 9.0)
        station.send("c-3", SetCharging(bay=9, enabled=False))
        station.has_answered("c-3", Outcome.REJECTED)


def test_no_station_touches_the_shadow_of_another(make_station: Callable[[str], Station]) -> None:
    thief, victim = make_station("thief"), make_station("victim")
    asyncio.run(try_to_touch(thief, victim))
    assert victim.reported == {}


async def try_to_touch(thief: Station, victim: Station) -> None:
    (config,) = read_station(thief.file).stations
    caller = Caller(station_id=thief.station_id, time=SystemTime())
    link = await config.transport.kind.open(config.transport.settings, caller)
    update = json.dumps({"state": {"desired": {"sampling": {"interval_s": 1}}}}).encode()
    answers = shadow.shadow_topic(victim.station_id, shadow.GET_ACCEPTED)
    try:
        async with asyncio.timeout(60):
            await link.connect()
        with pytest.raises(Rejected, match="0x87"):
            await link.send(Message(shadow.shadow_topic(victim.station_id, shadow.UPDATE), update))
        with pytest.raises(Rejected, match="0x87"):
            await link.subscribe(answers, lambda topic, payload: None)
        await link.send(Message(shadow.shadow_topic(thief.station_id, shadow.UPDATE), update))
    finally:
        await link.aclose()
