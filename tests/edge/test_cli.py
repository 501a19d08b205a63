"""The command line as others call it: output, exit codes, signals."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evswap_edge.clock import SystemTime
from evswap_edge.commands import COMMANDS
from evswap_edge.outbox import Outbox
from evswap_edge.stopping import StopRequest

STATION = """\
station_id: station-01
driver: {name: simulated, bays: 8}
sampling: {interval_s: 0.1}
outbox: {path: outbox.sqlite}
transport: {name: memory}
"""
AWS = STATION.replace(
    "{name: memory}", "{name: aws-iot, host: 127.0.0.1, certificate_file: c.pem, key_file: k.pem}"
)
LONGEST_S = 60


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "evswap_edge", *map(str, arguments)]


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=LONGEST_S, check=False)


def logs(text: str) -> list[dict[str, Any]]:
    """Every line of standard error is an object."""
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "station.yaml"
    path.write_text(STATION)
    return path


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the program; it is gone when the test is."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(command(*arguments), stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], text: str) -> list[str]:
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if text in line:
            return seen
    raise AssertionError(f"ended without saying {text!r}: {seen}")


def test_it_tells_its_version() -> None:
    answer = call("--version")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert re.fullmatch(r"evswap-edge \d+\.\d+\.\d+\n", answer.stdout)


def test_help_teaches_with_an_example() -> None:
    result = call("--help")
    assert result.returncode == 0
    for part in ("provision --station-id", "station.yaml", "check --config", "exit codes", "fleet"):
        assert part in result.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_station_cleanly(
    file: Path, start: Callable[..., subprocess.Popen[str]], number: signal.Signals
) -> None:
    process = start("run", "--config", file)
    seen = read_until(process, "station starts")
    process.send_signal(number)
    _, rest = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 0
    said = [line["message"] for line in logs("".join(seen) + rest)]
    assert f"{number.name}: stops" in said
    assert said[-1] == "station stops, 0 samples wait in the outbox"


async def test_a_second_signal_ends_it_at_once_but_the_same_one_delivered_twice_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, exits = 1_000.0, list[int]()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(os, "_exit", exits.append)
    stop = StopRequest()
    stop.on_signal(signal.SIGTERM)
    now += 0.1
    stop.on_signal(signal.SIGTERM)
    assert (stop.event.is_set(), exits) == (True, [])
    now += 5.0
    stop.on_signal(signal.SIGINT)
    assert exits == [1]


@pytest.mark.parametrize("subcommand", ["run", "fleet", "check"])
def test_a_wrong_key_is_exit_2_with_line_and_nearest_name(file: Path, subcommand: str) -> None:
    file.write_text(STATION.replace("interval_s", "intervall_s").replace("driver:", "driver:"))
    if subcommand == "fleet":
        file.write_text("stations: [a]\ncertificates_dir: c\nsampling: {intervall_s: 1}\n")
    result = call(subcommand, "--config", file)
    assert result.returncode == 2
    assert f"{file}:3: sampling.intervall_s" in result.stderr
    assert "did you mean 'interval_s'?" in result.stderr
    assert "Traceback" not in result.stderr
    if subcommand != "check":
        (line,) = logs(result.stderr)
        assert (line["level"], line["line"], line["key"]) == ("error", 3, "sampling.intervall_s")


def test_a_missing_file_is_exit_2(tmp_path: Path) -> None:
    result = call("run", "--config", tmp_path / "none.yaml")
    assert (result.returncode, "does not exist" in result.stderr) == (2, True)


def test_to_check_a_missing_certificate_is_exit_3(file: Path) -> None:
    file.write_text(AWS)
    result = call("check", "--config", file)
    assert result.returncode == 3
    assert f"{file.parent / 'c.pem'}: does not exist" in result.stderr
    assert "Traceback" not in result.stderr


def test_to_check_a_fleet_without_certificates_is_exit_3(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(
        "stations: {count: 3}\ncertificates_dir: certs\ndata_dir: data\n"
        "driver: {name: simulated}\ntransport: {name: aws-iot, host: 127.0.0.1}\n"
    )
    result = call("check", "--config", file)
    assert result.returncode == 3
    assert "station-01.cert.pem: does not exist" in result.stderr


async def test_an_outbox_in_use_is_exit_1_and_names_who_uses_it(file: Path) -> None:
    path = file.parent / "outbox.sqlite"
    outbox = await Outbox.open(path, station_id="station-01", time=SystemTime())
    result = await asyncio.to_thread(call, "run", "--config", file)
    await outbox.aclose()
    assert result.returncode == 1
    assert f"in use by process {os.getpid()}" in logs(result.stderr)[-1]["message"]


def test_check_says_what_would_run(file: Path) -> None:
    result = call("check", "--config", file)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(
        "station-01: a sample of the driver simulated every 0.1 s, on-change over"
    )
    assert not (file.parent / "outbox.sqlite").exists()


def test_csr_makes_a_key_once(tmp_path: Path) -> None:
    first = call("csr", "--station-id", "station-01", "--directory", tmp_path)
    assert (first.returncode, str(tmp_path / "station-01.csr.pem") in first.stdout) == (0, True)
    key = (tmp_path / "station-01.key.pem").read_bytes()
    assert call("csr", "--station-id", "station-01", "--directory", tmp_path).returncode == 0
    assert (tmp_path / "station-01.key.pem").read_bytes() == key


@pytest.mark.parametrize("name", ["a/b", "", "x" * 65, "a b"])
def test_csr_refuses_a_name_that_no_station_can_have(tmp_path: Path, name: str) -> None:
    result = call("csr", "--station-id", name, "--directory", tmp_path)
    assert result.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_a_fleet_of_simulated_stations_runs_and_stops(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(
        "stations: {count: 3}\ncertificates_dir: certs\ndata_dir: data\nsampling: {interval_s: 0.1}\n"
        "driver: {name: simulated}\ntransport: {name: memory}\n"
    )
    process = start("fleet", "--config", file)
    for _ in range(3):
        read_until(process, "station starts")
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 0
    stops = [line for line in logs(rest) if line["message"].startswith("station stops")]
    assert {line["station_id"] for line in stops} == {"station-01", "station-02", "station-03"}


def test_a_component_without_a_nucleus_says_what_it_needs_and_what_to_do(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "AWS_IOT_THING_NAME"}
    result = subprocess.run(
        command("greengrass"),
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    (line,) = logs(result.stderr)
    assert (result.returncode, line["level"]) == (1, "error")
    for part in ("AWS_IOT_THING_NAME", "deploy this as a component", "evswap-edge emulate greengrass"):
        assert part in line["message"]


def test_a_nucleus_is_emulated_until_its_input_ends(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("ComponentName: a.Component\n")
    socket = tmp_path / "ipc.socket"
    result = subprocess.run(
        command("emulate", "greengrass", "--socket", socket, "--recipe", recipe, "--thing-name", "t-1"),
        input='configure {"a": 1}\nsing\n',
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    assert (result.returncode, result.stderr, socket.exists()) == (0, "", False)
    lines = result.stdout.splitlines()
    assert "export AWS_IOT_THING_NAME=t-1" in lines
    assert lines[-3:-1] == [f"ready {socket}", "ok"]
    assert lines[-1].startswith("error: 'sing' is none of")


def test_help_teaches_every_command_and_each_teaches_itself() -> None:
    everything = call("--help").stdout
    for name, command in COMMANDS.items():
        assert f"\n    {name}" in everything
        assert command.help.split()[0] in everything
        own = call(name, "--help")
        assert (own.returncode, own.stderr) == (0, "")
        assert " ".join(command.help.split()) in " ".join(own.stdout.split())
    assert "--config FILE" in call("run", "--help").stdout
