"""Talking to the climate emulator; `tests/bench` does it with the real one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from evswap_hil import emulator
from evswap_hil.child import Ended, Silent
from evswap_hil.emulator import ClimateEmulator, Fault, Sensor, StimulusRefused
from tests.hil.programs import EMULATOR, program

SENSOR = Sensor(place=("--link", "/tmp/c"), registers="sht20", unit=3, temperature=21.5, humidity=45.0)  # noqa: S108


@pytest.fixture
def climate(tmp_path: Path) -> Iterator[ClimateEmulator]:
    running = ClimateEmulator(program(tmp_path, "edge", EMULATOR), SENSOR, log=tmp_path / "climate.log")
    yield running
    running.stop()


def test_the_sensor_is_told_as_options() -> None:
    options = "--link /tmp/c --registers sht20 --unit 3 --temperature 21.5 --humidity 45"
    assert SENSOR.options() == options.split()


def test_it_says_where_it_is(climate: ClimateEmulator) -> None:
    assert climate.place == "/dev/pts/7"


def test_it_obeys(climate: ClimateEmulator) -> None:
    climate.temperature(-12.3)
    climate.humidity(55)
    climate.fail(Fault.CRC)
    climate.heal()


def test_a_refusal_is_no_stimulus(climate: ClimateEmulator) -> None:
    with pytest.raises(StimulusRefused, match="no such humidity") as refused:
        climate.humidity(150)
    assert refused.value.command == "humidity 150"


def test_silence_and_death_are_told(climate: ClimateEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator, "ANSWER_WITHIN_S", 0.2)
    with pytest.raises(Silent):
        climate._order("fault slow")
    monkeypatch.setattr(emulator, "ANSWER_WITHIN_S", 20)
    with pytest.raises(Ended, match="the bus is gone"):
        climate._order("fault gone")


def test_one_that_does_not_start_says_why(tmp_path: Path) -> None:
    broken = program(tmp_path, "edge", "import sys; sys.exit('no such registers')")
    with pytest.raises(Ended, match="no such registers"):
        ClimateEmulator(broken, SENSOR, log=tmp_path / "climate.log")
