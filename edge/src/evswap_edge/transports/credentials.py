"""Look at certificate and key before a connection is tried: a TLS handshake that fails says little of the
reason.

OpenSSL looks at them as far as Python lets it. A clock that no time source has set may stand anywhere: by
such a clock nothing is refused, it is only said, and the far side decides.
"""

import logging
import ssl
from pathlib import Path
from typing import Final, NoReturn

from evswap_edge.certificates import NoCertificate, Validity, validity
from evswap_edge.clock import TimeSource
from evswap_edge.pairs import Pair
from evswap_edge.transports import CredentialsError
from evswap_schema import Clock as ClockState
from evswap_schema import format_timestamp

_NOT_A_PAIR: Final = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
"""What OpenSSL calls a key of another certificate, and one of another kind."""

OBTAIN_ONE: Final = "obtain one with `evswap-edge provision` or `csr`"

_log: Final = logging.getLogger(__name__)


def check_credentials(
    *, certificate_file: Path, key_file: Path, ca_file: Path | None, time: TimeSource
) -> None:
    """Raise ``CredentialsError`` when the files cannot work: missing, unreadable, not a pair, or out of
    their time. A replacement that was interrupted is finished first."""
    _finish_replacement(Pair(certificate_file, key_file))
    times = certificate_validity(certificate_file)
    _readable(key_file)
    if ca_file is not None:
        _check_authorities(ca_file)
    _check_pair(certificate_file, key_file)
    _check_validity(certificate_file, times, time)


def _finish_replacement(pair: Pair) -> None:
    try:
        pair.finish_replacement()
    except OSError as error:
        problem = f"cannot take the place of the former certificate: {error.strerror}"
        raise CredentialsError(pair.successor.certificate_file, problem) from error


def certificate_validity(path: Path) -> Validity:
    """From when to when the certificate is valid. Raises ``CredentialsError``."""
    try:
        return validity(_readable(path))
    except NoCertificate as error:
        raise CredentialsError(path, f"is no certificate (PEM): {error}") from error


def _readable(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CredentialsError(path, f"does not exist; {OBTAIN_ONE}") from None
    except OSError as error:
        raise CredentialsError(path, f"cannot be read: {error.strerror}") from error


def _check_authorities(path: Path) -> None:
    _readable(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise CredentialsError(path, f"is no CA certificate (PEM): {_told(error)}") from error


def _check_pair(certificate_file: Path, key_file: Path) -> None:
    """OpenSSL does not say which of the two it cannot read; with a certificate that it can, it is the key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=certificate_file)
    except ssl.SSLError as error:
        raise CredentialsError(certificate_file, f"is no certificate (PEM): {_told(error)}") from error
    try:
        context.load_cert_chain(certificate_file, key_file, password=_no_password)
    except ssl.SSLError as error:
        if error.reason in _NOT_A_PAIR:
            problem = f"does not belong to the certificate {certificate_file}"
            raise CredentialsError(key_file, problem) from error
        raise CredentialsError(key_file, f"is no private key (PEM): {_told(error)}") from error
    except _Encrypted as error:
        raise CredentialsError(
            key_file, "is protected by a password, which nobody could type in at a station"
        ) from error


class _Encrypted(Exception):
    """OpenSSL asks for a password."""


def _no_password() -> NoReturn:
    """Without this OpenSSL would ask on the terminal."""
    raise _Encrypted


def _told(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()


def _check_validity(path: Path, times: Validity, time: TimeSource) -> None:
    now = time.now()
    if now > times.ends:
        fact, remedy = f"expired at {format_timestamp(times.ends)}", OBTAIN_ONE
    elif now < times.begins:
        fact, remedy = f"is not valid before {format_timestamp(times.begins)}", "check this machine's clock"
    else:
        return
    if time.state() is ClockState.SYNCHRONIZED:
        raise CredentialsError(path, f"{fact}; {remedy}")
    _log.warning("%s: %s, by a clock that nothing has set yet; tries it all the same", path, fact)
