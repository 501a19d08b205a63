"""Which certificates a station has, as AWS IoT's registry knows it."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from evswap_cloud.aws import error_code
from evswap_cloud.errors import RegistryError

if TYPE_CHECKING:
    from types_boto3_iot.client import IoTClient

_ACTIVE = "ACTIVE"


class Registry(Protocol):
    """What the decision needs to know."""

    def active_certificates(self, station_id: str) -> Iterable[str]:
        """The active certificates attached to the station's thing, in PEM; none when there is no such thing.

        Raises ``RegistryError``.
        """


class IotRegistry:
    """The registry of AWS IoT."""

    def __init__(self, iot: "IoTClient") -> None:
        self._iot = iot

    def active_certificates(self, station_id: str) -> Iterator[str]:
        for principal in self._principals(station_id):
            kind, _, certificate_id = principal.rpartition(":")[2].partition("/")
            if kind == "cert":
                found = self._describe(certificate_id)
                if found.get("status") == _ACTIVE:
                    yield str(found["certificatePem"])

    def _principals(self, station_id: str) -> list[str]:
        pages = self._iot.get_paginator("list_thing_principals").paginate(thingName=station_id)
        try:
            return [principal for page in pages for principal in page["principals"]]
        except self._iot.exceptions.ResourceNotFoundException:
            return []
        except (ClientError, BotoCoreError) as error:
            raise _not_read("list_thing_principals", station_id, error) from error

    def _describe(self, certificate_id: str) -> dict[str, Any]:
        """Empty for a certificate that was deleted in the meantime."""
        try:
            answer = self._iot.describe_certificate(certificateId=certificate_id)
        except self._iot.exceptions.ResourceNotFoundException:
            return {}
        except (ClientError, BotoCoreError) as error:
            raise _not_read("describe_certificate", certificate_id, error) from error
        return {**answer["certificateDescription"]}


def _not_read(operation: str, target: str, error: ClientError | BotoCoreError) -> RegistryError:
    return RegistryError(operation=operation, target=target, code=error_code(error))
