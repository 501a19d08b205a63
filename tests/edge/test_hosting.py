"""The station's own process, as systemd and Prometheus see it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(30)
        yield listening


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def configuration(tmp_path: Path, free_port: int) -> Path:
    file = tmp_path / "station.yaml"
    told: dict[str, Any] = {
        "station_id": "station-01",
        "driver": {"name": "simulated", "bays": 2},
        "transport": {"name": "memory"},
        "outbox": {"path": str(tmp_path / "outbox.sqlite")},
        "sampling": {"interval_s": 0.05},
        "metrics": {"port": free_port},
    }
    file.write_text(json.dumps(told))
    return file


@pytest.fixture
def station(
    configuration: Path, notified: socket.socket, tmp_path: Path
) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}
    environment.pop("WATCHDOG_PID", None)
    command = [sys.executable, "-m", "evswap_edge", "run", "--config", str(configuration)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        yield process
        process.kill()


def heard(notified: socket.socket) -> str:
    return notified.recv(4096).decode().split("\n")[0]


def samples_taken(port: int) -> float:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
    except (urllib.error.URLError, ConnectionError):
        return 0.0
    return next((float(line.split()[1]) for line in lines if line.startswith("evswap_samples_total{")), 0.0)


def test_systemd_and_prometheus_see_the_station_at_work(
    station: subprocess.Popen[bytes], notified: socket.socket, free_port: int
) -> None:
    assert heard(notified) == "READY=1"
    assert [heard(notified) for _ in range(3)] == ["WATCHDOG=1"] * 3
    deadline = time.monotonic() + 30
    while samples_taken(free_port) < 3:
        assert time.monotonic() < deadline, "no samples among the figures"
        time.sleep(0.05)
    station.send_signal(signal.SIGTERM)
    assert set(iter(lambda: heard(notified), "STOPPING=1")) <= {"WATCHDOG=1"}
    assert station.wait(timeout=30) == 0
