"""What station.yaml may say of Modbus devices, and what is wrong with what it says."""

from pathlib import Path

import pytest

from evswap_edge import registers
from evswap_edge.config import read_station
from evswap_edge.documents import ConfigurationError, NameOrFile
from evswap_edge.drivers import Role
from evswap_edge.drivers.modbus import KIND, Settings

STATION = """\
station_id: station-01
driver:
  climate: {name: modbus, port: tty, registers: sht20, unit: 20}
  batteries: {name: modbus, port: tty, registers: pace-bms, bays: 1-8}
  chargers: {name: modbus, port: tty, registers: bay-chargers, bays: 1-8}
outbox: {path: outbox.sqlite}
transport: {name: memory}
"""


def refusal(tmp_path: Path, old: str, new: str) -> ConfigurationError:
    assert old in STATION
    file = tmp_path / "station.yaml"
    file.write_text(STATION.replace(old, new))
    with pytest.raises(ConfigurationError) as refused:
        read_station(file)
    return refused.value


def test_three_roles_on_one_line_are_read(tmp_path: Path) -> None:
    file = tmp_path / "station.yaml"
    file.write_text(STATION)
    (station,) = read_station(file).stations
    assert "modbus (climate) and modbus (batteries) and modbus (chargers)" in station.driver.name


@pytest.mark.parametrize(
    ("change", "key", "said"),
    [
        (
            ("registers: bay-chargers", "registers: bay-batteries"),
            "chargers.registers",
            "is a map for batteries",
        ),
        (
            ("registers: bay-chargers", "registers: bay-batteries"),
            "chargers.registers",
            "mean 'bay-chargers'",
        ),
        (
            ("registers: bay-chargers", "registers: sht20"),
            "chargers.registers",
            "is a map for climate, not for",
        ),
        (("registers: pace-bms", "registers: sht20"), "batteries.registers", "are bay-batteries, pace-bms,"),
        (("registers: sht20", "registers: pace-bms"), "climate.registers", "is a map for batteries, not for"),
        (("registers: pace-bms", "registers: pace-bsm"), "batteries.registers", "did you mean 'pace-bms'?"),
        (("pace-bms, bays: 1-8", "pace-bms"), "batteries.bays", "is missing: which bays are read"),
        (("unit: 20", "unit: 20, bays: 3"), "climate.bays", "is for batteries and chargers; sht20 is for"),
        (("unit: 20", "unit: 20, max_age_s: 3"), "climate.max_age_s", "is for batteries and chargers"),
        (
            ("bay-chargers, bays: 1-8", "bay-chargers, bays: 1-8, silent: empty"),
            "chargers.silent",
            "is for a battery",
        ),
        (
            ("pace-bms, bays: 1-8", "pace-bms, bays: 1-8, unit: 241"),
            "batteries.unit",
            "bay 8 would be unit 248",
        ),
        (("pace-bms, bays: 1-8", "pace-bms, bays: 1-8, units_apart: 40"), "batteries.unit", "unit 281"),
        (("pace-bms, bays: 1-8", "pace-bms, bays: 8-1"), "batteries", "no range of bays"),
    ],
)
def test_a_mistake_is_named_by_its_key_with_what_would_be_right(
    tmp_path: Path, change: tuple[str, str], key: str, said: str
) -> None:
    error = refusal(tmp_path, *change)
    assert error.key == f"driver.{key}"
    assert said in str(error)


def test_a_layout_that_does_not_fit_a_device_is_refused(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    ours = Path(registers.__file__).with_name("bay-batteries.yaml").read_text()
    own.write_text(ours.replace("apart: 0x18", "apart: 0x4000"))
    error = refusal(tmp_path, "registers: pace-bms", "registers: own.yaml")
    assert error.key == "driver.batteries.bays"
    assert "behind the last register" in str(error)


@pytest.mark.parametrize(
    ("registers", "role"),
    [("sht20", Role.CLIMATE), ("pace-bms", Role.BATTERIES), ("hep-2300", Role.CHARGERS)],
)
def test_a_map_says_what_its_device_is_for(registers: str, role: Role) -> None:
    assert KIND.meant_for is not None
    bays = None if role is Role.CLIMATE else "1-4"
    settings = Settings(registers=NameOrFile(registers), tcp="host:502", bays=bays)
    assert KIND.meant_for(settings) == {role}
    assert KIND.bays(settings) == (() if bays is None else (1, 2, 3, 4))


def test_where_a_bay_is_read_is_said_for_people() -> None:
    settings = Settings(registers=NameOrFile("pace-bms"), tcp="host:502", bays="5-8", unit=11)
    assert KIND.where(settings, 7) == "host:502 unit 13"
    climate = Settings(registers=NameOrFile("sht20"), port=Path("/dev/ttyUSB0"))
    assert KIND.where(climate, None) == "/dev/ttyUSB0 unit 1"
