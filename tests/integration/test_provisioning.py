"""The pre-provisioning hook: whose name is free, and who may have a second certificate for it. And which of
several certificates are revoked."""

import base64
import datetime
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from evswap_cloud import wiring
from evswap_cloud.errors import RegistryError
from evswap_cloud.handlers import provision
from evswap_cloud.handlers import retire as retire_handler
from evswap_cloud.provisioning import (
    Allowed,
    Certificate,
    InvalidCertificate,
    Refused,
    Request,
    Why,
    decide,
    public_key_of,
)
from tests.cloud.logs import Log

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def certificate(key: Key, name: str = "station-01") -> str:
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
        .decode()
    )


OURS, THEIRS = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


@dataclass
class FakeRegistry:
    """Which active certificates each station has; their ids are ``<station>/<number>``."""

    of: dict[str, list[str]] = field(default_factory=dict)
    created: dict[str, datetime.datetime] = field(default_factory=dict)
    revoked: list[str] = field(default_factory=list)

    def active_certificates(self, station_id: str) -> list[Certificate]:
        names = [f"{station_id}/{number}" for number in range(len(self.of.get(station_id, [])))]
        return [
            Certificate(certificate_id=name, pem=pem, created_at=self.created.get(name, LONG_AGO))
            for name, pem in zip(names, self.of.get(station_id, []), strict=True)
            if name not in self.revoked
        ]

    def revoke(self, certificate_id: str) -> None:
        self.revoked.append(certificate_id)


LONG_AGO = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
CLAIM = {"presented_id": "c" * 64, "client_id": "claim:station-01:0123"}


def request(station_id: str | None = "station-01", pem: str | None = None, **asked_by: str) -> Request:
    asking = {**CLAIM, **asked_by}
    return Request(station_id=station_id, certificate_pem=certificate(OURS) if pem is None else pem, **asking)


def test_a_free_name_is_given() -> None:
    taken = FakeRegistry({"station-02": [certificate(THEIRS)]})
    assert decide(request(), taken) == Allowed()


def test_the_name_of_a_running_station_is_not_given_to_another_key() -> None:
    taken = FakeRegistry({"station-01": [certificate(THEIRS)]})
    assert decide(request(), taken) == Refused(Why.NAME_IN_USE)


def test_a_station_that_was_interrupted_may_try_again_with_its_key() -> None:
    own = FakeRegistry({"station-01": [certificate(OURS), certificate(OURS)]})
    assert decide(request(), own) == Allowed()


def test_one_certificate_of_another_is_enough_to_refuse() -> None:
    mixed = FakeRegistry({"station-01": [certificate(OURS), certificate(THEIRS)]})
    assert decide(request(), mixed) == Refused(Why.NAME_IN_USE)


def test_an_active_certificate_that_cannot_be_read_keeps_its_name() -> None:
    assert decide(request(), FakeRegistry({"station-01": ["scribble"]})) == Refused(Why.NAME_IN_USE)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "#", "+", "station-01\n", "x" * 65, "claim:1", "é"])
def test_a_name_that_the_contract_does_not_know_is_refused(name: str) -> None:
    assert decide(request(name), FakeRegistry()) == Refused(Why.INVALID_STATION_ID)


def test_no_name_and_no_certificate_are_refused() -> None:
    assert decide(request(None), FakeRegistry()) == Refused(Why.NO_STATION_ID)
    assert decide(request(pem="scribble"), FakeRegistry()) == Refused(Why.INVALID_CERTIFICATE)


# --- a station that has its own replaced ---

RUNNING = FakeRegistry({"station-01": [certificate(THEIRS)], "station-02": [certificate(THEIRS)]})
ITSELF = {"presented_id": "station-01/0", "client_id": "station-01"}


def test_a_running_station_may_have_another_certificate_for_a_new_key() -> None:
    assert decide(request(**ITSELF), RUNNING) == Allowed()


@pytest.mark.parametrize(
    "asked_by",
    [
        {"presented_id": "station-02/0", "client_id": "station-02"},
        {"presented_id": "station-02/0", "client_id": "station-01"},
        {"presented_id": "", "client_id": "station-01"},
        {"presented_id": "c" * 64, "client_id": "station-01"},
        {"presented_id": "station-01/0", "client_id": "station-02"},
    ],
)
def test_nobody_else_may_in_its_name(asked_by: dict[str, str]) -> None:
    assert decide(request(**asked_by), RUNNING) == Refused(Why.NOT_ITS_OWN_NAME)


def test_a_station_s_certificate_that_was_revoked_obtains_none() -> None:
    revoked = FakeRegistry(RUNNING.of, revoked=["station-01/0"])
    assert decide(request(**ITSELF), revoked) == Refused(Why.NOT_ITS_OWN_NAME)


def test_a_station_obtains_no_second_name_that_is_free() -> None:
    assert decide(request("station-03", **ITSELF), RUNNING) == Refused(Why.NOT_ITS_OWN_NAME)


def test_a_claim_that_shows_a_station_s_certificate_still_takes_no_name() -> None:
    shown = {"presented_id": "station-01/0", "client_id": "claim:station-01:0123"}
    assert decide(request(**shown), RUNNING) == Refused(Why.NAME_IN_USE)


@pytest.mark.parametrize("event", [{}, {"parameters": None}, {"parameters": {"StationId": 7}}])
def test_an_event_without_a_name_asks_for_none(event: dict[str, Any]) -> None:
    assert Request.of(event).station_id is None


@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA"])
def test_the_public_key_is_that_of_the_certificate(kind: str) -> None:
    keys: dict[str, Key] = {
        "P-256": OURS,
        "P-384": ec.generate_private_key(ec.SECP384R1()),
        "RSA": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    }
    info = keys[kind].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert public_key_of(certificate(keys[kind])) == info


@given(cut=st.integers(0, 400), change=st.integers(0, 400), byte=st.integers(0, 255))
def test_whatever_is_no_certificate_is_said_to_be_none(cut: int, change: int, byte: int) -> None:
    der = bytearray(x509.load_pem_x509_certificate(certificate(OURS).encode()).public_bytes(Encoding.DER))
    der[change % len(der)] = byte
    import ssl

    try:
        found = public_key_of(ssl.DER_cert_to_PEM_cert(bytes(der[: len(der) - cut % len(der)])))
    except InvalidCertificate:
        return
    assert isinstance(found, bytes)


# --- the handler ---


def event(pem: str) -> dict[str, Any]:
    """As AWS IoT sends it, payload version 2020-04-01."""
    return {
        "claimCertificateId": "c" * 64,
        "certificateId": "d" * 64,
        "certificatePem": pem,
        "templateArn": "arn:aws:iot:us-east-1:123456789012:provisioningtemplate/evswap-station",
        "clientId": "claim:station-01:0123",
        "parameters": {"StationId": "station-01"},
    }


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    made = Log()
    monkeypatch.setattr(wiring, "logger", lambda _: made.logger)
    return made


def test_the_hook_answers_and_leaves_a_line_for_the_auditor(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "registry", FakeRegistry)
    assert provision.handler(event(certificate(OURS)), None) == {"allowProvisioning": True}
    taken = FakeRegistry({"station-01": [certificate(THEIRS)]})
    monkeypatch.setattr(wiring, "registry", lambda: taken)
    assert provision.handler(event(certificate(OURS)), None) == {"allowProvisioning": False}
    assert [line["level"] for line in log.lines] == ["INFO", "WARNING"]
    assert "name-in-use" in log.lines[1]["message"]
    for line in log.lines:
        assert (line["station_id"], line["certificate_id"]) == ("station-01", "d" * 64)
        assert line["claim_certificate_id"] == "c" * 64


def test_a_registry_that_cannot_be_read_allows_nothing(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def active_certificates(self, station_id: str) -> list[Certificate]:
            raise RegistryError(operation="list_thing_principals", target=station_id, code="Throttling")

    monkeypatch.setattr(wiring, "registry", Broken)
    with pytest.raises(RegistryError):
        provision.handler(event(certificate(OURS)), None)


# --- the certificates before ---


def moment(day: int) -> datetime.datetime:
    return LONG_AGO + datetime.timedelta(days=day)


def notice(**changes: Any) -> dict[str, Any]:
    """As the rule puts it into the queue."""
    told = {
        "payload": base64.b64encode(b"{}").decode(),
        "topic": "ev/station/station-01/certificate",
        "station_id": "station-01",
        "client_id": "station-01",
        "principal": "station-01/1",
        "received_at": 1_800_000_000_000,
    }
    return {"messageId": "m-1", "body": json.dumps(told | changes)}


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    """Three certificates of one station, from the oldest to the newest, and one of another."""
    of = {"station-01": ["a", "b", "c"], "station-02": ["d"]}
    created = {f"station-01/{number}": moment(number) for number in range(3)}
    made = FakeRegistry(of, created)
    monkeypatch.setattr(wiring, "registry", lambda: made)
    return made


def retire(*records: dict[str, Any]) -> Any:
    return retire_handler.handler({"Records": list(records)}, None)


def test_the_certificates_before_the_one_it_works_with_are_revoked_and_no_newer_one(
    log: Log, three: FakeRegistry
) -> None:
    assert retire(notice()) == {"batchItemFailures": []}
    assert three.revoked == ["station-01/0"]
    assert log.lines[0]["revoked"] == ["station-01/0"]


def test_a_notice_that_comes_late_and_twice_does_no_harm(log: Log, three: FakeRegistry) -> None:
    retire(notice(principal="station-01/2"))
    assert three.revoked == ["station-01/0", "station-01/1"]
    retire(notice(principal="station-01/2"), notice(principal="station-01/1"))
    assert three.revoked == ["station-01/0", "station-01/1"]


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "station-02"},
        {"client_id": None},
        {"principal": None},
        {"principal": "station-02/0"},
        {"station_id": "station-02", "client_id": "station-02"},
        {"payload": 7},
    ],
)
def test_a_notice_by_anybody_else_is_refused_said_and_not_repeated(
    changes: dict[str, Any], log: Log, three: FakeRegistry
) -> None:
    assert retire(notice(**changes)) == {"batchItemFailures": []}
    assert three.revoked == []
    assert [line["level"] for line in log.lines] == ["WARNING"]


def test_a_notice_comes_again_when_the_registry_fails_and_only_that_one(
    log: Log, three: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(certificate_id: str) -> None:
        raise RegistryError(operation="update_certificate", target=certificate_id, code="Throttling")

    monkeypatch.setattr(three, "revoke", broken)
    refused = notice(client_id="station-02") | {"messageId": "m-2"}
    assert retire(notice(), refused) == {"batchItemFailures": [{"itemIdentifier": "m-1"}]}
    assert log.lines[0]["code"] == "Throttling"
