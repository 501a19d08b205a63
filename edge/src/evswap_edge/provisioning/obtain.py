"""From nothing to a certificate: key, request, answer, registration, file."""

import logging
import secrets
import time
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from evswap_edge.backoff import Backoff
from evswap_edge.clock import TimeSource
from evswap_edge.files import write_private
from evswap_edge.keys import (
    KeyFileError,
    certificate_path,
    certifies_key,
    has_certificate,
    key_path,
    signing_request,
)
from evswap_edge.provisioning.claim import Claim, ClaimConnection
from evswap_edge.provisioning.errors import (
    NotOurCertificate,
    ProvisioningError,
    RequestRejected,
    StationRefused,
    TemplateUnusable,
)
from evswap_edge.transports.credentials import check_credentials
from evswap_schema import provisioning

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 20.0

_log: Final = logging.getLogger(__name__)


class Station(Struct, frozen=True, kw_only=True):
    """Who wants a certificate, and where key and certificate lie."""

    station_id: str
    directory: Path
    template: str


def keep_certificate(station: Station, claim: Claim, clock: TimeSource, *, within_s: float) -> bool:
    """See to it that the station has a certificate for its key; False when it had one already.

    What may pass is tried again, for ``within_s`` seconds. Raises ``ProvisioningError``, ``KeyFileError``,
    ``CredentialsError``.
    """
    if has_certificate(station.station_id, station.directory, now=clock.now()):
        return False
    check_credentials(
        certificate_file=claim.certificate_file,
        key_file=claim.key_file,
        ca_file=claim.ca_file,
        time=clock,
    )
    deadline = time.monotonic() + within_s
    backoff = Backoff(base_s=FIRST_WAIT_S, cap_s=LONGEST_WAIT_S)
    while True:
        try:
            obtain_certificate(station, claim)
        except ProvisioningError as error:
            wait_s = backoff.next_s()
            if not error.temporary or time.monotonic() + wait_s > deadline:
                raise
            _log.warning("%s; tries again in %.1f s", error, wait_s)
            time.sleep(wait_s)
        else:
            return True


def obtain_certificate(station: Station, claim: Claim) -> None:
    """One attempt. The certificate is written when it is registered, and not before."""
    key_file = key_path(station.directory, station.station_id)
    with ClaimConnection(claim, _client_id(station.station_id)) as link:
        certificate = registered_certificate(link, station.station_id, key_file, station.template)
    path = certificate_path(station.directory, station.station_id)
    try:
        write_private(path, certificate, replace=True)
    except OSError as error:
        raise KeyFileError(path, f"cannot be written: {error.strerror}") from error


def registered_certificate(link: ClaimConnection, station_id: str, key_file: Path, template: str) -> bytes:
    """A certificate for the key in ``key_file``, which is made when there is none, and registered as the
    station's. Raises ``ProvisioningError``, ``KeyFileError``."""
    certificate, token = _sign(link, signing_request(station_id, key_file))
    if not certifies_key(certificate, key_file):
        raise NotOurCertificate(station_id)
    _register(link, station_id, template, token)
    return certificate


def _client_id(station_id: str) -> str:
    """Different each time: one attempt must not push off another that the far side still holds."""
    return f"{provisioning.CLAIM_CLIENT_ID_PREFIX}{station_id}:{secrets.token_hex(4)}"


def _sign(link: ClaimConnection, request: bytes) -> tuple[bytes, str]:
    """The certificate, and the token that shows that it was asked for here."""
    topic = provisioning.CERTIFICATE_REQUEST_TOPIC
    answer = link.request(topic, {"certificateSigningRequest": request.decode("ascii")})
    certificate, token = answer.get("certificatePem"), answer.get("certificateOwnershipToken")
    if not isinstance(certificate, str) or not isinstance(token, str):
        raise RequestRejected(topic, "", "the answer has no certificate or no ownership token")
    return certificate.encode(), token


def _register(link: ClaimConnection, station_id: str, template: str, token: str) -> None:
    parameters = {provisioning.STATION_ID_PARAMETER: station_id}
    body: dict[str, Any] = {"certificateOwnershipToken": token, "parameters": parameters}
    try:
        answer = link.request(provisioning.registration_topic(template), body)
    except RequestRejected as error:
        raise _meaning(error, station_id, template) from error
    if answer.get("thingName") != station_id:
        made = answer.get("thingName")
        raise TemplateUnusable(template, f"it made the thing {made!r} of {station_id}")


def _meaning(error: RequestRejected, station_id: str, template: str) -> ProvisioningError:
    match error.code:
        case "AccessDenied":
            return StationRefused(station_id)
        case "InvalidTemplate" | "ResourceNotFoundException":
            return TemplateUnusable(template, error.message)
        case _:
            return error
