"""What the peers lose or jam on (a kill at 200 samples a second, a small disk that filled up) does not happen
here. Few trials in `make test`, twenty each with EVSWAP_CHAOS=full."""

import asyncio
import os
import random
from pathlib import Path
from typing import Final

import pytest

from tests.chaos.play import can_mount
from tests.chaos.run import Outcome, run
from tests.chaos.schedule import MODES, TRANSPORTS, Broker, Fault, Schedule, Step
from tests.conftest import SkipAloud
from tests.mosquitto import MISSING, find_mosquitto

FULL: Final = os.environ.get("EVSWAP_CHAOS") == "full"
TRIALS: Final = 20 if FULL else 2
AT_ONCE: Final = 2
"""More at once would not sample 200 times a second."""
EVERY_S: Final = 1 / 200

# paho leaves a socket, whose handshake a stopping broker ended, to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")


@pytest.fixture(autouse=True)
def _broker(skip_aloud: SkipAloud) -> None:
    if find_mosquitto() is None:
        skip_aloud(MISSING, could_run=True)


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("broker", ["up", "down"])
def test_killed_at_200_a_second_it_loses_nothing(
    broker: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = [_killed(number, broker_is_up=broker == "up") for number in range(TRIALS)]
    outcomes = played(trials, tmp_path, capsys)
    committed = sum(outcome.verdict.committed for outcome in outcomes)
    with capsys.disabled():
        print(f"kill -9, broker {broker}: {TRIALS} trials, {committed} committed, 0 lost")
    assert committed > 10 * TRIALS


def test_a_full_disk_jams_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], skip_aloud: SkipAloud
) -> None:
    """Filled while the broker is away, and still full when it is back."""
    if not can_mount():
        skip_aloud("nobody but root can make a small disk and fill it", could_run=False)
    steps = (Step(0.2, 3.0, Fault.BROKER_STOPPED), Step(1.0, 3.0, Fault.DISK_FULL))
    trials = [
        Schedule(
            seed=2,
            number=number,
            transport=TRANSPORTS[number % 2],
            mode=MODES[(number + number // 2) % 2],
            broker=Broker.RECORDER,
            seconds=4.5,
            steps=steps,
            interval_s=EVERY_S,
        )
        for number in range(4 if FULL else 2)
    ]
    outcomes = played(trials, tmp_path, capsys)
    assert all(outcome.verdict.volatile for outcome in outcomes), "the disk was never full"


def _killed(number: int, *, broker_is_up: bool) -> Schedule:
    chance = random.Random(f"{number} {broker_is_up}")
    at = round(chance.uniform(0.4, 1.4), 2)
    kill = Step(at, 0.1, Fault.STATION_KILLED)
    outage = Step(0.2, 1.3, Fault.BROKER_STOPPED)
    return Schedule(
        seed=int(broker_is_up),
        number=number,
        transport=TRANSPORTS[number % 2],
        mode=MODES[(number + number // 2) % 2],
        broker=Broker.MOSQUITTO,
        seconds=2.0,
        steps=(kill,) if broker_is_up else (outage, kill),
        interval_s=EVERY_S,
    )


def played(trials: list[Schedule], folder: Path, capsys: pytest.CaptureFixture[str]) -> list[Outcome]:
    with capsys.disabled():
        print()
        outcomes = asyncio.run(run(trials, folder, at_once=AT_ONCE, say=print))
    assert [str(outcome) for outcome in outcomes if not outcome.is_good()] == []
    return outcomes
