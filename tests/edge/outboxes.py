"""Outboxes for tests: a keeper of a file, what it holds, and a disk that takes nothing when told so."""

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from evswap_edge.clock import Stamp, TimeSource
from evswap_edge.outbox import Bounds, NewParcel, OutboxFull, Sample
from evswap_edge.outbox.disk import DiskStore
from evswap_edge.outbox.keeper import Keeper
from evswap_edge.outbox.opening import open_disk
from evswap_edge.outbox.operations import NewEvent, NewSample, Operation, Release, Seal, Take
from evswap_edge.outbox.parts import parts_of
from evswap_edge.outbox.records import Item, Kind
from evswap_edge.outbox.store import Changes
from evswap_edge.testing import ManualTime
from evswap_schema import Clock

ALL = 1_000_000
OFFSET_S = ManualTime().now().timestamp() - ManualTime().monotonic()
SMALLEST = Bounds(max_bytes=2 * 1024 * 1024, max_memory_bytes=400_000)


def keeper(path: Path, bounds: Bounds = SMALLEST, *, time: TimeSource | None = None, **opened: Any) -> Keeper:
    """A keeper of the outbox at ``path``."""
    whose = {"station_id": "station-01", "machine": "machine", "bounds": bounds, **opened}
    return Keeper(path, open_disk=partial(open_disk, path, **whose), time=time or ManualTime(), bounds=bounds)


def ask(keeper: Keeper, *operations: Operation) -> list[Any]:
    """Do these together."""
    return keeper.perform(operations)


def stamp(uptime: float = 1.0, *, boot_id: str = "boot", clock: Clock = Clock.SYNCHRONIZED) -> Stamp:
    return Stamp(boot_id, uptime, OFFSET_S, clock)


def sample(body: bytes = b"{}", *, uptime: float = 1.0, changed: bool = False) -> NewSample:
    return NewSample(lambda stream_id, sequence: body, stamp(uptime), changed)


def event(body: bytes = b"{}", *, uptime: float = 1.0) -> NewEvent:
    return NewEvent(lambda stream_id, sequence: body, stamp(uptime))


def parcel_of(samples: Sequence[Sample], body: bytes = b"parcel", *, changed: bool = False) -> NewParcel:
    first, last = samples[0], samples[-1]
    return NewParcel(
        stream_id=first.stream_id,
        first=first.sequence,
        last=last.sequence,
        samples=len(samples),
        stamp=first.stamp,
        last_uptime=last.stamp.uptime,
        changed=changed,
        body=body,
    )


def store_parcel(
    keeper: Keeper, body: bytes, *, samples: int = 1, uptime: float = 1.0, changed: bool = False
) -> Any:
    """Samples that become a parcel at once."""
    stored = ask(keeper, *[sample(uptime=uptime) for _ in range(samples)])
    ((parcel,),) = ask(keeper, Seal(stored, [parcel_of(stored, body, changed=changed)]))
    return parcel


def free(keeper: Keeper) -> list[Item]:
    """All that nobody has; it is as free afterwards."""
    found = ask(keeper, *[Take(kind, ALL) for kind in Kind])
    items = [item for some in found for item in some]
    ask(keeper, Release([item.ticket for item in items]))
    return items


def size(path: Path) -> int:
    """What database, log and shared memory take."""
    return sum(part.stat().st_size for part in parts_of(path) if part.exists())


def copy(path: Path, to: Path) -> Path:
    """The outbox as it stands on the disk at this moment, in another folder: what a power cut leaves."""
    to.mkdir(parents=True)
    for source in parts_of(path):
        if source.exists():
            shutil.copy(source, to / source.name)
    (to / f"{path.name}.lock").write_text("4711")
    return to / path.name


class StubbornDisk:
    """Makes the disk of a keeper refuse what is new, or everything, as a full or a failing one does."""

    def __init__(self, monkeypatch: Any) -> None:
        self.takes_new = True
        self.takes_any = True
        write = DiskStore.write

        def refusing(store: DiskStore, changes: Changes) -> None:
            if not self.takes_any or (not self.takes_new and any(changes.coming)):
                raise OutboxFull(store.path, "database or disk is full")
            write(store, changes)

        monkeypatch.setattr(DiskStore, "write", refusing)
