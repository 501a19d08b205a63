"""Look at certificate and key before a connection is tried: a TLS handshake that fails says little of the
reason.

A clock that no time source has set may stand anywhere: by such a clock nothing is refused, it is only said,
and the far side decides.
"""

import re
from pathlib import Path
from typing import Final

from evswap_edge.certificates import NoCertificate, Validity, validity
from evswap_edge.clock import TimeSource
from evswap_edge.pairs import Pair
from evswap_edge.transports import CredentialsError
from evswap_schema import Clock as ClockState
from evswap_schema import format_timestamp

_KEY: Final = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.+?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)
OBTAIN_ONE: Final = "obtain one with `evswap-edge provision` or `csr`"


def check_credentials(
    *, certificate_file: Path, key_file: Path, ca_file: Path | None, time: TimeSource
) -> str | None:
    """Raise ``CredentialsError`` when the files cannot work: missing, unreadable, something else, or out of
    their time. A replacement that was interrupted is finished first. Returns what would be such an error by a
    clock that has been set.

    Whether the two are a pair shows when the transport's own TLS takes them in.
    """
    _finish_replacement(Pair(certificate_file, key_file))
    return look_at_credentials(
        certificate_file=certificate_file, key_file=key_file, ca_file=ca_file, time=time
    )


def look_at_credentials(
    *, certificate_file: Path, key_file: Path, ca_file: Path | None, time: TimeSource
) -> str | None:
    """``check_credentials`` for whoever is not the station, and leaves a replacement to it."""
    times = certificate_validity(certificate_file)
    _check_key(key_file)
    if ca_file is not None:
        _check_authorities(ca_file)
    return _check_validity(certificate_file, times, time)


def _finish_replacement(pair: Pair) -> None:
    try:
        pair.finish_replacement()
    except OSError as error:
        problem = f"cannot take the place of the former certificate: {error.strerror}"
        raise CredentialsError(pair.successor.certificate_file, problem) from error


def certificate_validity(path: Path) -> Validity:
    """From when to when the certificate is valid. Raises ``CredentialsError``."""
    try:
        return validity(contents(path))
    except NoCertificate as error:
        raise CredentialsError(path, f"is no certificate (PEM): {error}") from error


def contents(path: Path) -> bytes:
    """What is in the file. Raises ``CredentialsError``."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CredentialsError(path, f"does not exist; {OBTAIN_ONE}") from None
    except OSError as error:
        raise CredentialsError(path, f"cannot be read: {error.strerror}") from error


def _check_authorities(path: Path) -> None:
    try:
        validity(contents(path))
    except NoCertificate as error:
        raise CredentialsError(path, f"is no CA certificate (PEM): {error}") from error


def _check_key(path: Path) -> None:
    """As far as it can be seen from outside."""
    found = _KEY.search(contents(path))
    if found is None:
        raise CredentialsError(path, "is no private key (PEM)")
    if b"ENCRYPTED" in found[0]:
        raise CredentialsError(path, "is protected by a password, which nobody could type in at a station")


def _check_validity(path: Path, times: Validity, time: TimeSource) -> str | None:
    now = time.now()
    if now > times.ends:
        fact, remedy = f"expired at {format_timestamp(times.ends)}", OBTAIN_ONE
    elif now < times.begins:
        fact, remedy = f"is not valid before {format_timestamp(times.begins)}", "check this machine's clock"
    else:
        return None
    if time.state() is ClockState.SYNCHRONIZED:
        raise CredentialsError(path, f"{fact}; {remedy}")
    return f"{path}: {fact}, by a clock that nothing has set yet; tries it all the same"
