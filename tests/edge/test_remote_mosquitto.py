"""Commands to the station's own program, over a real broker: kill -9 in between, and a configuration that is
changed while it samples."""

import asyncio
import json
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiomqtt

from evswap_schema import (
    Action,
    Channel,
    Command,
    CommandResult,
    Outcome,
    Reading,
    ReadNow,
    SetCharging,
    SetConfiguration,
    broker_topic,
    decode_reading,
    decode_result,
    encode_command,
)
from tests.edge.conftest import Eventually
from tests.mosquitto import Mosquitto

STATION = "station-01"

FILE = """\
station_id: {station}
driver: {{name: simulated, bays: 8}}
outbox: {{path: outbox.sqlite}}
sampling: {{interval_s: {interval_s}}}
reporting: {{mode: every-sample}}
transport:
  name: mqtt
  host: {broker.host}
  port: {broker.port}
  ca_file: {mine.ca_file}
  certificate_file: {mine.certificate_file}
  key_file: {mine.key_file}
"""


def write_file(folder: Path, broker: Mosquitto, *, interval_s: float = 0.2) -> None:
    mine = broker.station_credentials(STATION)
    told = FILE.format(station=STATION, broker=broker, mine=mine, interval_s=interval_s)
    (folder / "station.yaml").write_text(told)


@contextmanager
def running(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The station's program; killed at the end, whatever it does."""
    command = [sys.executable, "-m", "evswap_edge", "run", "--config", "station.yaml"]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, stderr=log, env={**os.environ})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class Operator:
    """Whoever may do everything: sends commands, and keeps all that the station says."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client
        self.heard: list[aiomqtt.Message] = []

    async def listen(self) -> None:
        async for message in self._client.messages:
            self.heard.append(message)

    async def send(self, command: Command) -> None:
        topic = broker_topic(Channel.COMMAND, STATION, command.command_id)
        await self._client.publish(topic, encode_command(command), qos=1)

    def payloads(self, topic: str) -> list[bytes]:
        return [message.payload for message in self.heard if str(message.topic) == topic]

    def results(self, command_id: str) -> list[CommandResult]:
        topic = broker_topic(Channel.RESULT, STATION, command_id)
        return [decode_result(payload) for payload in self.payloads(topic)]

    def outcomes(self, command_id: str) -> list[Outcome]:
        return [result.outcome for result in self.results(command_id)]

    @property
    def readings(self) -> list[Reading]:
        return [
            decode_reading(payload) for payload in self.payloads(broker_topic(Channel.TELEMETRY, STATION))
        ]

    @property
    def questions(self) -> list[Any]:
        return [json.loads(payload) for payload in self.payloads(broker_topic(Channel.PENDING, STATION))]


@asynccontextmanager
async def operator(broker: Mosquitto) -> AsyncIterator[Operator]:
    mine = broker.station_credentials("observer")
    context = ssl.create_default_context(cafile=str(mine.ca_file))
    context.load_cert_chain(mine.certificate_file, mine.key_file)
    told: dict[str, Any] = {"tls_context": context, "protocol": aiomqtt.ProtocolVersion.V5}
    async with aiomqtt.Client(broker.host, broker.port, identifier=mine.name, **told) as client:
        await client.subscribe(f"ev/station/{STATION}/#", qos=1)
        one = Operator(client)
        listening = asyncio.create_task(one.listen())
        try:
            yield one
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


def command(command_id: str, action: Action) -> Command:
    now = datetime.now(UTC)
    return Command(
        command_id=command_id,
        station_id=STATION,
        issued_at=now,
        expires_at=now + timedelta(minutes=5),
        action=action,
    )


async def test_a_command_outlives_kill_9_and_is_answered_alike(
    tmp_path: Path, mosquitto: Mosquitto, eventually: Eventually
) -> None:
    write_file(tmp_path, mosquitto)
    charging = command("c-1", SetCharging(bay=1, enabled=False))
    async with operator(mosquitto) as one:
        with running(tmp_path):
            await eventually(lambda: one.questions == [{"station_id": STATION}])
            await one.send(charging)
            await eventually(lambda: one.outcomes("c-1")[-1:] == [Outcome.DONE])
        with running(tmp_path):
            await eventually(lambda: len(one.questions) == 2)
            told = len(one.results("c-1"))
            await one.send(charging)
            await eventually(lambda: len(one.results("c-1")) > told)
            await one.send(command("c-2", ReadNow()))
            await eventually(lambda: one.outcomes("c-2") == [Outcome.ACCEPTED, Outcome.DONE])
        # Told twice even so, where the kill came before it was written down that it was told.
        accepted, *finals = one.results("c-1")
        assert accepted.outcome is Outcome.ACCEPTED
        assert set(finals) == {finals[0]}


async def test_the_configuration_changes_while_it_samples_and_no_sample_is_lost(
    tmp_path: Path, mosquitto: Mosquitto, eventually: Eventually
) -> None:
    write_file(tmp_path, mosquitto)
    faster = SetConfiguration(configuration={"sampling": {"interval_s": 0.06}})
    async with operator(mosquitto) as one:
        with running(tmp_path):
            await eventually(lambda: len(one.readings) >= 3)
            await one.send(command("c-1", faster))
            await eventually(lambda: one.outcomes("c-1")[-1:] == [Outcome.DONE])
            seen = len(one.readings)
            await eventually(lambda: len(one.readings) >= seen + 10)
            assert "new configuration applied: station-01: a sample" in (tmp_path / "log").read_text()
        with running(tmp_path):  # killed, and begun again with what was commanded
            seen = len(one.readings)
            await eventually(lambda: len(one.readings) >= seen + 10)
            refused = SetConfiguration(configuration={"sampling": {"interval_s": 0}})
            await one.send(command("c-2", refused))
            await eventually(lambda: one.outcomes("c-2") == [Outcome.REJECTED])
            assert "sampling.interval_s" in (one.results("c-2")[0].reason or "")
        numbers = {reading.sequence or 0 for reading in one.readings}
        assert len({reading.stream_id for reading in one.readings}) == 1
        assert numbers == set(range(1, max(numbers) + 1))
    assert json.loads((tmp_path / "outbox.sqlite.adjustments").read_text())["adjustments"] == {
        "sampling": {"interval_s": 0.06}
    }


async def test_a_broker_that_goes_away_costs_no_result(
    tmp_path: Path, mosquitto: Mosquitto, eventually: Eventually
) -> None:
    write_file(tmp_path, mosquitto)
    slow = command("c-1", SetCharging(bay=9, enabled=False))
    with running(tmp_path):
        async with operator(mosquitto) as one:
            await eventually(lambda: one.questions)
            await one.send(slow)
            await eventually(lambda: one.outcomes("c-1") == [Outcome.REJECTED])
        mosquitto.kill()
        mosquitto.start()
        async with operator(mosquitto) as other:
            await eventually(lambda: other.questions)
            await other.send(slow)
            await eventually(lambda: other.outcomes("c-1") == [Outcome.REJECTED])
