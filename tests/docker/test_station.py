"""The entrypoint of a station's container: drawers that nobody shares, a configuration the edge takes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evswap_docker import station
from evswap_docker.station import EXIT_CONFIGURATION, EXIT_NO_DRAWER, CannotStart, Wishes
from evswap_edge.__main__ import main as edge
from evswap_edge.config import describe, read_station

BASE = {"EVSWAP_MQTT_HOST": "aws"}
TAKES = """
import os, sys
from evswap_docker import station
os.environ["EVSWAP_MQTT_HOST"] = "aws"
name = station.take_drawer(station.Wishes.of(os.environ))
os.execv(sys.executable, [sys.executable, "-c", f"print({name!r}, flush=True); input()"])
"""
"""Takes a drawer, becomes another program, as the entrypoint does, says which, and lives until ended."""


def wishes(data: Path, **environment: str) -> Wishes:
    return Wishes.of({**BASE, "EVSWAP_DATA": str(data), **environment})


Take = Callable[..., tuple["subprocess.Popen[str]", str]]


@pytest.fixture
def take(tmp_path: Path) -> Iterator[Take]:
    """Starts a container's stand-in on the shared volume and tells which drawer it has."""
    started: list[subprocess.Popen[str]] = []

    def start(**environment: str) -> tuple["subprocess.Popen[str]", str]:
        process = subprocess.Popen(
            [sys.executable, "-c", TAKES],
            env={
                **os.environ,
                "PYTHONPATH": str(Path(station.__file__).parents[1]),
                "EVSWAP_DATA": str(tmp_path),
            }
            | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_each_takes_the_lowest_drawer_that_is_free(take: Take) -> None:
    assert [take()[1] for _ in range(4)] == ["docker-01", "docker-02", "docker-03", "docker-04"]


def test_the_drawer_of_one_that_was_killed_is_the_next_ones(take: Take) -> None:
    processes = [take()[0] for _ in range(3)]
    processes[1].send_signal(signal.SIGKILL)
    processes[1].wait()
    assert take()[1] == "docker-02"
    assert take()[1] == "docker-04"


def test_what_lies_in_a_drawer_stays(take: Take, tmp_path: Path) -> None:
    process, name = take()
    (tmp_path / name / "outbox.sqlite").write_text("samples")
    process.kill()
    process.wait()
    assert take()[1] == name
    assert (tmp_path / name / "outbox.sqlite").read_text() == "samples"


def test_two_prefixes_are_two_fleets(take: Take) -> None:
    assert take()[1] == "docker-01"
    assert take(EVSWAP_STATION_PREFIX="north-")[1] == "north-01"


def test_a_name_of_its_own_is_taken_or_refused(take: Take, tmp_path: Path) -> None:
    assert take(EVSWAP_STATION_ID="garage")[1] == "garage"
    with pytest.raises(CannotStart, match=r"garage .* in use") as caught:
        station.take_drawer(wishes(tmp_path, EVSWAP_STATION_ID="garage"))
    assert caught.value.exit_code == EXIT_NO_DRAWER


def test_a_volume_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "docker-01").write_text("a file where a folder should be")
    with pytest.raises(CannotStart, match="mount a volume"):
        station.take_drawer(wishes(tmp_path))


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, "EVSWAP_MQTT_HOST"),
        ({**BASE, "EVSWAP_MQTT_PORT": "x"}, "EVSWAP_MQTT_PORT"),
        ({**BASE, "EVSWAP_STATION_ID": "a b"}, "EVSWAP_STATION_ID"),
        ({**BASE, "EVSWAP_STATION_ID": "x" * 65}, "EVSWAP_STATION_ID"),
        ({**BASE, "EVSWAP_STATION_PREFIX": "../"}, "EVSWAP_STATION_PREFIX"),
        ({**BASE, "EVSWAP_INTERVAL_S": "often"}, "EVSWAP_INTERVAL_S"),
    ],
)
def test_what_is_missing_or_wrong_is_named(environment: dict[str, str], names: str) -> None:
    with pytest.raises(CannotStart, match=names) as caught:
        Wishes.of(environment)
    assert caught.value.exit_code == EXIT_CONFIGURATION


@pytest.mark.parametrize("authority", [True, False])
def test_the_configuration_is_one_that_the_edge_takes(tmp_path: Path, authority: bool) -> None:
    claim = tmp_path / "claim"
    claim.mkdir()
    if authority:
        (claim / "ca.pem").write_text("")
    wished = wishes(tmp_path, EVSWAP_CLAIM_DIR=str(claim), EVSWAP_BAYS="12", EVSWAP_REPORTING="on-change")
    file = tmp_path / "station.yaml"
    file.write_text(json.dumps(station.configuration(wished, "docker-07")))
    (only,) = read_station(file).stations
    assert "docker-07" in describe(only)
    assert only.outbox_path == tmp_path / "docker-07" / "outbox.sqlite"
    assert only.transport.settings.ca_file == (claim / "ca.pem" if authority else None)


def test_the_command_that_provisions_is_one_that_the_edge_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wished = wishes(tmp_path, EVSWAP_CLAIM_DIR=str(tmp_path))
    assert edge(station.provisioning(wished, "docker-01")) == 3
    assert "claim.cert.pem" in capsys.readouterr().err


def test_a_station_without_certificate_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(station, "PROGRAM", "false")
    monkeypatch.setattr(station, "CONFIG", tmp_path / "station.yaml")
    for name, value in {**BASE, "EVSWAP_DATA": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        station.main([])
    assert ended.value.code == 1
    assert "docker-01 has no certificate" in capsys.readouterr().err
    assert not (tmp_path / "station.yaml").exists()


def test_another_command_of_the_image_is_run_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    executed: list[Any] = []

    class Executed(Exception):
        pass

    def execv(*arguments: object) -> None:
        executed.append(arguments)
        raise Executed

    monkeypatch.setattr(os, "execv", execv)
    with pytest.raises(Executed):
        station.main(["check", "--config", "x"])
    assert executed == [(station.PROGRAM, [station.PROGRAM, "check", "--config", "x"])]
