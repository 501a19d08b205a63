"""Messages as somebody writes them who has only read the seed's description."""

import json
from datetime import UTC, datetime

SEED_FIELDS = {
    "station_id",
    "battery_available",
    "battery_charging",
    "temperature",
    "humidity",
    "status",
    "timestamp",
}


def seed_message(station_id: str, *, at: datetime | None = None, **changes: object) -> bytes:
    """The seed's seven fields, measured `at` (now)."""
    moment = at or datetime.now(UTC)
    fields = {
        "station_id": station_id,
        "battery_available": 12,
        "battery_charging": 4,
        "temperature": 28.5,
        "humidity": 42.0,
        "status": "operational",
        "timestamp": moment.isoformat().replace("+00:00", "Z"),
    }
    return json.dumps({**fields, **changes}).encode()


def telemetry_topic(station_id: str) -> str:
    return f"ev/station/{station_id}/telemetry"
