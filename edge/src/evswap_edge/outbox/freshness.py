"""When a station wrote last, as anybody sees it who does not disturb the station."""

from pathlib import Path

from evswap_edge.outbox.parts import log_of


def written_at(path: Path) -> float:
    """When something was committed last (seconds since 1970), seen from outside and without disturbing the
    station; 0 when there is no outbox yet.

    In WAL mode a commit is written to the log beside the database.
    """
    return max(_modified(path), _modified(log_of(path)))


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
