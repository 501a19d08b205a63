"""May this station have the certificate that was just signed for it?"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from evswap_cloud.provisioning.public_key import InvalidCertificate, public_key_of
from evswap_cloud.provisioning.registry import Registry
from evswap_schema import STATION_ID_PATTERN
from evswap_schema.provisioning import STATION_ID_PARAMETER

_STATION_ID: Final = re.compile(STATION_ID_PATTERN)


class Why(StrEnum):
    """Why a station was refused. The values stand in logs: they do not change."""

    NO_STATION_ID = "no-station-id"
    INVALID_STATION_ID = "invalid-station-id"
    INVALID_CERTIFICATE = "invalid-certificate"
    NAME_IN_USE = "name-in-use"


class Allowed(Struct, frozen=True):
    """It may."""


class Refused(Struct, frozen=True):
    """It may not."""

    why: Why


Decision = Allowed | Refused


class Request(Struct, frozen=True, kw_only=True):
    """What AWS IoT tells the hook, as far as the decision needs it."""

    station_id: str | None
    certificate_pem: str

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> "Request":
        """The request in the event of payload version 2020-04-01."""
        parameters = event.get("parameters") or {}
        station_id = parameters.get(STATION_ID_PARAMETER)
        return cls(
            station_id=station_id if isinstance(station_id, str) else None,
            certificate_pem=str(event.get("certificatePem") or ""),
        )


def decide(request: Request, registry: Registry) -> Decision:
    """Look whether the name is one and free. Raises ``RegistryError`` when that cannot be found out."""
    if request.station_id is None:
        return Refused(Why.NO_STATION_ID)
    if not _STATION_ID.match(request.station_id):
        return Refused(Why.INVALID_STATION_ID)
    try:
        wanted = public_key_of(request.certificate_pem)
    except InvalidCertificate:
        return Refused(Why.INVALID_CERTIFICATE)
    in_use = registry.active_certificates(request.station_id)
    return Allowed() if all(_key(pem) == wanted for pem in in_use) else Refused(Why.NAME_IN_USE)


def _key(pem: str) -> bytes | None:
    """None, which equals no key, for a certificate that cannot be read: it is active all the same."""
    try:
        return public_key_of(pem)
    except InvalidCertificate:
        return None
