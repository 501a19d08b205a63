"""Which certificates a station has, as AWS IoT's registry knows it."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from evswap_cloud.aws import error_code
from evswap_cloud.errors import RegistryError

if TYPE_CHECKING:
    from types_boto3_iot.client import IoTClient

_ACTIVE: Final = "ACTIVE"
_REVOKED: Final = "REVOKED"


class Certificate(Struct, frozen=True, kw_only=True):
    """One that AWS IoT has signed or taken in."""

    certificate_id: str
    pem: str
    created_at: datetime


class Registry(Protocol):
    """What the decisions need to know, and to do."""

    def active_certificates(self, station_id: str) -> Iterable[Certificate]:
        """The active certificates attached to the station's thing; none when there is no such thing.

        Raises ``RegistryError``.
        """

    def revoke(self, certificate_id: str) -> None:
        """End a certificate for good; one that is gone already is no error. Raises ``RegistryError``."""


class IotRegistry:
    """The registry of AWS IoT."""

    def __init__(self, iot: "IoTClient") -> None:
        self._iot = iot

    def active_certificates(self, station_id: str) -> Iterator[Certificate]:
        for principal in self._principals(station_id):
            kind, _, certificate_id = principal.rpartition(":")[2].partition("/")
            if kind == "cert":
                found = self._describe(certificate_id)
                if found.get("status") == _ACTIVE:
                    yield Certificate(
                        certificate_id=certificate_id,
                        pem=str(found["certificatePem"]),
                        created_at=found["creationDate"],
                    )

    def revoke(self, certificate_id: str) -> None:
        try:
            self._iot.update_certificate(certificateId=certificate_id, newStatus=_REVOKED)
        except self._iot.exceptions.ResourceNotFoundException:
            return
        except (ClientError, BotoCoreError) as error:
            raise _failed("update_certificate", certificate_id, error) from error

    def _principals(self, station_id: str) -> list[str]:
        pages = self._iot.get_paginator("list_thing_principals").paginate(thingName=station_id)
        try:
            return [principal for page in pages for principal in page["principals"]]
        except self._iot.exceptions.ResourceNotFoundException:
            return []
        except (ClientError, BotoCoreError) as error:
            raise _failed("list_thing_principals", station_id, error) from error

    def _describe(self, certificate_id: str) -> dict[str, Any]:
        """Empty for a certificate that was deleted in the meantime."""
        try:
            answer = self._iot.describe_certificate(certificateId=certificate_id)
        except self._iot.exceptions.ResourceNotFoundException:
            return {}
        except (ClientError, BotoCoreError) as error:
            raise _failed("describe_certificate", certificate_id, error) from error
        return {**answer["certificateDescription"]}


def _failed(operation: str, target: str, error: ClientError | BotoCoreError) -> RegistryError:
    return RegistryError(operation=operation, target=target, code=error_code(error))
