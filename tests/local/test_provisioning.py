"""Fleet provisioning by claim on the real local AWS: what `evswap up` makes, and the station that uses it."""

import shutil
import zlib
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

from evswap_edge.__main__ import main
from evswap_edge.clock import SystemTime
from evswap_edge.keys import request_certificate
from evswap_edge.provisioning import ClaimRefused, NotReached, RequestRejected, StationRefused
from evswap_edge.provisioning.claim import Claim, ClaimConnection
from evswap_edge.provisioning.obtain import Station, keep_certificate
from evswap_hil.observers.mqtt import REFUSALS, ClientCertificate, Refused, connect
from evswap_local import emulator
from evswap_local.certificates import State, certificate_state, keep_certificates
from evswap_local.claim import NAME, claim_certificate, claim_key, keep_claim
from evswap_local.clients import Clients
from evswap_local.stack.change import Change, Outcome
from evswap_local.stack.provisioning import claim_policy_name, template_name
from evswap_local.stack.source import Source
from evswap_schema import provisioning
from tests.local.real import Emulator


@pytest.fixture(scope="module")
def ca(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fetch_ca(emulator, tmp_path_factory.mktemp("ca"))


def fetch_ca(running: Emulator, folder: Path) -> Path:
    path = folder / "ca.pem"
    emulator.fetch_trust_anchor(running.settings, path)
    return path


@pytest.fixture
def claim_folder(applied: list[Change], clients: Clients, source: Source, ca: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "claim"
    folder.mkdir()
    keep_claim(clients, source, folder, ca)
    return folder


@pytest.fixture
def claim(emulator: Emulator, claim_folder: Path) -> Claim:
    return Claim(
        host="127.0.0.1",
        port=emulator.settings.mqtt_port,
        certificate_file=claim_certificate(claim_folder),
        key_file=claim_key(claim_folder),
        ca_file=claim_folder / "ca.pem",
    )


@pytest.fixture
def station(tmp_path: Path, source: Source, request: pytest.FixtureRequest) -> Station:
    """One of a name that no other test has."""
    name = f"claimed-{zlib.crc32(request.node.name.encode()):08x}"
    return Station(station_id=name, directory=tmp_path / "device", template=template_name(source))


def obtain(station: Station, claim: Claim) -> bool:
    return keep_certificate(station, claim, SystemTime(), within_s=30)


def principals(clients: Clients, station: Station) -> list[str]:
    return clients.iot.list_thing_principals(thingName=station.station_id)["principals"]


# --- what evswap up makes ---


def test_the_claim_lies_apart_for_its_owner_alone(claim_folder: Path) -> None:
    assert {path.name for path in claim_folder.iterdir()} == {"claim.cert.pem", "claim.key.pem", "ca.pem"}
    assert {path.stat().st_mode & 0o777 for path in claim_folder.iterdir()} == {0o600}


def test_a_claim_has_the_claims_policy_and_no_thing(
    clients: Clients, source: Source, claim_folder: Path
) -> None:
    pem = claim_certificate(claim_folder).read_bytes()
    certificate_id = sha256(load_pem_x509_certificate(pem).public_bytes(Encoding.DER)).hexdigest()
    arn = clients.iot.describe_certificate(certificateId=certificate_id)["certificateDescription"][
        "certificateArn"
    ]
    policies = clients.iot.list_attached_policies(target=arn)["policies"]
    assert [policy["policyName"] for policy in policies] == [claim_policy_name(source)]
    assert clients.iot.list_principal_things(principal=arn)["things"] == []


def test_a_claim_that_works_is_kept(clients: Clients, source: Source, claim_folder: Path, ca: Path) -> None:
    before = claim_certificate(claim_folder).read_bytes()
    assert keep_claim(clients, source, claim_folder, ca).outcome is Outcome.UNCHANGED
    assert claim_certificate(claim_folder).read_bytes() == before


def revoke_all_claims(clients: Clients, source: Source) -> None:
    for target in clients.iot.list_targets_for_policy(policyName=claim_policy_name(source))["targets"]:
        clients.iot.update_certificate(certificateId=target.rpartition("/")[2], newStatus="REVOKED")


def test_a_revoked_claim_is_replaced_key_and_all(
    clients: Clients, source: Source, claim_folder: Path, claim: Claim, station: Station, ca: Path
) -> None:
    key = claim_key(claim_folder).read_bytes()
    revoke_all_claims(clients, source)
    with pytest.raises(NotReached):
        keep_certificate(station, claim, SystemTime(), within_s=0)
    assert keep_claim(clients, source, claim_folder, ca).outcome is Outcome.UPDATED
    assert claim_key(claim_folder).read_bytes() != key
    assert certificate_state(clients, claim_folder, NAME) is State.GOOD
    assert obtain(station, claim)


# --- the station ---


def test_a_new_station_obtains_a_certificate_that_works(
    clients: Clients, source: Source, emulator: Emulator, ca: Path, claim: Claim, station: Station
) -> None:
    assert obtain(station, claim)
    assert certificate_state(clients, station.directory, station.station_id) is State.GOOD
    thing = clients.iot.describe_thing(thingName=station.station_id)
    assert thing["thingTypeName"] == f"{source.values.prefix}-station"
    assert {path.stat().st_mode & 0o777 for path in station.directory.iterdir()} == {0o600}
    with connect_as(station, emulator, ca) as visitor:
        visitor.publish(f"ev/station/{station.station_id}/telemetry", b"{}")
        with pytest.raises(Refused):
            visitor.publish("ev/station/somebody-else/telemetry", b"{}")


def connect_as(station: Station, emulator: Emulator, ca: Path, client_id: str | None = None):
    name, folder = station.station_id, station.directory
    certificate = ClientCertificate(certificate=folder / f"{name}.cert.pem", key=folder / f"{name}.key.pem")
    port = emulator.settings.mqtt_port
    return connect("127.0.0.1", port, ca=ca, certificate=certificate, client_id=client_id or name)


def test_who_has_a_certificate_asks_nobody(claim: Claim, station: Station, claim_folder: Path) -> None:
    assert obtain(station, claim)
    before = (station.directory / f"{station.station_id}.cert.pem").read_bytes()
    shutil.rmtree(claim_folder)
    assert not obtain(station, claim)
    assert (station.directory / f"{station.station_id}.cert.pem").read_bytes() == before


def test_a_station_killed_before_it_kept_its_certificate_obtains_another_for_the_same_key(
    clients: Clients, claim: Claim, station: Station
) -> None:
    assert obtain(station, claim)
    key = (station.directory / f"{station.station_id}.key.pem").read_bytes()
    (station.directory / f"{station.station_id}.cert.pem").unlink()
    assert obtain(station, claim)
    assert (station.directory / f"{station.station_id}.key.pem").read_bytes() == key
    assert len(principals(clients, station)) == 2


def test_the_name_of_a_station_that_runs_cannot_be_taken_over(
    clients: Clients, claim: Claim, station: Station, tmp_path: Path
) -> None:
    assert obtain(station, claim)
    before = principals(clients, station)
    thief = Station(station_id=station.station_id, directory=tmp_path / "thief", template=station.template)
    with pytest.raises(StationRefused):
        obtain(thief, claim)
    assert [path.name for path in thief.directory.iterdir()] == [f"{station.station_id}.key.pem"]
    assert principals(clients, station) == before


def test_nor_that_of_a_station_that_was_registered_otherwise(
    clients: Clients, source: Source, claim: Claim, station: Station, tmp_path: Path
) -> None:
    list(keep_certificates(clients, source, tmp_path / "elsewhere", [station.station_id]))
    with pytest.raises(StationRefused):
        obtain(station, claim)


def test_the_name_is_free_again_when_its_certificate_is_revoked(
    clients: Clients, claim: Claim, station: Station, tmp_path: Path
) -> None:
    assert obtain(station, claim)
    [principal] = principals(clients, station)
    clients.iot.update_certificate(certificateId=principal.rpartition("/")[2], newStatus="REVOKED")
    successor = Station(station_id=station.station_id, directory=tmp_path / "new", template=station.template)
    assert obtain(successor, claim)


# --- what a claim cannot do ---


@pytest.fixture
def claimant(emulator: Emulator, claim_folder: Path, ca: Path) -> ClientCertificate:
    return ClientCertificate(certificate=claim_certificate(claim_folder), key=claim_key(claim_folder))


def test_a_claim_publishes_no_telemetry(
    emulator: Emulator, ca: Path, claimant: ClientCertificate, station: Station
) -> None:
    port = emulator.settings.mqtt_port
    with connect("127.0.0.1", port, ca=ca, certificate=claimant, client_id="claim:anybody") as link:
        for name in (station.station_id, "claim:anybody", "visitor"):
            with pytest.raises(Refused):
                link.publish(f"ev/station/{name}/telemetry", b"{}")


@pytest.mark.parametrize("client_id", ["visitor", "station-01", "claim", "anybody"])
def test_a_claim_connects_under_no_other_name(
    client_id: str, emulator: Emulator, ca: Path, claimant: ClientCertificate
) -> None:
    port = emulator.settings.mqtt_port
    with (
        pytest.raises(REFUSALS),
        connect("127.0.0.1", port, ca=ca, certificate=claimant, client_id=client_id),
    ):
        pass


def test_a_claim_serves_its_own_template_only(claim: Claim, station: Station) -> None:
    other = Station(station_id=station.station_id, directory=station.directory, template="another")
    with pytest.raises(ClaimRefused, match="another"):
        obtain(other, claim)


def test_what_is_no_request_is_rejected_and_answered(claim: Claim) -> None:
    with ClaimConnection(claim, "claim:scribbler") as link:
        for body in ({}, {"certificateSigningRequest": "scribble"}, {"certificateSigningRequest": 7}):
            with pytest.raises(RequestRejected, match="CSR"):
                link.request(provisioning.CERTIFICATE_REQUEST_TOPIC, body)
        with pytest.raises(RequestRejected, match="token"):
            link.request(
                provisioning.registration_topic(provisioning.TEMPLATE),
                {"certificateOwnershipToken": "made-up", "parameters": {"StationId": "a"}},
            )


def test_a_certificate_is_of_no_use_before_it_is_registered(
    emulator: Emulator, ca: Path, claim: Claim, station: Station
) -> None:
    station.directory.mkdir()
    request = request_certificate(station.station_id, station.directory)
    with ClaimConnection(claim, "claim:half-way") as link:
        answer = link.request(
            provisioning.CERTIFICATE_REQUEST_TOPIC,
            {"certificateSigningRequest": request.read_text(encoding="ascii")},
        )
    (station.directory / f"{station.station_id}.cert.pem").write_text(answer["certificatePem"])
    with pytest.raises(REFUSALS), connect_as(station, emulator, ca):
        pass


# --- the command ---


def test_the_command_obtains_a_certificate_once(
    claim: Claim, station: Station, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        *("provision", "--station-id", station.station_id, "--directory", str(station.directory)),
        *("--host", claim.host, "--port", str(claim.port), "--ca-file", str(claim.ca_file)),
        *("--claim-certificate", str(claim.certificate_file), "--claim-key", str(claim.key_file)),
        *("--template", station.template),
    ]
    assert main(command) == 0
    assert "obtained" in capsys.readouterr().out
    assert main(command) == 0
    assert "is there already" in capsys.readouterr().out
