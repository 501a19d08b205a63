"""Between a rule that invokes a function directly and ingest: one envelope, and nothing to answer.

Nobody waits for the answer. When the function raises, Lambda calls it again, and in the end puts the envelope
where the function's on-failure destination is.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from aws_lambda_powertools import Logger

from evswap_cloud.handlers.report import log_report
from evswap_cloud.ingest import Delivery, Ingest


def ingest_direct(envelope: Mapping[str, Any], request_id: str, ingest: Ingest, logger: Logger) -> None:
    """Process what the rule handed over; raises whatever has kept it from being processed."""
    body = msgspec.json.encode(envelope).decode()
    report = ingest.process((Delivery(record_id=request_id, body=body, sent_at=datetime.now(UTC)),))
    log_report(report, 1, logger)
    for failure in report.failures:
        raise failure.error
