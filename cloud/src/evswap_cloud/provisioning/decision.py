"""May this station have the certificate that was just signed for it?"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from evswap_cloud.provisioning.public_key import InvalidCertificate, public_key_of
from evswap_cloud.provisioning.registry import Certificate, Registry
from evswap_schema import STATION_ID_PATTERN
from evswap_schema.provisioning import STATION_ID_PARAMETER

_STATION_ID: Final = re.compile(STATION_ID_PATTERN)


class Why(StrEnum):
    """Why a station was refused. The values stand in logs: they do not change."""

    NO_STATION_ID = "no-station-id"
    INVALID_STATION_ID = "invalid-station-id"
    INVALID_CERTIFICATE = "invalid-certificate"
    NAME_IN_USE = "name-in-use"
    NOT_ITS_OWN_NAME = "not-its-own-name"


class Allowed(Struct, frozen=True):
    """It may."""


class Refused(Struct, frozen=True):
    """It may not."""

    why: Why


Decision = Allowed | Refused


class Request(Struct, frozen=True, kw_only=True):
    """What AWS IoT tells the hook, as far as the decision needs it: for which name and key a certificate is
    asked, with which certificate and under which client id."""

    station_id: str | None
    certificate_pem: str
    presented_id: str
    client_id: str

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> "Request":
        """The request in the event of payload version 2020-04-01."""
        parameters = event.get("parameters") or {}
        station_id = parameters.get(STATION_ID_PARAMETER)
        return cls(
            station_id=station_id if isinstance(station_id, str) else None,
            certificate_pem=str(event.get("certificatePem") or ""),
            presented_id=str(event.get("claimCertificateId") or ""),
            client_id=str(event.get("clientId") or ""),
        )


def decide(request: Request, registry: Registry) -> Decision:
    """Look whether the name is one, and free or the asking station's own. Raises ``RegistryError`` when that
    cannot be found out."""
    if request.station_id is None:
        return Refused(Why.NO_STATION_ID)
    if not _STATION_ID.match(request.station_id):
        return Refused(Why.INVALID_STATION_ID)
    try:
        wanted = public_key_of(request.certificate_pem)
    except InvalidCertificate:
        return Refused(Why.INVALID_CERTIFICATE)
    active = tuple(registry.active_certificates(request.station_id))
    if _STATION_ID.match(request.client_id):
        return _renewal(request, active)
    return _first(wanted, active)


def _renewal(request: Request, active: Iterable[Certificate]) -> Decision:
    """A client id that a station can have is a station's: policies let nobody else connect under it. A
    station has its own certificate replaced, key and all, and never obtains one for another name."""
    own = request.client_id == request.station_id
    attached = any(certificate.certificate_id == request.presented_id for certificate in active)
    return Allowed() if own and attached else Refused(Why.NOT_ITS_OWN_NAME)


def _first(wanted: bytes, active: Iterable[Certificate]) -> Decision:
    """The claim serves whoever has no certificate yet, or has the key of the one that there is."""
    free = all(_key(certificate.pem) == wanted for certificate in active)
    return Allowed() if free else Refused(Why.NAME_IN_USE)


def _key(pem: str) -> bytes | None:
    """None, which equals no key, for a certificate that cannot be read: it is active all the same."""
    try:
        return public_key_of(pem)
    except InvalidCertificate:
        return None
