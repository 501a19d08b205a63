"""The bars of ingest: what it costs beyond reading and writing the same, and what a cold start costs beyond
making the same clients. Printed by each run, and asserted at full length (`make bench`)."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

import pytest
import yaml
from msgspec.structs import replace

from evswap_cloud.ingest import Delivery
from evswap_schema import (
    Channel,
    Reading,
    aws_topic,
    decode_batch,
    decode_reading,
    encode_batches,
    encode_reading,
)
from tests.benchmarks.figures import FULL, Figure, cost_us, table
from tests.cloud.messages import NOW, STACK, delivered, delivery, envelope
from tests.cloud.stores import Stores
from tests.shared.cabinets import minute_of_readings

MOST_TIMES_THE_CODEC: Final = 3.0
MOST_TIMES_A_BARE_START: Final = 1.3
READINGS: Final = 1_000
BAYS: Final = 8

_STARTS: Final = 9 if FULL else 1
_BARE: Final = """\
import boto3
from botocore.config import Config
config = Config(
    connect_timeout=1,
    read_timeout=3,
    retries=dict(mode="standard", total_max_attempts=2),
    max_pool_connections=8,
)
for service in {services}:
    boto3.client(service, config=config)
"""
_OURS: Final = """\
from evswap_cloud import wiring
from evswap_cloud.handlers import {function}
{makes}
wiring.logger("{function}")
"""
STARTS: Final = {
    "bulk": (("s3", "dynamodb", "iot-data"), "wiring.bulk_ingest(); wiring.acknowledger()"),
    "change": (("s3", "dynamodb"), "wiring.change_ingest()"),
    "events": (("s3", "dynamodb", "iot-data"), "wiring.event_ingest(); wiring.acknowledger()"),
}
"""Of each function: its clients, and what its first call makes."""


def test_ingest_of_a_thousand_readings(capsys: pytest.CaptureFixture[str]) -> None:
    batches = _batches()
    figures = [batches, _single_readings()]
    with capsys.disabled():
        print(f"\n{table(figures)}")
    assert all(figure.ratio > 1 for figure in figures)
    if FULL:
        assert batches.ratio <= MOST_TIMES_THE_CODEC


@pytest.mark.parametrize("function", STARTS)
def test_a_cold_start(function: str, capsys: pytest.CaptureFixture[str]) -> None:
    services, makes = STARTS[function]
    bare, ours = _least_cpu_s(
        _BARE.format(services=services), _OURS.format(function=function, makes=makes), _environment(function)
    )
    with capsys.disabled():
        print(f"\ncold start of {function}: {ours:.2f} s of CPU, bare {bare:.2f} s: {ours / bare:.2f}")
    assert bare > 0
    if FULL:
        assert ours <= MOST_TIMES_A_BARE_START * bare


def _batches() -> Figure:
    """As a minute of some eighty stations comes in one invocation, with bays."""
    records = list(_batched())
    payloads = [one.payload for one in _encoded()]

    def codec() -> None:
        for payload in payloads:
            for reading in decode_batch(payload).readings:
                encode_reading(reading)

    return _figure(
        f"reading of {BAYS} bays ingested in batches", lambda: Stores().bulk.process(records), codec
    )


def _single_readings() -> Figure:
    """Ten stations' seed messages; a batch of the queue has a hundred."""
    readings = [replace(one, bays=None, station_id=f"s-{n}") for n in range(100) for one in _run()[:10]]
    records = [delivered(one, f"r{number}") for number, one in enumerate(readings)]
    payloads = [encode_reading(one) for one in readings]

    def codec() -> None:
        for payload in payloads:
            encode_reading(decode_reading(payload))

    return _figure("single reading", lambda: Stores().live.process(records), codec)


def _figure(name: str, work: Callable[[], object], codec: Callable[[], None]) -> Figure:
    return Figure(
        name=f"{name} ingested, of {READINGS:,}",
        per_item_us=cost_us(work, items=READINGS),
        floor_name="the codec alone: decode and serialise",
        floor_us=cost_us(codec, items=READINGS),
    )


def _run() -> list[Reading]:
    """A minute of a station, just before the tests' now."""
    run = minute_of_readings(BAYS)
    return [
        replace(one, timestamp=NOW - timedelta(minutes=1) + timedelta(seconds=5) * number)
        for number, one in enumerate(run)
    ]


def _encoded() -> Iterator["_Encoded"]:
    run = _run()
    for number in range(READINGS // len(run) + 1):
        station_id = f"station-{number:03}"
        moved = [replace(one, station_id=station_id) for one in run]
        if number == READINGS // len(run):
            moved = moved[: READINGS % len(run)]
        for batch in encode_batches(moved, topic=aws_topic(Channel.BATCH, station_id)):
            yield _Encoded(station_id, batch.payload)


class _Encoded:
    def __init__(self, station_id: str, payload: bytes) -> None:
        self.station_id = station_id
        self.payload = payload


def _batched() -> Iterator[Delivery]:
    for number, one in enumerate(_encoded()):
        body = envelope(one.payload, station_id=one.station_id, channel=Channel.BATCH)
        yield delivery(body, f"r{number}")


# --- cold starts --------------------------------------------------------------------------------------------


def _least_cpu_s(bare: str, ours: str, environment: dict[str, str]) -> tuple[float, float]:
    """Of several turns each, one after the other, so that a busy minute is a minute of both."""
    turns = [(_cpu_s(bare, environment), _cpu_s(ours, environment)) for _ in range(_STARTS)]
    return min(first for first, _ in turns), min(second for _, second in turns)


def _cpu_s(code: str, environment: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _environment(function: str) -> dict[str, str]:
    settings = yaml.safe_load((STACK / "functions.yaml").read_text())["functions"][function]["environment"]
    credentials = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    told = {name: value if value.isdecimal() else "testing" for name, value in settings.items()}
    return os.environ | credentials | told
