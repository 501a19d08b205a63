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


class JsonFormatter(logging.Formatter):
    """``ts``, ``level``, ``logger``, ``message``, ``station_id``, whatever was passed as ``extra``,
    ``exception``."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": format_timestamp(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if station_id := STATION.get():
            line["station_id"] = station_id
        line |= {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def configure(level: str) -> None:
    """Send everything from ``level`` on to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for library in _REPETITIVE:
        logging.getLogger(library).setLevel(logging.CRITICAL)
