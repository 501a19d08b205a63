"""Look at certificate and key before a connection is tried: a TLS handshake that fails says little of the
reason."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from evswap_edge.clock import TimeSource
from evswap_edge.transports import CredentialsError
from evswap_schema import Clock as ClockState
from evswap_schema import format_timestamp

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

ParsedT = TypeVar("ParsedT")


def check_credentials(
    *, certificate_file: Path, key_file: Path, ca_file: Path | None, time: TimeSource
) -> None:
    """Raise ``CredentialsError`` when the files cannot work: missing, unreadable, not a pair, or out of
    their time."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificate, load_pem_x509_certificates

    certificate = _parse(certificate_file, load_pem_x509_certificate, what="certificate (PEM)")
    key = _parse(key_file, lambda pem: load_pem_private_key(pem, password=None), what="private key (PEM)")
    if ca_file is not None:
        _parse(ca_file, load_pem_x509_certificates, what="CA certificate (PEM)")
    if certificate.public_key() != key.public_key():
        raise CredentialsError(key_file, f"does not belong to the certificate {certificate_file}")
    _check_validity(certificate_file, certificate, time)


def _parse(path: Path, parse: Callable[[bytes], ParsedT], *, what: str) -> ParsedT:
    try:
        return parse(path.read_bytes())
    except FileNotFoundError:
        raise CredentialsError(
            path, "does not exist; obtain one with `evswap-edge provision` or `csr`"
        ) from None
    except OSError as error:
        raise CredentialsError(path, f"cannot be read: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise CredentialsError(path, f"is no {what}: {error}") from error


def _check_validity(path: Path, certificate: "Certificate", time: TimeSource) -> None:
    """A clock that was never set stands in the past: what has expired by it has expired, but it cannot tell
    that a certificate is not valid yet."""
    now = time.now()
    if now > certificate.not_valid_after_utc:
        expired = format_timestamp(certificate.not_valid_after_utc)
        raise CredentialsError(
            path, f"expired at {expired}; obtain another with `evswap-edge provision` or `csr`"
        )
    if now < certificate.not_valid_before_utc and time.state() is ClockState.SYNCHRONIZED:
        begins = format_timestamp(certificate.not_valid_before_utc)
        raise CredentialsError(path, f"is not valid before {begins}; check this machine's clock")
