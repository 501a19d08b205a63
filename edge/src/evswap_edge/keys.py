"""The station's key, made where it stays, and the request (CSR) by which the cloud certifies it.

``cryptography`` is imported when a key is made or looked at, and not before.
"""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from evswap_edge.certificates import validity
from evswap_edge.files import write_private

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey


class KeyFileError(Exception):
    """A key file cannot be made or used. ``path`` names it, ``problem`` says why and what to do."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")


def certificate_path(directory: Path, station_id: str) -> Path:
    """Where a station's certificate lies among those of others."""
    return directory / f"{station_id}.cert.pem"


def key_path(directory: Path, station_id: str) -> Path:
    """Where a station's private key lies among those of others."""
    return directory / f"{station_id}.key.pem"


def request_path(directory: Path, station_id: str) -> Path:
    """Where a station's certificate signing request is put."""
    return directory / f"{station_id}.csr.pem"


def request_certificate(station_id: str, directory: Path) -> Path:
    """Write a CSR for the station's key and return its path; see ``signing_request``."""
    request = signing_request(station_id, key_path(directory, station_id))
    path = request_path(directory, station_id)
    path.write_bytes(request)
    return path


def signing_request(station_id: str, key_file: Path) -> bytes:
    """A CSR for the station's key, in PEM; a key is made when there is none, and never replaced.

    The subject's common name is ``station_id``. Raises ``KeyFileError``.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import NameOID

    key = _own_key(key_file)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, station_id)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def certifies_key(certificate: bytes, key_file: Path) -> bool:
    """Whether ``certificate`` (PEM) is one for the key in ``key_file``. Raises ``KeyFileError``."""
    from cryptography import x509

    try:
        certified = x509.load_pem_x509_certificate(certificate).public_key()
    except ValueError:
        return False
    return certified == _load_key(key_file).public_key()


def has_certificate(station_id: str, directory: Path, *, now: datetime) -> bool:
    """Whether there is a certificate for the station's key that has not expired. Raises ``KeyFileError``."""
    path = certificate_path(directory, station_id)
    try:
        certificate = path.read_bytes()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise KeyFileError(path, f"cannot be read: {error.strerror}") from error
    key_file = key_path(directory, station_id)
    if not key_file.exists() or not certifies_key(certificate, key_file):
        return False
    return now <= validity(certificate).ends


def _own_key(path: Path) -> "EllipticCurvePrivateKey":
    return _load_key(path) if path.exists() else _make_key(path)


def _make_key(path: Path) -> "EllipticCurvePrivateKey":
    """An EC key on P-256. Of two processes that make one at once, both go on with the one that was first."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, pem, replace=False)
    except FileExistsError:
        return _load_key(path)
    except OSError as error:
        raise KeyFileError(path, f"cannot be written: {error.strerror}") from error
    return key


def _load_key(path: Path) -> "EllipticCurvePrivateKey":
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise KeyFileError(path, f"no usable private key ({error}); move it away to have one made") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyFileError(path, "is not an EC key; move it away to have one made")
    return key
