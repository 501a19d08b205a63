"""Keys that stay private, and certificates that are looked at before they are used."""

import contextlib
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from evswap_edge.certificates import NoCertificate, validity
from evswap_edge.keys import KeyFileError, certificate_path, key_path, request_certificate
from evswap_edge.testing import ManualTime
from evswap_edge.transports import CredentialsError, load_transport
from evswap_schema import Clock
from tests.authority import Authority, common_name, new_key

STATION = "station-01"
TRANSPORTS = ("aws-iot", "mqtt")
NOW = datetime(2026, 3, 1, 6, tzinfo=UTC)


def issue(folder: Path, *, begins: datetime = NOW, ends: datetime = NOW + timedelta(days=365)) -> None:
    """A key, and a certificate for it."""
    request = request_certificate(STATION, folder).read_bytes()
    certificate = Authority(folder).sign_request(request, begins=begins, ends=ends)
    certificate_path(folder, STATION).write_bytes(certificate)


def problem(folder: Path, *, time: ManualTime | None = None, ca_file: Path | None = None) -> CredentialsError:
    """What both transports with a certificate find fault with; it has to be the same file."""
    found = [fault(name, folder, time=time, ca_file=ca_file) for name in TRANSPORTS]
    assert len({error.path for error in found}) == 1
    return found[0]


def fault(name: str, folder: Path, *, time: ManualTime | None, ca_file: Path | None) -> CredentialsError:
    with pytest.raises(CredentialsError) as refused:
        check_by(name, folder, time=time, ca_file=ca_file)
    return refused.value


def check(folder: Path, *, time: ManualTime | None = None, ca_file: Path | None = None) -> None:
    for name in TRANSPORTS:
        check_by(name, folder, time=time, ca_file=ca_file)


def check_by(name: str, folder: Path, *, time: ManualTime | None, ca_file: Path | None) -> None:
    kind = load_transport(name)
    settings = kind.settings(
        host="h",
        certificate_file=certificate_path(folder, STATION),
        key_file=key_path(folder, STATION),
        ca_file=ca_file,
    )
    kind.check(settings, time or ManualTime(now=NOW + timedelta(days=1)))


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


def test_an_expired_certificate_is_refused_with_its_date_and_what_to_do(tmp_path: Path) -> None:
    issue(tmp_path, begins=NOW - timedelta(days=2), ends=NOW - timedelta(days=1))
    refused = str(problem(tmp_path, time=ManualTime(now=NOW)))
    assert "expired at 2026-02-28T06:00:00Z; obtain one with `evswap-edge provision`" in refused


def test_a_certificate_of_the_future_is_refused_with_its_date_and_what_to_do(tmp_path: Path) -> None:
    issue(tmp_path)
    refused = str(problem(tmp_path, time=ManualTime(now=NOW - timedelta(days=1))))
    assert "is not valid before 2026-03-01T06:00:00Z; check this machine's clock" in refused


@pytest.mark.parametrize(("days", "said"), [(-20_000, "is not valid before"), (20_000, "expired at")])
def test_by_a_clock_that_nothing_has_set_it_is_only_said(
    tmp_path: Path, days: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    issue(tmp_path)
    check(tmp_path, time=ManualTime(now=NOW + timedelta(days=days), state=Clock.ESTIMATED))
    assert [record.levelname for record in caplog.records] == ["WARNING"] * len(TRANSPORTS)
    assert all(said in record.message for record in caplog.records)


def test_a_key_of_another_kind_is_found_out(tmp_path: Path) -> None:
    issue(tmp_path)
    key_path(tmp_path, STATION).write_bytes(
        pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    )
    assert "does not belong to the certificate" in str(problem(tmp_path))


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    issue(tmp_path)
    protected = pem(new_key(), serialization.BestAvailableEncryption(b"secret"))
    key_path(tmp_path, STATION).write_bytes(protected)
    assert "is protected by a password" in str(problem(tmp_path))


def test_a_certificate_that_is_broken_behind_its_dates_is_named(tmp_path: Path) -> None:
    issue(tmp_path)
    path = certificate_path(tmp_path, STATION)
    der = x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(serialization.Encoding.DER)
    broken = der.replace(bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("0608aaaaaaaaaaaaaaaa"))
    assert broken != der
    path.write_text(ssl.DER_cert_to_PEM_cert(broken))
    assert problem(tmp_path).path in (path, key_path(tmp_path, STATION))


def test_a_ca_file_that_holds_none_is_named(tmp_path: Path) -> None:
    issue(tmp_path)
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text("nothing of the kind")
    error = problem(tmp_path, ca_file=ca_file)
    assert (error.path, "is no CA certificate (PEM)" in str(error)) == (ca_file, True)


# --- the dates ---

_KEY = new_key()
_DAY_0 = datetime(1950, 1, 1, tzinfo=UTC)
_TIMES = st.integers(0, 250_000_000_000).map(lambda seconds: _DAY_0 + timedelta(seconds=seconds))


def pem(key: PrivateKeyTypes, encryption: serialization.KeySerializationEncryption | None = None) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        encryption or serialization.NoEncryption(),
    )


def certificate(begins: datetime, ends: datetime, name: str, serial: int) -> bytes:
    subject = common_name(name)
    builder = x509.CertificateBuilder(subject, subject, _KEY.public_key(), serial, begins, ends)
    return builder.sign(_KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@given(
    times=st.tuples(_TIMES, _TIMES).map(sorted),
    name=st.text("abc Ä", min_size=1, max_size=64),
    serial=st.integers(1, 2**158),
)
def test_the_dates_are_those_that_the_library_reads(times: list[datetime], name: str, serial: int) -> None:
    begins, ends = times
    issued = certificate(begins, ends, name, serial)
    library = x509.load_pem_x509_certificate(issued)
    assert validity(b"a comment\n" + issued) == (library.not_valid_before_utc, library.not_valid_after_utc)


_DER = x509.load_pem_x509_certificate(certificate(NOW, NOW + timedelta(1), "x", 1)).public_bytes(
    serialization.Encoding.DER
)


@given(
    scribbles=st.dictionaries(st.integers(0, 120), st.integers(0, 255), max_size=4),
    kept=st.integers(0, len(_DER)),
)
def test_what_is_no_certificate_is_said_to_be_none(scribbles: dict[int, int], kept: int) -> None:
    """And nothing else is raised, whatever was cut off or scribbled over."""
    der = bytearray(_DER)
    for at, octet in scribbles.items():
        der[at] = octet
    with contextlib.suppress(NoCertificate):
        validity(ssl.DER_cert_to_PEM_cert(bytes(der[:kept])).encode())
    with pytest.raises(NoCertificate):
        validity(bytes(der[:kept]))
