"""The function ``bulk``: batches of readings, from the queue that their rule fills."""

from typing import Any

from evswap_cloud import wiring
from evswap_cloud.handlers.sqs import ingest_event


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001
    """Lambda's entry point."""
    return ingest_event(event, wiring.bulk_ingest(), wiring.acknowledger(), wiring.logger("bulk"))
