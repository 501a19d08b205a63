"""Applying the stack to the real local AWS."""

import gzip
import json
import shutil
import uuid
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from evswap_local.archive import count_archive, list_archive
from evswap_local.certificates import State, certificate_state, keep_certificates, renew_certificate
from evswap_local.clients import Clients
from evswap_local.errors import BadStack, CertificateUnusable
from evswap_local.stack.api import GATEWAY_RESPONSES, find_api
from evswap_local.stack.apply import apply_stack
from evswap_local.stack.change import Change, Outcome
from evswap_local.stack.functions import KEPT_VERSIONS
from evswap_local.stack.source import Source
from evswap_local.stack.things import policy_names
from tests.authority import Authority, common_name
from tests.local.real import ROOT

NOTHING = {"Effect": "Deny", "Action": "*", "Resource": "*"}
LAMBDA = ROOT / "requirements" / "lambda.txt"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "certificates"


def changed(changes: Iterator[Change]) -> set[tuple[str, str]]:
    return {(each.kind, each.name) for each in changes if each.outcome is not Outcome.UNCHANGED}


def test_the_second_time_changes_nothing(
    applied: list[Change], clients: Clients, source: Source, package: Path
) -> None:
    assert {change.outcome for change in applied if change.kind != "REST API"} == {Outcome.CREATED}
    again = list(apply_stack(clients, source, package))
    assert [change for change in again if change.outcome is not Outcome.UNCHANGED] == []
    assert [(change.kind, change.name) for change in again] == [
        (change.kind, change.name) for change in applied
    ]


def test_what_drifted_is_corrected_and_nothing_else(
    applied: list[Change], clients: Clients, source: Source, package: Path
) -> None:
    values = source.values
    clients.iam.put_role_policy(
        RoleName=f"{values.prefix}-live",
        PolicyName="evswap",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [NOTHING]}),
    )
    clients.iot.replace_topic_rule(
        ruleName="evswap_telemetry",
        topicRulePayload={"sql": "SELECT * FROM 'elsewhere'", "actions": [], "ruleDisabled": True},
    )
    clients.functions.update_function_configuration(FunctionName=f"{values.prefix}-api", Timeout=3)
    clients.dynamodb.update_time_to_live(
        TableName=values.events_table,
        TimeToLiveSpecification={"Enabled": False, "AttributeName": "expires_at"},
    )
    clients.functions.delete_function_event_invoke_config(
        FunctionName=f"{values.prefix}-change", Qualifier="live"
    )
    clients.functions.remove_permission(
        FunctionName=f"{values.prefix}-change", StatementId="rule", Qualifier="live"
    )
    api_id = find_api(clients, source.yaml("openapi.yaml")["info"]["title"])
    assert api_id is not None
    clients.apigateway.delete_gateway_response(restApiId=api_id, responseType="THROTTLED")
    assert changed(apply_stack(clients, source, package)) == {
        ("role", f"{values.prefix}-live"),
        ("rule", "evswap_telemetry"),
        ("function", f"{values.prefix}-api"),
        ("alias", f"{values.prefix}-api:live"),
        ("table", values.events_table),
        ("asynchronous calls", f"{values.prefix}-change"),
        ("permission", f"evswap_change to {values.prefix}-change"),
        ("gateway response", "THROTTLED"),
        ("stage", "dev"),
    }
    assert changed(apply_stack(clients, source, package)) == set()


@pytest.mark.release
def test_other_code_reaches_the_functions(
    applied: list[Change], clients: Clients, source: Source, package: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copy(package, tmp_path / "other.zip"))
    with zipfile.ZipFile(other, "a") as archive:
        archive.writestr("another_module.py", "")
    names = [function["name"] for function in source.yaml("functions.yaml")["functions"].values()]
    moved = {("function", name) for name in names} | {("alias", f"{name}:live") for name in names}
    assert changed(apply_stack(clients, source, other)) == moved
    assert changed(apply_stack(clients, source, package)) == moved
    for name in names:
        published = clients.functions.list_versions_by_function(FunctionName=name)["Versions"]
        assert len([one for one in published if one["Version"] != "$LATEST"]) == KEPT_VERSIONS


def test_gateway_responses_are_those_of_the_file(
    applied: list[Change], clients: Clients, source: Source
) -> None:
    wanted = source.yaml("openapi.yaml")[GATEWAY_RESPONSES]
    names = {change.name for change in applied if change.kind == "gateway response"}
    assert names == set(wanted)


def test_a_stack_that_lacks_a_part_is_named(
    clients: Clients, source: Source, package: Path, tmp_path: Path
) -> None:
    broken = Source(Path(shutil.copytree(source.folder, tmp_path / "stack")), source.values)
    (broken.folder / "rules.yaml").write_text("evswap_x: {sql_file: rules/none.sql}\n")
    with pytest.raises(BadStack, match="rules"):
        list(apply_stack(clients, broken, package))


def test_certificates_are_issued_once(
    applied: list[Change], clients: Clients, source: Source, folder: Path
) -> None:
    first = list(keep_certificates(clients, source, folder, ["once-01"]))
    certificate = (folder / "once-01.cert.pem").read_bytes()
    again = list(keep_certificates(clients, source, folder, ["once-01"]))
    assert [change.outcome for change in first + again] == [Outcome.CREATED, Outcome.UNCHANGED]
    assert (folder / "once-01.cert.pem").read_bytes() == certificate
    assert (folder / "once-01.key.pem").stat().st_mode & 0o777 == 0o600
    assert not (folder / "once-01.csr.pem").exists()
    [principal] = clients.iot.list_thing_principals(thingName="once-01")["principals"]
    policies = clients.iot.list_attached_policies(target=principal)["policies"]
    assert {policy["policyName"] for policy in policies} == set(policy_names(source))


def test_a_certificate_that_the_cloud_forgot_is_issued_again_for_the_same_key(
    applied: list[Change], clients: Clients, source: Source, folder: Path
) -> None:
    list(keep_certificates(clients, source, folder, ["forgotten-01"]))
    key = (folder / "forgotten-01.key.pem").read_bytes()
    [principal] = clients.iot.list_thing_principals(thingName="forgotten-01")["principals"]
    certificate_id = principal.rpartition("/")[2]
    clients.iot.detach_thing_principal(thingName="forgotten-01", principal=principal)
    clients.iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
    clients.iot.delete_certificate(certificateId=certificate_id, forceDelete=True)
    assert certificate_state(clients, folder, "forgotten-01") is State.MISSING
    list(keep_certificates(clients, source, folder, ["forgotten-01"]))
    assert certificate_state(clients, folder, "forgotten-01") is State.GOOD
    assert (folder / "forgotten-01.key.pem").read_bytes() == key


def test_a_revoked_certificate_is_replaced_on_request_only(
    applied: list[Change], clients: Clients, source: Source, folder: Path
) -> None:
    list(keep_certificates(clients, source, folder, ["revoked-01"]))
    [principal] = clients.iot.list_thing_principals(thingName="revoked-01")["principals"]
    clients.iot.update_certificate(certificateId=principal.rpartition("/")[2], newStatus="REVOKED")
    with pytest.raises(CertificateUnusable, match="evswap certificate renew revoked-01"):
        list(keep_certificates(clients, source, folder, ["revoked-01"]))
    renew_certificate(clients, source, folder, "revoked-01")
    assert certificate_state(clients, folder, "revoked-01") is State.GOOD
    assert principal not in clients.iot.list_thing_principals(thingName="revoked-01")["principals"]


def test_renewing_revokes_the_one_before(
    applied: list[Change], clients: Clients, source: Source, folder: Path
) -> None:
    list(keep_certificates(clients, source, folder, ["renewed-01"]))
    [before] = clients.iot.list_thing_principals(thingName="renewed-01")["principals"]
    renew_certificate(clients, source, folder, "renewed-01")
    described = clients.iot.describe_certificate(certificateId=before.rpartition("/")[2])
    assert described["certificateDescription"]["status"] == "REVOKED"


def test_an_expired_certificate_is_said(
    applied: list[Change], clients: Clients, source: Source, folder: Path
) -> None:
    list(keep_certificates(clients, source, folder, ["expired-01"]))
    make_expired(folder, "expired-01")
    with pytest.raises(CertificateUnusable, match="expired"):
        list(keep_certificates(clients, source, folder, ["expired-01"]))


@pytest.fixture
def bucket(clients: Clients) -> str:
    """A bucket such as the archive's, where nobody writes but the test: into the archive itself ingest may
    write, minutes later, what other tests have sent."""
    name = f"counted-{uuid.uuid4().hex}"
    clients.s3.create_bucket(Bucket=name)
    clients.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def test_the_archive_is_counted_by_identity(clients: Clients, bucket: str) -> None:
    lines = b"\n".join(reading(sequence) for sequence in (2, 3))
    for key, body in {
        "telemetry/a.json": reading(1),
        "telemetry/b.json": reading(2),
        "bulk/c.jsonl.gz": gzip.compress(lines),
    }.items():
        clients.s3.put_object(Bucket=bucket, Key=key, Body=body)
    clients.s3.put_object(Bucket=bucket, Key="telemetry/a.json", Body=reading(1))
    clients.s3.put_object(Bucket=bucket, Key="telemetry/x.json", Body=b"not a reading")
    assert count_archive(clients.s3, bucket).as_dict() == {
        "objects": 4,
        "versions": 5,
        "raw": 5,
        "distinct": 3,
        "duplicates": 2,
        "unreadable": 1,
    }


def test_the_archive_is_listed_by_station_and_time(clients: Clients, bucket: str) -> None:
    lines = b"\n".join(reading(sequence, of="listed-01") for sequence in (2, 3))
    for key, body in {
        "telemetry/l1.json": reading(1, of="listed-01"),
        "telemetry/l2.json": reading(2, of="listed-01"),
        "telemetry/l9.json": reading(9, of="listed-02"),
        "bulk/l.jsonl.gz": gzip.compress(lines),
        "telemetry/lx.json": b"not a reading",
    }.items():
        clients.s3.put_object(Bucket=bucket, Key=key, Body=body)

    def listed(since: datetime | None = None) -> list[int]:
        readings = list_archive(clients.s3, bucket, station="listed-01", since=since)
        return sorted(each.sequence or 0 for each in readings)

    assert listed() == [1, 2, 2, 3]
    assert listed(datetime(2026, 1, 15, 14, 23, 47, tzinfo=UTC)) == [2, 2, 3]
    assert listed(datetime.now(UTC) + timedelta(hours=1)) == []
    assert {each.station_id for each in list_archive(clients.s3, bucket)} == {"listed-01", "listed-02"}


def reading(sequence: int, *, of: str = "station-01") -> bytes:
    return json.dumps(
        {
            "station_id": of,
            "battery_available": 1,
            "battery_charging": 2,
            "temperature": 20.5,
            "humidity": 40,
            "status": "operational",
            "timestamp": f"2026-01-15T14:23:{45 + sequence}Z",
            "stream_id": "5a1f0c0e9d6b4a53a9f4f0c29e3a7b11",
            "sequence": sequence,
        }
    ).encode()


def make_expired(folder: Path, station_id: str) -> None:
    """Puts a certificate for the same key in place whose time is over."""
    key = load_pem_private_key((folder / f"{station_id}.key.pem").read_bytes(), password=None)
    assert isinstance(key, EllipticCurvePrivateKey)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    certificate = Authority(folder).sign(
        common_name(station_id), key.public_key(), begins=yesterday - timedelta(days=1), ends=yesterday
    )
    (folder / f"{station_id}.cert.pem").write_bytes(certificate)
