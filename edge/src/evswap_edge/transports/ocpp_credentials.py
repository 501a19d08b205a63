"""What a station shows to its CSMS, as its files have it at the moment: they may be replaced at any time."""

import logging
import ssl
import stat
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from evswap_edge.clock import TimeSource
from evswap_edge.transports import CredentialsError
from evswap_edge.transports.credentials import check_credentials, contents
from evswap_edge.transports.dialling import tls_context, told
from evswap_edge.transports.ocpp import Settings
from evswap_schema import token_hash

SHORTEST_PASSWORD: Final = 16
LONGEST_PASSWORD: Final = 64
"""OCPP 2.1: ``SecurityCtrlr.BasicAuthPassword``."""

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shown:
    """``file`` is the one to look at when the CSMS refuses. ``password`` is None where a certificate, which
    ``tls`` holds, takes its place. ``hashed`` makes a customer's token into its keyed hash, where there is a
    key for that."""

    file: Path
    tls: ssl.SSLContext
    password: str | None = field(repr=False)
    hashed: Callable[[str], str] | None

    @classmethod
    def now(cls, settings: Settings, time: TimeSource) -> "Shown":
        """Raises ``CredentialsError``."""
        hashed = None if settings.token_key_file is None else _hasher(settings.token_key_file)
        match settings:
            case Settings(security_profile=2, password_file=Path() as file):
                return cls(file, _one_sided(settings.ca_file), _password(file), hashed)
            case Settings(security_profile=3, certificate_file=Path() as file, key_file=Path() as key_file):
                return cls(file, _mutual(file, key_file, settings.ca_file, time), None, hashed)
        raise AssertionError(settings)  # Settings makes sure of it

    def headers(self, station_id: str) -> dict[str, str]:
        """Of the request that opens the WebSocket. RFC 7617: the user is the station."""
        if self.password is None:
            return {}
        pair = b64encode(f"{station_id}:{self.password}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}


def _mutual(certificate_file: Path, key_file: Path, ca_file: Path | None, time: TimeSource) -> ssl.SSLContext:
    doubt = check_credentials(
        certificate_file=certificate_file, key_file=key_file, ca_file=ca_file, time=time
    )
    if doubt:
        _log.warning("%s", doubt)
    return tls_context(certificate_file=certificate_file, key_file=key_file, ca_file=ca_file)


def _one_sided(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except OSError as error:
        raise CredentialsError(ca_file or Path(), f"cannot be used: {told(error)}") from error


def _password(file: Path) -> str:
    text = _secret(file)
    if not SHORTEST_PASSWORD <= len(text) <= LONGEST_PASSWORD:
        problem = f"has to hold a password of {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters"
        raise CredentialsError(file, f"{problem}; this one has {len(text)}")
    return text


def _hasher(file: Path) -> Callable[[str], str]:
    try:
        key = bytes.fromhex(_secret(file))
        token_hash(key, "")
    except ValueError as error:
        raise CredentialsError(file, f"has to hold the network's key for tokens in hex: {error}") from error
    return lambda token: token_hash(key, token)


def _secret(file: Path) -> str:
    raw = contents(file)
    if stat.S_IMODE(file.stat().st_mode) & _OTHERS:
        raise CredentialsError(file, f"others may read it; chmod 600 {file}")
    try:
        return raw.decode().strip()
    except UnicodeDecodeError as error:
        raise CredentialsError(file, "is no text") from error
