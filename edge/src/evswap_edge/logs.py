"""Logs as JSON, one object a line, on standard error. Only the command line configures logging, with this."""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

from evswap_schema import format_timestamp

STATION: Final[ContextVar[str | None]] = ContextVar("station_id", default=None)
"""The station that the running task works for; tasks that it starts inherit it."""

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}


_REPETITIVE: Final = ("awsiot", "pymodbus")
"""Libraries that log every failure of every call. What uses them here reports a trouble once."""


def configure(level: str) -> None:
    """Send everything from ``level`` on to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for library in _REPETITIVE:
        logging.getLogger(library).setLevel(logging.CRITICAL)
