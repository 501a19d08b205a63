"""When a station wrote last, as anybody sees it who does not disturb the station."""

from pathlib import Path


def written_at(path: Path) -> float:
    """When something was committed last (seconds since 1970), seen from outside and without disturbing the
    station; 0 when there is no outbox yet.

    In WAL mode a commit is written to the log beside the database.
    """
    return max(_modified(path), _modified(path.with_name(f"{path.name}-wal")))


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
