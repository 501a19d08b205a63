"""`evswap-edge run`: one station by its configuration file, batched, and its bad days."""

import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from evswap_hil.deadline import wait_until
from tests.authority import Authority, common_name, key_pem, new_key
from tests.e2e.local_stack import IN_TIME_S, LocalStack
from tests.e2e.outboxes import ask

pytestmark = pytest.mark.any_maker

EDGE = Path(sys.executable).with_name("evswap-edge")
VISITOR = "visitor"


def configuration(stack: LocalStack, folder: Path, **changes: object) -> Path:
    """A station.yaml for the visitor's place at the cabinet."""
    described = stack.described
    certificate = described.certificate_of(VISITOR)
    sections = {
        "station_id": VISITOR,
        "driver": {"name": "simulated", "bays": 35, "seed": 5},
        "sampling": {"interval_s": 0.2},
        "reporting": {"mode": "on-change", "batch_age_s": 2},
        "outbox": {"path": str(folder / "outbox.sqlite")},
        "transport": {
            "name": "aws-iot",
            "host": described.mqtt_host,
            "port": described.mqtt_port,
            "ca_file": str(described.ca_file),
            "certificate_file": str(certificate.certificate),
            "key_file": str(certificate.key),
        },
    }
    file = folder / "station.yaml"
    file.write_text(yaml.safe_dump({**sections, **changes}))
    return file


@contextmanager
def running(file: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([EDGE, "run", "--config", file], stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_batches_reach_the_latest_state_and_the_archive(stack: LocalStack, tmp_path: Path) -> None:
    started = datetime.now(UTC)
    with running(configuration(stack, tmp_path)) as station, stack.api() as api:
        wait_until(
            lambda: (api.station(VISITOR) or {}).get("timestamp", "") > started.isoformat(),
            what="the station's state",
            within=IN_TIME_S,
        )
        station.send_signal(signal.SIGTERM)
        assert station.wait(30) == 0, "a clean stop"
    wait_until(lambda: stack.keys("bulk/"), what="the batch in the archive", within=IN_TIME_S)


def test_an_alarm_of_a_station_is_shown_in_the_cloud(stack: LocalStack, tmp_path: Path) -> None:
    """Nobody answers where the climate sensor should: the station says so, and goes on."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
    driver = {
        "climate": {"name": "modbus", "tcp": nobody, "registers": "sht20"},
        "bays": {"name": "simulated", "bays": 4, "seed": 5},
    }
    started = datetime.now(UTC)
    with running(configuration(stack, tmp_path, driver=driver)):
        raised = wait_until(
            lambda: [event for event in events(stack) if event["timestamp"] > started.isoformat()],
            what="the alarm in the API",
            within=IN_TIME_S,
        ).found
    assert [(event["alarm"], event["state"]) for event in raised] == [("sensor_failed_climate", "raised")]


def events(stack: LocalStack) -> list[dict[str, Any]]:
    """The visitor's newest events."""
    answer = httpx.get(f"{stack.described.api_url}/stations/{VISITOR}/events", timeout=30).json()
    return list(answer.get("events", ()))


def test_an_expired_certificate_is_named_and_the_station_samples_on(
    stack: LocalStack, tmp_path: Path
) -> None:
    key, yesterday = new_key(), datetime.now(UTC) - timedelta(days=1)
    certificate = Authority(tmp_path).sign(
        common_name(VISITOR), key.public_key(), begins=yesterday - timedelta(days=1), ends=yesterday
    )
    (tmp_path / "old.cert.pem").write_bytes(certificate)
    (tmp_path / "old.key.pem").write_bytes(key_pem(key))
    (tmp_path / "old.key.pem").chmod(0o600)
    with running(with_certificate(stack, tmp_path, "old.cert.pem", "old.key.pem")) as station:
        assert "old.cert.pem" in first_line_with("expired", station)
        samples_on(station, tmp_path)


def test_a_missing_certificate_is_named_and_the_station_samples_on(stack: LocalStack, tmp_path: Path) -> None:
    with running(with_certificate(stack, tmp_path, "none.cert.pem", "none.key.pem")) as station:
        assert "Traceback" not in first_line_with("none.cert.pem", station)
        samples_on(station, tmp_path)


def first_line_with(words: str, station: "subprocess.Popen[str]") -> str:
    assert station.stderr is not None
    return next(line for line in station.stderr if words in line)


def samples_on(station: "subprocess.Popen[str]", folder: Path) -> None:
    def samples() -> int:
        try:
            return int(ask(folder / "outbox.sqlite", "SELECT samples + parcel_samples FROM ledger"))
        except sqlite3.OperationalError:  # the file is still being made
            return 0

    before = samples()
    wait_until(lambda: samples() > before, what="another sample", within=IN_TIME_S)
    assert station.poll() is None


def with_certificate(stack: LocalStack, folder: Path, certificate: str, key: str) -> Path:
    """The visitor's station.yaml with these files."""
    file = configuration(stack, folder)
    sections = yaml.safe_load(file.read_text())
    sections["transport"] |= {"certificate_file": str(folder / certificate), "key_file": str(folder / key)}
    file.write_text(yaml.safe_dump(sections))
    return file


@pytest.mark.parametrize(
    ("line", "nearest"),
    [("sampling: {intervall_s: 5}", "interval_s"), ("reportin: {mode: on-change}", "reporting")],
)
def test_a_misspelt_key_is_named_with_its_line_and_the_nearest_name(
    tmp_path: Path, line: str, nearest: str
) -> None:
    file = tmp_path / "station.yaml"
    file.write_text(f"station_id: station-01\ndriver: {{name: simulated}}\n{line}\n")
    answer = subprocess.run(
        [EDGE, "run", "--config", file], capture_output=True, text=True, timeout=60, check=False
    )
    assert answer.returncode == 2
    assert f"{file}:3" in answer.stderr
    assert nearest in answer.stderr
