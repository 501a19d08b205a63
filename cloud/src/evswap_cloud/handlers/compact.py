"""The compactor, called by its schedule."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import boto3
import msgspec

from evswap_cloud import wiring
from evswap_cloud.compaction import KINDS, Limits, Resources, S3Objects, compact

KEEP_DAYS: Final = "EVSWAP_KEEP_DAYS"

_TAKING: Final = 0.4
"""Of the time that is left: what was taken has to be sorted, stored and read back."""

_FOR_PYTHON_MB: Final = 1_024


def handler(_event: dict[str, Any], context: Any) -> list[dict[str, Any]]:
    """Compact as much as there is time for; the next call goes on. Raises ``CloudError``."""
    logger = wiring.logger("compact")
    left = timedelta(milliseconds=context.get_remaining_time_in_millis())
    s3 = boto3.client("s3")
    outcomes = compact(
        archive=S3Objects(s3, wiring.setting(wiring.ARCHIVE_BUCKET)),
        compacted=S3Objects(s3, wiring.setting(wiring.COMPACTED_BUCKET)),
        kinds=KINDS,
        limits=Limits(until=datetime.now(UTC) + _TAKING * left, keep_days=int(wiring.setting(KEEP_DAYS))),
        resources=Resources(memory_mb=int(context.memory_limit_in_mb) - _FOR_PYTHON_MB),
        progress=logger.debug,
    )
    for outcome in outcomes:
        logger.info("compacted", extra=msgspec.to_builtins(outcome))
    return [msgspec.to_builtins(outcome) for outcome in outcomes]
