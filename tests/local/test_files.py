"""Private files, and the credentials and descriptions that are kept in them."""

from pathlib import Path

import boto3
import pytest

from evswap_local.credentials import keep
from evswap_local.errors import NotRunning
from evswap_local.files import write_private
from evswap_local.settings import Reporting, Settings, SettingsFile
from evswap_local.stack_file import StackFile, StackFileAt


def test_a_private_file_is_replaced_whole_and_readable_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    path.chmod(0o644)
    write_private(path, "after")
    assert path.read_text() == "after"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_credentials_are_made_once_and_read_by_boto3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = keep(tmp_path / "credentials")
    assert keep(tmp_path / "credentials") == made
    assert keep(tmp_path / "others") != made
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    found = boto3.Session().get_credentials()
    assert found is not None
    assert (found.access_key, found.secret_key) == (made.access_key_id, made.secret_access_key)


def test_credentials_do_not_show_their_secret(tmp_path: Path) -> None:
    made = keep(tmp_path / "credentials")
    assert made.secret_access_key not in repr(made)


def test_settings_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = SettingsFile(tmp_path / "settings.json")
    assert file.read() is None
    settings = Settings(stations=25, reporting=Reporting.ON_CHANGE, interval_s=0.2)
    file.write(settings)
    assert file.read() == settings


def test_settings_of_another_version_count_as_none(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"stations": 3, "colour": "red"}')
    assert SettingsFile(tmp_path / "settings.json").read() is None


def test_a_station_keeps_its_name_however_many_there_are() -> None:
    ten, many = Settings(stations=10).station_ids(), Settings(stations=120).station_ids()
    assert ten == many[:10]
    assert ten[0] == "station-01"
    assert many[-1] == "station-120"


def test_stack_json_has_the_keys_that_others_read(tmp_path: Path) -> None:
    file = StackFileAt(tmp_path / "stack.json")
    with pytest.raises(NotRunning):
        file.read()
    names = StackFile.__struct_fields__
    assert set(names) == {
        *("api_url", "api_key", "dashboard_url", "mqtt_host", "mqtt_port", "ca_file", "aws_endpoint_url"),
        *("region", "archive_bucket", "stations_table", "certificates_dir", "visitor_station_id"),
        *("credentials_file", "claim_certificate", "claim_key", "provisioning_template"),
        *("live_url", "live_page_url"),
    }
