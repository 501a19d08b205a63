"""The function ``expire``: gives up, by the clock, the commands that nothing was heard of."""

from datetime import UTC, datetime
from typing import Any

from evswap_cloud import wiring
from evswap_cloud.remote import expire


def handler(event: dict[str, Any], context: object) -> None:  # noqa: ARG001
    """Lambda's entry point."""
    count = expire(wiring.command_store(), datetime.now(UTC))
    if count:
        wiring.logger("expire").info("commands given up", extra={"count": count})
