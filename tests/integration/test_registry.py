"""What the pre-provisioning hook reads of AWS IoT's registry, with boto3."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from evswap_cloud.errors import RegistryError
from evswap_cloud.provisioning import IotRegistry


@pytest.fixture
def iot(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield boto3.client("iot", aws_access_key_id="a", aws_secret_access_key="b")


def attach(iot: Any, station_id: str, *, active: bool) -> str:
    made = iot.create_keys_and_certificate(setAsActive=active)
    iot.attach_thing_principal(thingName=station_id, principal=made["certificateArn"])
    pem: str = made["certificatePem"]
    return pem


def test_a_thing_that_does_not_exist_has_no_certificate(iot: Any) -> None:
    assert list(IotRegistry(iot).active_certificates("station-01")) == []


def test_the_active_certificates_of_the_thing_are_found_and_no_others(iot: Any) -> None:
    for name in ("station-01", "station-02"):
        iot.create_thing(thingName=name)
    active = attach(iot, "station-01", active=True)
    attach(iot, "station-01", active=False)
    attach(iot, "station-02", active=True)
    found = list(IotRegistry(iot).active_certificates("station-01"))
    assert [certificate.pem for certificate in found] == [active]
    assert found[0].created_at.tzinfo is not None


def test_a_certificate_is_revoked_and_one_that_is_gone_is_no_trouble(iot: Any) -> None:
    iot.create_thing(thingName="station-01")
    attach(iot, "station-01", active=True)
    registry = IotRegistry(iot)
    [found] = registry.active_certificates("station-01")
    registry.revoke(found.certificate_id)
    assert list(registry.active_certificates("station-01")) == []
    described = iot.describe_certificate(certificateId=found.certificate_id)["certificateDescription"]
    assert described["status"] == "REVOKED"
    registry.revoke("a" * 64)


def test_a_revocation_that_fails_is_said() -> None:
    client = boto3.client("iot", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(client) as stub:
        stub.add_client_error("update_certificate", "ThrottlingException")
        with pytest.raises(RegistryError) as caught:
            IotRegistry(client).revoke("a" * 64)
    assert (caught.value.operation, caught.value.code) == ("update_certificate", "ThrottlingException")


@pytest.mark.parametrize("operation", ["list_thing_principals", "describe_certificate"])
def test_a_registry_that_refuses_is_an_error_and_not_a_free_name(operation: str) -> None:
    client = boto3.client("iot", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(client) as stub:
        if operation == "describe_certificate":
            arn = f"arn:aws:iot:us-east-1:123456789012:cert/{'a' * 64}"
            stub.add_response("list_thing_principals", {"principals": [arn]})
        stub.add_client_error(operation, "AccessDeniedException")
        with pytest.raises(RegistryError) as caught:
            list(IotRegistry(client).active_certificates("station-01"))
    assert (caught.value.operation, caught.value.code) == (operation, "AccessDeniedException")
