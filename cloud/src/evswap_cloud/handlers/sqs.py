"""Between an SQS event and ingest: records in, the identifiers of those that failed out."""

from collections.abc import Mapping
from typing import Any, Protocol

from aws_lambda_powertools import Logger

from evswap_cloud.envelope import from_milliseconds
from evswap_cloud.errors import StoreError
from evswap_cloud.ingest import Delivery, Failure, Report
from evswap_cloud.quarantine import Quarantined


class Ingest(Protocol):
    """What processes a queue's records."""

    def process(self, deliveries: "tuple[Delivery, ...]") -> Report:
        """Bring them to the stores."""


def ingest_event(event: Mapping[str, Any], ingest: Ingest, logger: Logger) -> dict[str, Any]:
    """Process the records of ``event``; the answer is a partial batch response, so only what failed comes
    again.
    """
    report = ingest.process(tuple(map(_delivery, event["Records"])))
    for message in report.quarantined:
        _log_quarantined(message, logger)
    for failure in report.failures:
        _log_failure(failure, logger)
    logger.info(
        "batch processed",
        extra={
            "records": len(event["Records"]),
            "archived": report.archived,
            "repeated": report.repeated,
            "moved": report.moved,
            "quarantined": len(report.quarantined),
            "failed": len(report.failures),
        },
    )
    failed = dict.fromkeys(failure.record_id for failure in report.failures)
    return {"batchItemFailures": [{"itemIdentifier": record_id} for record_id in failed]}


def _delivery(record: Mapping[str, Any]) -> Delivery:
    return Delivery(
        record_id=record["messageId"],
        body=record["body"],
        sent_at=from_milliseconds(int(record["attributes"]["SentTimestamp"])),
    )


def _log_quarantined(message: Quarantined, logger: Logger) -> None:
    """The value stays in the quarantine, which has a retention and an erasure; logs have neither."""
    logger.warning(
        "message quarantined",
        extra={
            "reason": message.reason.value,
            "field": message.field,
            "topic": message.topic,
            "client_id": message.client_id,
            "quarantine_key": message.key,
        },
    )


def _log_failure(failure: Failure, logger: Logger) -> None:
    error = failure.error
    if isinstance(error, StoreError):
        detail = {"operation": error.operation, "target": error.target, "code": error.code}
        logger.warning("store failed, record will come again", extra={"record": failure.record_id, **detail})
    else:
        logger.error("record failed", exc_info=error, extra={"record": failure.record_id})
