"""What an invocation writes to its log."""

from aws_lambda_powertools import Logger

from evswap_cloud.acknowledge import Told
from evswap_cloud.errors import StoreError
from evswap_cloud.ingest import Failure, Report
from evswap_cloud.ledger import Finding
from evswap_cloud.quarantine import Quarantined


def log_report(report: Report, records: int, logger: Logger) -> None:
    """A line for what was put aside, for what the ledger found wrong and for what failed, and one for all
    that was done with ``records``."""
    for message in report.quarantined:
        log_quarantined(message, logger)
    for finding in report.findings:
        _log_finding(finding, logger)
    for failure in report.failures:
        log_failure(failure, logger)
    logger.info(
        "batch processed",
        extra={
            "records": records,
            "archived": report.archived,
            "repeated": report.repeated,
            "moved": report.moved,
            "bays": report.bays,
            "kept": report.kept,
            "findings": len(report.findings),
            "quarantined": len(report.quarantined),
            "failed": len(report.failures),
        },
    )


def log_told(told: Told, logger: Logger) -> None:
    """A line for each station that was not told what the cloud has: it will send that again."""
    for error in told.failures:
        logger.warning("acknowledgement failed", extra={"target": error.target, "code": error.code})


def log_quarantined(message: Quarantined, logger: Logger) -> None:
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


def _log_finding(finding: Finding, logger: Logger) -> None:
    """No customer is named in it."""
    logger.warning(
        "ledger contradicted",
        extra={"code": finding.code.value, "subject": finding.subject, "detail": finding.detail},
    )


def log_failure(failure: Failure, logger: Logger) -> None:
    """Why a record has to come again."""
    error = failure.error
    if isinstance(error, StoreError):
        detail = {"operation": error.operation, "target": error.target, "code": error.code}
        logger.warning("store failed, record will come again", extra={"record": failure.record_id, **detail})
    else:
        logger.error("record failed", exc_info=error, extra={"record": failure.record_id})
