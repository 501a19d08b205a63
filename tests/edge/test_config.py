"""Configuration: what is wrong is named by file, line, key and the nearest valid name."""

from pathlib import Path

import pytest

from evswap_edge.config import describe, read_any, read_fleet, read_station
from evswap_edge.documents import ConfigurationError
from evswap_edge.reporting import Mode
from evswap_schema import Location
from tests.edge.refused import refusal

STATION = """\
station_id: station-01
driver: {name: simulated, bays: 12}
outbox: {path: data/outbox.sqlite}
sampling:
  interval_s: 0.2
reporting: {mode: on-change}
transport:
  name: aws-iot
  host: 127.0.0.1
  certificate_file: certs/station-01.cert.pem
  key_file: /etc/evswap/station-01.key.pem
"""
FLEET = """\
stations: {prefix: station-, count: 10}
certificates_dir: certs
data_dir: data
driver: {name: simulated}
transport: {name: aws-iot, host: 127.0.0.1, port: 8884}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "station.yaml"


def test_a_station_is_read_with_its_defaults_and_paths_relative_to_the_file(file: Path) -> None:
    file.write_text(STATION)
    (station,) = read_station(file).stations
    assert (station.station_id, station.driver.name, station.driver.settings.bays) == (
        "station-01",
        "simulated",
        12,
    )
    assert station.outbox_path == file.parent / "data/outbox.sqlite"
    assert station.transport.settings.certificate_file == file.parent / "certs/station-01.cert.pem"
    assert station.transport.settings.key_file == Path("/etc/evswap/station-01.key.pem")
    assert (station.sampling.interval_s, station.reporting.mode) == (0.2, Mode.ON_CHANGE)
    assert (station.reporting.batch_age_s, station.publishing.window) == (60.0, 20)
    assert "station-01: a sample of the driver simulated every 0.2 s, on-change over aws-iot" in describe(
        station
    )


def test_a_fleet_is_its_stations_each_with_its_own_files(file: Path) -> None:
    file.write_text(FLEET)
    stations = read_fleet(file).stations
    assert [station.station_id for station in stations] == [f"station-{n:02}" for n in range(1, 11)]
    last = stations[-1]
    assert last.outbox_path == file.parent / "data/station-10/outbox.sqlite"
    assert last.transport.settings.certificate_file == file.parent / "certs/station-10.cert.pem"
    assert last.transport.settings.key_file == file.parent / "certs/station-10.key.pem"
    assert last.transport.settings.port == 8884
    assert last.reporting.mode is Mode.ON_CHANGE


def test_a_fleet_may_name_its_stations(file: Path) -> None:
    file.write_text(FLEET.replace("{prefix: station-, count: 10}", "[north, south]"))
    assert [station.station_id for station in read_any(file).stations] == ["north", "south"]


def test_a_station_may_be_told_where_it_stands(file: Path) -> None:
    file.write_text(STATION)
    assert read_station(file).stations[0].location is None
    file.write_text(STATION + "location: {latitude: 52.52, longitude: 13.405}\n")
    assert read_station(file).stations[0].location == Location(latitude=52.52, longitude=13.405)
    error = refusal(file, STATION + "location: {latitude: 91, longitude: 13.405}\n")
    assert error.key == "location.latitude"


def test_a_fleets_stations_stand_all_over_its_area_and_each_stays_where_it_is(file: Path) -> None:
    file.write_text(FLEET + "area: {latitude: 52.52, longitude: 13.405, across_km: 20}\n")
    stood = [station.location for station in read_fleet(file).stations]
    assert stood == [station.location for station in read_fleet(file).stations]
    assert len({(there.latitude, there.longitude) for there in stood if there}) == 10
    assert all(there and abs(there.latitude - 52.52) <= 0.09 for there in stood)
    assert all(there and abs(there.longitude - 13.405) <= 0.148 for there in stood)


@pytest.mark.parametrize(
    ("change", "line", "key", "nearest"),
    [
        (("interval_s: 0.2", "intervall_s: 0.2"), 5, "sampling.intervall_s", "interval_s"),
        (("sampling:", "smapling:"), 4, "smapling", "sampling"),
        (("bays: 12", "bay: 12"), 2, "driver.bay", "bays"),
        (("  host:", "  hots:"), 9, "transport.hots", "host"),
        (("{mode: on-change}", "{mode: on-change, age: 5}"), 6, "reporting.age", None),
    ],
)
def test_an_unknown_key_is_named_with_its_line_and_the_nearest_valid_one(
    file: Path, change: tuple[str, str], line: int, key: str, nearest: str | None
) -> None:
    error = refusal(file, STATION.replace(*change))
    assert (error.line, error.key, error.nearest) == (line, key, nearest)
    assert f"{file}:{line}: {key}: unknown key" in str(error)
    assert nearest is None or f"did you mean {nearest!r}?" in str(error)


@pytest.mark.parametrize(
    ("change", "line", "key", "rule"),
    [
        (
            ("interval_s: 0.2", "interval_s: soon"),
            5,
            "sampling.interval_s",
            "expected float, got str; found 'soon'",
        ),
        (("interval_s: 0.2", "interval_s: 0.001"), 5, "sampling.interval_s", ">= 0.005; found 0.001"),
        (("{mode: on-change}", "{mode: batch}"), 6, "reporting.mode", "invalid enum value 'batch'"),
        (("bays: 12", "bays: 0"), 2, "driver.bays", ">= 1; found 0"),
        (("bays: 12", "bays: yes"), 2, "driver.bays", "expected int, got bool"),
        (("station_id: station-01", "station_id: station/01"), 1, "station_id", "station/01"),
        (("station_id: station-01", "station_id: 7"), 1, "station_id", "expected str, got int; found 7"),
        (("name: simulated", "name: simulatd"), 2, "driver.name", "did you mean 'simulated'?"),
        (("name: aws-iot", "name: aws_iot"), 8, "transport.name", "did you mean 'aws-iot'?"),
        (("  name: aws-iot\n", ""), 7, "transport.name", "has to be the name of a transport"),
        (("  host: 127.0.0.1\n", ""), 7, "transport.host", "is missing"),
        (("station_id: station-01\n", ""), 1, "station_id", "is missing"),
        (("{path: data/outbox.sqlite}", "{path: 5}"), 3, "outbox.path", "expected a path, got int"),
        (("{path: data/outbox.sqlite}", "outbox"), 3, "outbox", "expected object, got str"),
    ],
)
def test_a_wrong_value_is_named_with_its_line_and_what_would_be_right(
    file: Path, change: tuple[str, str], line: int, key: str, rule: str
) -> None:
    error = refusal(file, STATION.replace(*change))
    assert (error.line, error.key) == (line, key)
    assert rule in str(error)


def test_a_key_that_stands_twice_is_refused_with_both_lines(file: Path) -> None:
    error = refusal(file, STATION + "sampling: {interval_s: 9}\n")
    assert (error.line, error.key) == (12, "sampling")
    assert "first on line 4" in str(error)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("station_id: [unclosed", "is no valid YAML"),
        ("a: &x [*x]", "cannot stand inside itself"),
        ("- just\n- a list", "expected object, got array"),
        ("", "is missing"),
        ("station_id: \x07", "is no valid YAML: unacceptable character"),
        ("!!python/object:os.system {}", "is missing"),
    ],
)
def test_what_is_no_configuration_at_all_is_one_sentence(file: Path, text: str, said: str) -> None:
    error = str(refusal(file, text))
    assert str(file) in error
    assert said in error
    assert "\n" not in error


def test_a_file_that_is_not_there_or_not_text(file: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        read_station(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        read_station(file)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_station(file.parent)


@pytest.mark.parametrize(
    ("change", "key", "said"),
    [
        (("{prefix: station-, count: 10}", "[a, b, a]"), "stations[2]", "a second time"),
        (
            ("{prefix: station-, count: 10}", "{prefx: s, count: 1}"),
            "stations.prefx",
            "did you mean 'prefix'?",
        ),
        (("{prefix: station-, count: 10}", "{prefix: a/b, count: 1}"), "stations.prefix", "a/b"),
        (("{prefix: station-, count: 10}", "[]"), "stations", "length >= 1"),
        (("port: 8884", "key_file: a.pem"), "transport.key_file", "is told by certificates_dir"),
    ],
)
def test_a_fleets_own_mistakes(file: Path, change: tuple[str, str], key: str, said: str) -> None:
    error = refusal(file, FLEET.replace(*change))
    assert error.key == key
    assert said in str(error)


def test_bounds_that_contradict_each_other(file: Path) -> None:
    error = refusal(file, STATION + "publishing: {retry_min_s: 5, retry_max_s: 1}\n")
    assert (error.line, error.key) == (12, "publishing")
    assert "retry_max_s has to be at least retry_min_s" in str(error)


@pytest.mark.parametrize("characters", [48, 49])
def test_a_station_of_a_csms_has_an_id_that_ocpp_takes(tmp_path: Path, characters: int) -> None:
    name = "s" * characters
    ocpp = "transport: {name: ocpp, url: 'wss://csms.example.org/ocpp', password_file: p}\n"
    one = tmp_path / "station.yaml"
    one.write_text(
        f"station_id: {name}\ndriver: {{name: simulated}}\noutbox: {{path: outbox.sqlite}}\n{ocpp}"
    )
    several = tmp_path / "fleet.yaml"
    several.write_text(
        f"stations: [station-01, {name}]\ndriver: {{name: simulated}}\n"
        f"data_dir: data\ncertificates_dir: certs\n"
        "transport: {name: ocpp, url: 'wss://csms.example.org/ocpp'}\n"
    )
    if characters == 48:
        assert read_any(one).stations[0].station_id == read_any(several).stations[1].station_id == name
        return
    for file, key in ((one, "station_id"), (several, "stations[1]")):
        with pytest.raises(ConfigurationError, match="48 at most") as caught:
            read_any(file)
        assert caught.value.key == key
