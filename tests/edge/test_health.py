"""``evswap-edge health``: a station that samples is well, whether the cloud is reached or not."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evswap_edge.__main__ import main
from evswap_edge.outbox import written_at
from evswap_edge.outbox.keeper import Keeper
from tests.edge.outboxes import ask, keeper, sample

STATION = """\
station_id: station-01
driver: {name: simulated, bays: 8}
sampling: {interval_s: 5}
outbox: {path: outbox.sqlite}
transport: {name: aws-iot, host: unreachable.invalid, certificate_file: c.pem, key_file: k.pem}
"""
LIMIT_S = 25


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "station.yaml"
    path.write_text(STATION)
    return path


@pytest.fixture
def health(file: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[], tuple[int, str]]:
    def ask() -> tuple[int, str]:
        code = main(["health", "--config", str(file)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return ask


@pytest.fixture
def outbox(file: Path) -> Iterator[Keeper]:
    outbox = keeper(file.parent / "outbox.sqlite")
    yield outbox
    outbox.close()


def age(file: Path, seconds: float) -> None:
    """As if nothing had been written for that long."""
    then = time.time() - seconds
    for path in file.parent.glob("outbox.sqlite*"):
        os.utime(path, (then, then))


def test_a_station_that_wrote_just_now_is_well_though_nothing_is_delivered(
    outbox: Keeper, file: Path, health: Callable[[], tuple[int, str]]
) -> None:
    ask(outbox, sample())
    code, said = health()
    assert code == 0
    assert f"limit {LIMIT_S} s" in said


def test_a_station_that_has_not_written_for_too_long_is_not(
    outbox: Keeper, file: Path, health: Callable[[], tuple[int, str]]
) -> None:
    age(file, LIMIT_S - 5)
    assert health()[0] == 0
    age(file, LIMIT_S + 5)
    code, said = health()
    assert code == 1
    assert "is the station up?" in said


def test_each_sample_counts_and_so_does_none(
    outbox: Keeper, file: Path, health: Callable[[], tuple[int, str]]
) -> None:
    age(file, LIMIT_S + 5)
    ask(outbox, sample())
    assert health()[0] == 0


def test_without_an_outbox_there_is_no_station(tmp_path: Path, health: Callable[[], tuple[int, str]]) -> None:
    assert written_at(tmp_path / "outbox.sqlite") == 0
    assert health()[0] == 1


@pytest.mark.parametrize("transport", ["aws-iot", "mqtt"])
def test_it_loads_nothing_that_only_a_running_station_needs(
    outbox: Keeper, file: Path, transport: str
) -> None:
    """It is asked every few seconds, on small computers."""
    file.write_text(STATION.replace("aws-iot", transport))
    heavy = (
        "awscrt",
        "paho",
        "evswap_edge.app",
        "evswap_edge.publisher",
        "evswap_edge.commands.run",
        "cryptography",
    )
    lines = (
        "import sys; from evswap_edge.__main__ import main; code = main(sys.argv[1:]);"
        f" print(code, *[name for name in {heavy} if sys.modules.get(name)])"
    )
    command = [sys.executable, "-c", lines, "health", "--config", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"
