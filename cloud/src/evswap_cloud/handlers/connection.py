"""The function ``connection``: who came and went, from the queue that two rules fill."""

from typing import Any

from evswap_cloud import wiring
from evswap_cloud.handlers.report import log_report
from evswap_cloud.handlers.sqs import delivery_of


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001
    """Lambda's entry point: the answer names the records that have to come again."""
    report = wiring.connection_notes().process(tuple(map(delivery_of, event["Records"])))
    log_report(report, len(event["Records"]), wiring.logger("connection"))
    failed = dict.fromkeys(failure.record_id for failure in report.failures)
    return {"batchItemFailures": [{"itemIdentifier": record_id} for record_id in failed]}
