"""What waits in the stations' outboxes, read while the stations write."""

import sqlite3
from contextlib import closing
from pathlib import Path

from evswap_edge.config import OUTBOX_NAME


def depths(stations: Path) -> dict[str, int]:
    """Samples that wait for delivery, by station."""
    found = {path.parent.name: _depth(path) for path in sorted(stations.glob(f"*/{OUTBOX_NAME}"))}
    return {station_id: depth for station_id, depth in found.items() if depth is not None}


def _depth(path: Path) -> int | None:
    """None for a file that is not an outbox (yet)."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as database:
            return int(database.execute("SELECT samples + parcel_samples FROM ledger").fetchone()[0])
    except sqlite3.Error:
        return None
