"""Keys that stay private, and certificates that are looked at before they are used."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from evswap_edge.keys import KeyFileError, certificate_path, key_path, request_certificate
from evswap_edge.testing import ManualTime
from evswap_edge.transports import CredentialsError
from evswap_edge.transports.credentials import check_credentials
from evswap_schema import Clock
from tests.authority import Authority

STATION = "station-01"
NOW = datetime(2026, 3, 1, 6, tzinfo=UTC)


def issue(folder: Path, *, begins: datetime = NOW, ends: datetime = NOW + timedelta(days=365)) -> None:
    """A key, and a certificate for it."""
    request = request_certificate(STATION, folder).read_bytes()
    certificate = Authority(folder).sign_request(request, begins=begins, ends=ends)
    certificate_path(folder, STATION).write_bytes(certificate)


def problem(folder: Path, *, time: ManualTime | None = None, ca_file: Path | None = None) -> CredentialsError:
    with pytest.raises(CredentialsError) as refused:
        check(folder, time=time, ca_file=ca_file)
    return refused.value


def check(folder: Path, *, time: ManualTime | None = None, ca_file: Path | None = None) -> None:
    check_credentials(
        certificate_file=certificate_path(folder, STATION),
        key_file=key_path(folder, STATION),
        ca_file=ca_file,
        time=time or ManualTime(now=NOW + timedelta(days=1)),
    )


def test_the_key_is_its_owners_alone_and_the_request_names_the_station(tmp_path: Path) -> None:
    request = x509.load_pem_x509_csr(request_certificate(STATION, tmp_path / "certs").read_bytes())
    key_file = tmp_path / "certs/station-01.key.pem"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert request.is_signature_valid
    assert request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == STATION
    key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert request.public_key() == key.public_key()


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    request_certificate(STATION, tmp_path)
    key = key_path(tmp_path, STATION).read_bytes()
    request = x509.load_pem_x509_csr(request_certificate(STATION, tmp_path).read_bytes())
    assert key_path(tmp_path, STATION).read_bytes() == key
    assert request.public_key() == serialization.load_pem_private_key(key, password=None).public_key()


@pytest.mark.parametrize("content", [b"", b"not a key", b"rsa"])
def test_a_file_that_holds_no_key_of_ours_is_left_alone(tmp_path: Path, content: bytes) -> None:
    if content == b"rsa":
        content = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    key_path(tmp_path, STATION).write_bytes(content)
    with pytest.raises(KeyFileError, match="move it away"):
        request_certificate(STATION, tmp_path)
    assert key_path(tmp_path, STATION).read_bytes() == content


def test_a_certificate_and_its_key_pass(tmp_path: Path) -> None:
    issue(tmp_path)
    check(tmp_path)
    check(tmp_path, ca_file=certificate_path(tmp_path, STATION))


@pytest.mark.parametrize("missing", [certificate_path, key_path])
def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path, missing: object) -> None:
    assert callable(missing)
    issue(tmp_path)
    path = missing(tmp_path, STATION)
    path.unlink()
    error = problem(tmp_path)
    assert error.path == path
    assert "does not exist; obtain one with `evswap-edge provision` or `csr`" in str(error)


def test_a_missing_ca_file_is_named(tmp_path: Path) -> None:
    issue(tmp_path)
    assert problem(tmp_path, ca_file=tmp_path / "ca.pem").path == tmp_path / "ca.pem"


@pytest.mark.parametrize("broken", [certificate_path, key_path])
def test_a_file_that_is_something_else_is_named(tmp_path: Path, broken: object) -> None:
    assert callable(broken)
    issue(tmp_path)
    broken(tmp_path, STATION).write_text("-----BEGIN NOTHING-----")
    error = problem(tmp_path)
    assert error.path == broken(tmp_path, STATION)
    assert "is no" in str(error)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    issue(tmp_path)
    key_path(tmp_path, STATION).unlink()
    key_path(tmp_path, STATION).mkdir()
    assert "cannot be read" in str(problem(tmp_path))


def test_a_key_of_another_certificate_is_found_out(tmp_path: Path) -> None:
    issue(tmp_path)
    other = tmp_path / "other"
    issue(other)
    key_path(tmp_path, STATION).write_bytes(key_path(other, STATION).read_bytes())
    assert "does not belong to the certificate" in str(problem(tmp_path))


@pytest.mark.parametrize("state", Clock)
def test_an_expired_certificate_is_refused_with_its_date(tmp_path: Path, state: Clock) -> None:
    issue(tmp_path, begins=NOW - timedelta(days=2), ends=NOW - timedelta(days=1))
    assert "expired at 2026-02-28T06:00:00Z" in str(problem(tmp_path, time=ManualTime(now=NOW, state=state)))


def test_a_certificate_of_the_future_is_refused_unless_it_is_the_clock_that_is_wrong(tmp_path: Path) -> None:
    issue(tmp_path)
    past = NOW - timedelta(days=20_000)
    assert "is not valid before" in str(problem(tmp_path, time=ManualTime(now=past)))
    check(tmp_path, time=ManualTime(now=past, state=Clock.ESTIMATED))
