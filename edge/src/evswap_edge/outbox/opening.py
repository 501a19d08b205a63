"""How a file comes to be an outbox that can be used: made, moved on from an earlier schema, or salvaged.

Both kinds of mending make a new file with all that is readable and put it in the place of the old one. Killed
half-way, they are begun again or, once the new file is whole, finished.
"""

import logging
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from evswap_edge.files import make_durable
from evswap_edge.outbox.claim import Claim
from evswap_edge.outbox.disk import DiskStore
from evswap_edge.outbox.errors import OutboxDamaged, OutboxOutdated, meaning_of, translated
from evswap_edge.outbox.parts import parts_of
from evswap_edge.outbox.rebuilding import rebuild
from evswap_edge.outbox.records import Bounds
from evswap_edge.outbox.salvage import open_for_reading, put_aside

_log: Final = logging.getLogger(__name__)


def open_disk(path: Path, *, station_id: str, machine: str, bounds: Bounds) -> DiskStore:
    """Open the file, or make it, for this station on this machine, whatever state it is in.

    Raises ``OutboxError``.
    """

    def opened() -> DiskStore:
        return DiskStore(path, station_id=station_id, machine=machine, bounds=bounds)

    _finish(path)
    try:
        return opened()
    except OutboxDamaged as damage:
        _salvage(path, damage)
    except OutboxOutdated as outdated:
        _move_on(path, outdated)
    return opened()


def _salvage(path: Path, damage: OutboxDamaged) -> None:
    """New things belong to new streams then: how far the old ones had counted is not certain any more."""
    saved = _replace(path, keep_streams=False, put_away=_keep_damaged)
    _log.error("%s; %d samples were saved, the damaged file is kept beside it", damage, saved)


def _move_on(path: Path, outdated: OutboxOutdated) -> None:
    moved = _replace(path, keep_streams=True, put_away=_remove)
    _log.info("%s: %d samples were moved to a new file", outdated, moved)


def _replace(path: Path, *, keep_streams: bool, put_away: Callable[[Path], None]) -> int:
    """Returns how many samples the new file has."""
    draft, whole = _beside(path, "draft"), _beside(path, "whole")
    with closing(Claim(path)), translated(path):
        try:
            draft.unlink(missing_ok=True)
            with closing(open_for_reading(path)) as old:
                count = rebuild(old, draft, keep_streams=keep_streams)
            make_durable(draft)
            draft.replace(whole)
            put_away(path)
            _finish(path)
        except OSError as error:
            raise meaning_of(error)(path, f"cannot be written anew: {error}") from error
    return count


def _finish(path: Path) -> None:
    """Put a new file that is whole in the place of the old one, when that is out of the way."""
    whole = _beside(path, "whole")
    if whole.exists() and not path.exists():
        whole.replace(path)
        make_durable(path)


def _keep_damaged(path: Path) -> None:
    put_aside(path, datetime.now(UTC))


def _remove(path: Path) -> None:
    """The log first: without its database it says nothing."""
    for part in reversed(list(parts_of(path))):
        part.unlink(missing_ok=True)


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f"{path.name}.{what}")
