"""The station's key, made where it stays, and the request (CSR) by which the cloud certifies it.

``cryptography`` is imported when a key is made or looked at, and not before.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

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
    """Write a CSR for the station's key and return its path; a key is made when there is none, and never
    replaced.

    The subject's common name is ``station_id``. Raises ``KeyFileError``.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import NameOID

    directory.mkdir(parents=True, exist_ok=True)
    key = _own_key(key_path(directory, station_id))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, station_id)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    path = request_path(directory, station_id)
    path.write_bytes(request.public_bytes(serialization.Encoding.PEM))
    return path


def _own_key(path: Path) -> "EllipticCurvePrivateKey":
    return _load_key(path) if path.exists() else _make_key(path)


def _make_key(path: Path) -> "EllipticCurvePrivateKey":
    """An EC key on P-256, readable by its owner alone from the first byte on."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
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
