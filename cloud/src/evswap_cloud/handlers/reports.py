"""The function ``reports``: what stations say of commands, from the queue that two rules fill."""

from typing import Any

from evswap_cloud import wiring
from evswap_cloud.handlers.report import log_failure, log_quarantined
from evswap_cloud.handlers.sqs import delivery_of


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001
    """Lambda's entry point: the answer names the records that have to come again."""
    logger = wiring.logger("reports")
    heard = wiring.command_reports().process(tuple(map(delivery_of, event["Records"])))
    for message in heard.quarantined:
        log_quarantined(message, logger)
    for failure in heard.failures:
        log_failure(failure, logger)
    told = {"noted": heard.noted, "known": heard.known, "sent": heard.sent, "failed": len(heard.failures)}
    logger.info("commands reported", extra={"records": len(event["Records"]), **told})
    failed = dict.fromkeys(failure.record_id for failure in heard.failures)
    return {"batchItemFailures": [{"itemIdentifier": record_id} for record_id in failed]}
