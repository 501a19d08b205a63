"""The function ``sweep``: goes round all stations, by its schedule."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from evswap_cloud import wiring
from evswap_cloud.connection.sweep import sweep


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001
    """Lambda's entry point. What is logged is what the saved queries and the metrics read."""
    went = sweep(wiring.latest_reader(), wiring.contacts(), wiring.figures(), datetime.now(UTC))
    figures: dict[str, Any] = msgspec.to_builtins(went.figures)
    wiring.logger("sweep").info("went round the stations", extra={**figures, "noted": went.noted})
    return figures
