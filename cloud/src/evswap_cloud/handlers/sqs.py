"""Between an SQS event and ingest: records in, the identifiers of those that failed out."""

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger

from evswap_cloud.acknowledge import Acknowledger
from evswap_cloud.envelope import from_milliseconds
from evswap_cloud.handlers.report import log_report, log_told
from evswap_cloud.ingest import Delivery, Ingest


def ingest_event(
    event: Mapping[str, Any], ingest: Ingest, acknowledger: Acknowledger, logger: Logger
) -> dict[str, Any]:
    """Process the records of ``event``; the answer is a partial batch response, so only what failed comes
    again. A station that could not be told what the cloud has is no failure of its records.
    """
    report = ingest.process(tuple(map(delivery_of, event["Records"])))
    log_report(report, len(event["Records"]), logger)
    log_told(acknowledger.acknowledge(report.receipts), logger)
    failed = dict.fromkeys(failure.record_id for failure in report.failures)
    return {"batchItemFailures": [{"itemIdentifier": record_id} for record_id in failed]}


def delivery_of(record: Mapping[str, Any]) -> Delivery:
    """A record of an SQS event."""
    return Delivery(
        record_id=record["messageId"],
        body=record["body"],
        sent_at=from_milliseconds(int(record["attributes"]["SentTimestamp"])),
    )
