import json

import pytest

from evswap_hil.stack import InvalidStackFile, NoStackFile, read_stack


@pytest.fixture
def described(tmp_path):
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    for station in ("station-02", "station-01", "visitor"):
        (certificates / f"{station}.cert.pem").touch()
        (certificates / f"{station}.key.pem").touch()
    return {
        "api_url": "http://127.0.0.1:4566/restapis/a/prod/_user_request_",
        "api_key": None,
        "dashboard_url": None,
        "mqtt_host": "127.0.0.1",
        "mqtt_port": 8883,
        "ca_file": str(tmp_path / "ca.pem"),
        "aws_endpoint_url": "http://127.0.0.1:4566",
        "region": "us-east-1",
        "archive_bucket": "archive",
        "stations_table": "stations",
        "certificates_dir": str(certificates),
        "visitor_station_id": "visitor",
        "credentials_file": str(tmp_path / "credentials"),
        "something_newer": 1,
    }


@pytest.fixture
def written(tmp_path, described):
    def write(**differently):
        file = tmp_path / "stack.json"
        file.write_text(json.dumps(described | differently))
        return file

    return write


def test_a_description_is_read_and_newer_keys_are_left_alone(written, tmp_path):
    stack = read_stack(written())
    assert stack.mqtt_port == 8883
    assert stack.ca_file == tmp_path / "ca.pem"
    assert stack.api_key is None


def test_the_stations_are_those_with_a_certificate_but_the_visitor(written):
    assert read_stack(written()).station_ids() == ["station-01", "station-02"]


def test_a_stations_certificate_lies_beside_its_key(written, tmp_path):
    files = read_stack(written()).certificate_of("visitor")
    assert files.certificate == tmp_path / "certificates" / "visitor.cert.pem"
    assert files.key == tmp_path / "certificates" / "visitor.key.pem"


def test_a_missing_file_says_how_to_get_one(tmp_path):
    with pytest.raises(NoStackFile, match="make up"):
        read_stack(tmp_path / "stack.json")


@pytest.mark.parametrize("value", ["8883", None, 1.5])
def test_a_wrong_value_names_its_key(written, value):
    with pytest.raises(InvalidStackFile, match="mqtt_port"):
        read_stack(written(mqtt_port=value))


def test_a_path_that_is_no_text_names_its_key(written):
    with pytest.raises(InvalidStackFile, match="ca_file"):
        read_stack(written(ca_file=7))


def test_text_that_is_not_json_is_refused(tmp_path):
    file = tmp_path / "stack.json"
    file.write_text("half a fi")
    with pytest.raises(InvalidStackFile):
        read_stack(file)


def test_a_folder_is_no_description(tmp_path):
    with pytest.raises(InvalidStackFile, match="not readable"):
        read_stack(tmp_path)
