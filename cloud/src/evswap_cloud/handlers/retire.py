"""The function ``retire``: stations that have a new certificate, from the queue that their rule fills."""

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger

from evswap_cloud import wiring
from evswap_cloud.envelope import decode_envelope
from evswap_cloud.errors import InvalidEnvelope, RegistryError
from evswap_cloud.provisioning import InvalidNotice, Registry, retire_former


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001
    """Lambda's entry point: the answer names the records that have to come again."""
    registry, logger = wiring.registry(), wiring.logger("retire")
    failed = [record["messageId"] for record in event["Records"] if not _settled(record, registry, logger)]
    return {"batchItemFailures": [{"itemIdentifier": record_id} for record_id in failed]}


def _settled(record: Mapping[str, Any], registry: Registry, logger: Logger) -> bool:
    """False when the record has to come again."""
    try:
        retired = retire_former(decode_envelope(record["body"]), registry)
    except (InvalidEnvelope, InvalidNotice) as error:
        logger.warning("notice refused: %s", error)
        return True
    except RegistryError as error:
        told = {"operation": error.operation, "target": error.target, "code": error.code}
        logger.warning("registry failed, record will come again", extra=told)
        return False
    told = {"station_id": retired.station_id, "certificate_id": retired.certificate_id}
    logger.info("certificates revoked", extra={**told, "revoked": list(retired.revoked)})
    return True
