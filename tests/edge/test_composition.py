"""Which driver is for what: a station of several in one file, what is refused in it, what `check` says."""

import subprocess
import sys
from pathlib import Path

import pytest

from evswap_edge.config import read_station
from evswap_edge.drivers.composition import Composition, outline
from tests.edge.refused import refusal

SAFETY = "safety: {name: gpio, smoke: 5, bays: 1-2, doors: [6, 12]}"
STATION = """\
station_id: station-01
driver:
  climate: {name: sht3x}
  batteries:
    - {name: can, bays: 1-3, channel: can0, profile: evswap-bms}
    - {name: modbus, bays: [4], tcp: "plc:502", registers: bay-batteries}
  locks: {name: gpio, bays: 1-4, locks: [17, 18, 27, 22], feedback: [23, 24, 25, 4]}
  chargers:
    - {name: modbus, bays: 1-2, tcp: "plc:502", registers: bay-chargers, unit: 101}
    - {name: modbus, bays: 3-4, tcp: "plc:503", registers: bay-chargers}
  SAFETY
outbox: {path: outbox.sqlite}
transport: {name: memory}
""".replace("SAFETY", SAFETY)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "station.yaml"


def composition(file: Path, text: str = STATION) -> Composition:
    file.write_text(text)
    (station,) = read_station(file).stations
    assert isinstance(station.driver.settings, Composition)
    return station.driver.settings


def test_a_station_is_put_together_in_one_file(file: Path) -> None:
    station = composition(file)
    assert station.bays == (1, 2, 3, 4)
    assert [(str(part.role), part.name, part.bays) for part in station.parts] == [
        ("climate", "sht3x", ()),
        ("batteries", "can", (1, 2, 3)),
        ("batteries", "modbus", (4,)),
        ("locks", "gpio", (1, 2, 3, 4)),
        ("chargers", "modbus", (1, 2)),
        ("chargers", "modbus", (3, 4)),
        ("safety", "gpio", ()),
    ]


@pytest.mark.parametrize(
    ("change", "line", "key", "said"),
    [
        (
            ("bays: [4]", "bays: [3, 4]"),
            6,
            "driver.batteries[1]",
            "bay 3 already has its batteries from driver.batteries[0] (can)",
        ),
        (
            ("bays: [4]", "bays: [5]"),
            6,
            "driver.batteries[1]",
            "bay 4 has no driver, and there are bays up to 5",
        ),
        (("bays: 1-3", "bays: 1-3, bay: 4"), 5, "driver.batteries[0].bay", "did you mean 'bays'?"),
        (("bays: 1-3", "bays: 3-1"), 5, "driver.batteries[0]", "'3-1' is no range of bays"),
        (
            (
                "bays: 1-4, locks: [17, 18, 27, 22], feedback: [23, 24, 25, 4]",
                "bays: 1-3, locks: [17, 18, 27]",
            ),
            7,
            "driver.locks",
            "bay 4 has none, and bays 1-3 have",
        ),
        (
            ("bays: 3-4, tcp", "bays: 3-5, tcp"),
            10,
            "driver.chargers[1]",
            "bay 5 has no driver for its battery",
        ),
        (
            ("bays: 3-4, tcp", "bays: 2-4, tcp"),
            10,
            "driver.chargers[1]",
            "bay 2 already has its chargers from",
        ),
        (
            ("bays: 1-4, locks: [17, 18, 27, 22]", "bays: 1-4, locks: [17, 18, 27]"),
            7,
            "driver.locks.locks",
            "there are 3 pins for 4 bays",
        ),
        (
            ("smoke: 5", "smoke: 17"),
            11,
            "driver.safety.smoke",
            "GPIO17 is already used by driver.locks.locks[0]",
        ),
        (("smoke: 5", "smoke: 6"), 11, "driver.safety.smoke", "GPIO6 is already used by doors[0]"),
        (
            (SAFETY, "safety: {name: gpio, bays: 1, locks: [5]}"),
            11,
            "driver.safety",
            "these settings are for locks, and this is the driver for the safety",
        ),
        ((SAFETY, "safety: {name: gpio}"), 11, "driver.safety", "these settings are for nothing"),
        (
            ("climate: {name: sht3x}", "climate: [{name: sht3x}, {name: sht3x, address: 0x45}]"),
            3,
            "driver.climate[1]",
            "a station has one driver for the climate",
        ),
        (("climate: {name: sht3x}", "climate: []"), 3, "driver.climate", "has to be a driver, such as"),
        (
            ("climate: {name: sht3x}", "bays: {name: simulated, bays: 2}"),
            2,
            "driver.climate",
            "has to be a driver",
        ),
        (
            (SAFETY, "bays: {name: simulated, bays: 2}"),
            5,
            "driver.batteries[0]",
            "bay 1 already has everything from driver.bays (simulated)",
        ),
        (("safety:", "saftey:"), 11, "driver.saftey", "did you mean 'safety'?"),
    ],
)
def test_what_makes_no_station_is_refused_with_its_key_and_bay(
    file: Path, change: tuple[str, str], line: int, key: str, said: str
) -> None:
    assert change[0] in STATION
    error = refusal(file, STATION.replace(*change))
    assert (error.line, error.key) == (line, key)
    assert said in str(error)


def test_it_is_told_bay_by_bay_what_is_read_from_where(file: Path) -> None:
    told = list(outline(composition(file)))
    assert told[:2] == ["climate from sht3x (/dev/i2c-1 address 0x44)", "safety from gpio (smoke GPIO5)"]
    assert [line.partition(":")[0] for line in told[2:]] == ["bay 1", "bay 2", "bay 3", "bay 4"]
    assert "battery from can (can0)" in told[2]
    assert "lock from gpio (GPIO17, feedback GPIO23)" in told[2]
    assert "charge from modbus" in told[5]


def test_what_nobody_has_is_told_too(file: Path) -> None:
    text = "\n".join(line for line in STATION.splitlines() if "lock" not in line and "chargers" not in line)
    told = list(outline(composition(file, text)))
    assert told[2].endswith("lock unknown, and not to be opened; charge from the battery's own current")


def test_check_says_it_and_touches_nothing(file: Path) -> None:
    """There is neither a bus nor a pin on this machine, and no library for the pins."""
    file.write_text(STATION)
    done = subprocess.run(
        [sys.executable, "-m", "evswap_edge", "check", "--config", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "  climate from sht3x (/dev/i2c-1 address 0x44)" in done.stdout
    assert "  bay 4: battery from modbus" in done.stdout
    file.write_text(
        "station_id: s\ndriver: {name: simulated, bays: 8}\noutbox: {path: o}\ntransport: {name: memory}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "evswap_edge", "check", "--config", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "  bays 1-8: everything from simulated"
