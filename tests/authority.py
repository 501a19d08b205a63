"""A certificate authority of the tests' own: what a station, a broker or a forger presents."""

import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

LOOPBACK = "127.0.0.1"

_SOON = timedelta(minutes=5)
_LATER = timedelta(hours=1)


class Authority:
    """Signs for whom it is asked to; `certificate` is the file that those who trust it need."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._key = new_key()
        self._name = common_name(name)
        self.certificate = folder / f"{name}.pem"
        self.certificate.write_bytes(self.sign(self._name, self._key.public_key(), ca=True))

    def sign(
        self,
        subject: x509.Name,
        key: EllipticCurvePublicKey,
        *,
        ca: bool = False,
        begins: datetime | None = None,
        ends: datetime | None = None,
    ) -> bytes:
        """A certificate in PEM for `key`; valid from five minutes ago for an hour, if not said otherwise."""
        now = datetime.now(UTC)
        loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))])
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins or now - _SOON)
            .not_valid_after(ends or now + _LATER)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(_usage(signs=ca), critical=True)
            .add_extension(authority_key, critical=False)
            .add_extension(loopback, critical=False)
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def revocation_list(self, certificates: Iterable[bytes]) -> bytes:
        """A revocation list in PEM that names these certificates (PEM), made now and good for an hour."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(now)
            .next_update(now + _LATER)
        )
        for certificate in certificates:
            serial_number = x509.load_pem_x509_certificate(certificate).serial_number
            revoked = (
                x509.RevokedCertificateBuilder().serial_number(serial_number).revocation_date(now - _SOON)
            )
            builder = builder.add_revoked_certificate(revoked.build())
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def sign_request(
        self, request: bytes, *, begins: datetime | None = None, ends: datetime | None = None
    ) -> bytes:
        """A certificate in PEM for what a PEM signing request asks for."""
        csr = x509.load_pem_x509_csr(request)
        key = csr.public_key()
        assert isinstance(key, EllipticCurvePublicKey)
        return self.sign(csr.subject, key, begins=begins, ends=ends)


def new_key() -> EllipticCurvePrivateKey:
    """A key of the kind that stations make."""
    return generate_private_key(SECP256R1())


def key_pem(key: EllipticCurvePrivateKey) -> bytes:
    """`key` as a file holds it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def common_name(text: str) -> x509.Name:
    """The subject with the common name `text`."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, signs: bool) -> x509.KeyUsage:
    # A strict verifier, as Python's own from 3.13 on, insists on it (RFC 5280, section 4.2.1.3).
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
