"""One run: what lies raw and is in no Parquet file yet gets into one, and what is safe there goes.

Everything that is written before the manifest is known to nobody, everything after it can be done again:
whenever a run ends, the next one finds either the history of before or that of afterwards, and goes on.
"""

import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import uuid4

import duckdb
import msgspec
from msgspec import Struct

from evswap_cloud.archive import day_folder
from evswap_cloud.compaction import manifest as manifests
from evswap_cloud.compaction.engine import Resources, engine
from evswap_cloud.compaction.kinds import EVENTS, Kind
from evswap_cloud.compaction.manifest import Day, Kept, Manifest, TakenObject, Taking
from evswap_cloud.compaction.merging import ROWS_PER_SHARE, Merging, Progress
from evswap_cloud.compaction.objects import Listed, Objects
from evswap_cloud.compaction.staging import RawObject, Staging, portions, untaken
from evswap_cloud.errors import HistoryError

SUPERSEDED_STAY: Final = timedelta(days=1)
"""Who began to read a day before it was switched has so long to end."""

KEEP_DAYS: Final = 7
"""How long an original stays after it was taken, where nobody says otherwise."""


class Limits(Struct, frozen=True, kw_only=True):
    """How far a run goes: at most so many raw ``objects``, none begun after ``until``. Originals stay
    ``keep_days`` after they were taken; None is for ever.
    """

    objects: int = 20_000
    until: datetime | None = None
    keep_days: int | None = KEEP_DAYS
    rows_per_share: int = ROWS_PER_SHARE


class Outcome(Struct, frozen=True, kw_only=True):
    """What a run did: ``objects`` taken with ``rows`` in them, ``days`` written anew, ``left`` raw objects
    for the next run, ``unreadable`` lines, ``deleted`` originals.
    """

    kind: str
    objects: int
    rows: int
    days: tuple[str, ...]
    left: int
    unreadable: int
    deleted: int


class Compactor:
    """Compacts one kind from the raw bucket ``archive`` into the bucket ``compacted``."""

    def __init__(
        self,
        kind: Kind,
        *,
        archive: Objects,
        compacted: Objects,
        resources: Resources,
        progress: Progress,
        clock: Callable[[], datetime],
    ) -> None:
        self._kind = kind
        self._archive = archive
        self._compacted = compacted
        self._resources = resources
        self._progress = progress
        self._clock = clock

    def run(self, limits: Limits) -> Outcome:
        """Raises ``Unverified``, ``Overtaken``, ``HistoryError``."""
        kept = manifests.load(self._compacted, self._kind)
        self._announce(kept.manifest)
        pending = untaken(self._kind, self._archive, manifests.taken_keys(self._compacted, kept.manifest))
        try:
            taken, days = self._take(kept, pending, limits)
        except duckdb.Error as error:
            raise HistoryError(operation="compact", target=self._kind.name, code=str(error)) from error
        deleted = self._delete_originals(limits)
        self._sweep()
        return Outcome(
            kind=self._kind.name,
            objects=len(taken),
            rows=sum(one.rows for one in taken),
            days=days,
            left=len(pending) - len(taken),
            unreadable=sum(one.unreadable for one in taken),
            deleted=deleted,
        )

    def _take(
        self, kept: Kept, pending: list[RawObject], limits: Limits
    ) -> tuple[list[TakenObject], tuple[str, ...]]:
        if not pending:
            return [], ()
        with (
            tempfile.TemporaryDirectory(prefix="evswap-compact-") as name,
            engine(Path(name), self._resources) as connection,
        ):
            staging = Staging(self._kind, self._archive, connection, Path(name) / "staging")
            self._stage(staging, pending[: limits.objects], limits.until)
            taken = list(staging.taken())
            merging = Merging(
                self._kind,
                self._compacted,
                connection,
                Path(name) / "merging",
                manifest=kept.manifest,
                staged=staging.files(),
                rows_per_share=limits.rows_per_share,
            )
            days = merging.days(self._progress) if any(one.rows for one in taken) else {}
        self._switch(kept, days, taken)
        return taken, tuple(days)

    def _stage(self, staging: Staging, pending: list[RawObject], until: datetime | None) -> None:
        done = 0
        for portion in portions(pending):
            if done and until is not None and self._clock() >= until:
                return
            staging.take(portion)
            done += len(portion)
            self._progress(f"{self._kind.name}: {done} of {len(pending)} objects taken")

    def _switch(self, kept: Kept, days: dict[str, Day], taken: list[TakenObject]) -> None:
        """The one moment at which what was written becomes the history."""
        now = self._clock()
        key = f"{manifests.TAKEN}{self._kind.name}/{now:%Y%m%dT%H%M%S}_{uuid4()}.jsonl.gz"
        self._compacted.write(key, manifests.taken_lines(taken))
        before = kept.manifest
        manifest = Manifest(
            days={day: files for day, files in sorted((before.days | days).items()) if files.files},
            takings=(*before.takings, Taking(key=key, at=now, objects=len(taken))),
            changed=tuple(days),
        )
        manifests.commit(self._compacted, self._kind, kept, manifest)
        self._announce(manifest)

    def _announce(self, manifest: Manifest) -> None:
        """For Athena: in the folder of each day that changed, the list of its files, replaced at once."""
        bucket = self._compacted.address
        for day in manifest.changed:
            folder = day_folder(datetime.fromisoformat(day))
            key = f"{manifests.CURRENT}{self._kind.name}/{folder}/files.txt"
            if day in manifest.days:
                lines = [f"{bucket}/{file.key}\n" for file in manifest.days[day].files]
                self._compacted.write(key, "".join(lines).encode())
            else:
                self._compacted.remove([key])

    def _delete_originals(self, limits: Limits) -> int:
        """Those of takings that are old enough, and only while every file of the history is there as it was
        written. A raw object with a line that is no message stays.
        """
        kept = manifests.load(self._compacted, self._kind)
        if limits.keep_days is None:
            return 0
        latest = self._clock() - timedelta(days=limits.keep_days)
        old = [taking for taking in kept.manifest.takings if taking.at <= latest]
        if not old:
            return 0
        self._require_files(kept.manifest)
        deleted = 0
        for taking in old:
            going = [one.key for one in manifests.taken_in(self._compacted, taking) if not one.unreadable]
            self._archive.remove(going)
            deleted += len(going)
            self._progress(f"{self._kind.name}: {deleted} originals deleted")
        staying = tuple(taking for taking in kept.manifest.takings if taking not in old)
        manifests.commit(
            self._compacted, self._kind, kept, msgspec.structs.replace(kept.manifest, takings=staying)
        )
        return deleted

    def _require_files(self, manifest: Manifest) -> None:
        """Raises ``HistoryError`` where a file is gone or has another size."""
        there = {entry.key: entry.size for entry in self._data()}
        for file in manifest.files():
            if there.get(file.key) != file.bytes:
                raise HistoryError(
                    operation="verify", target=file.key, code="missing or changed: no original is deleted"
                )

    def _data(self) -> Iterator[Listed]:
        return self._compacted.every(f"{manifests.DATA}{self._kind.name}/")

    def _sweep(self) -> None:
        """Remove what no manifest names: files of days as they were before, and of runs that ended early."""
        current = manifests.load(self._compacted, self._kind).manifest.keys()
        latest = self._clock() - SUPERSEDED_STAY
        self._compacted.remove(
            entry.key
            for prefix in (manifests.DATA, manifests.INDEX, manifests.TAKEN)
            for entry in self._compacted.every(f"{prefix}{self._kind.name}/")
            if entry.key not in current and entry.modified < latest
        )


def compact(
    *,
    archive: Objects,
    compacted: Objects,
    limits: Limits,
    kinds: tuple[Kind, ...],
    resources: Resources | None = None,
    progress: Progress = lambda _text: None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> list[Outcome]:
    """Compact ``kinds``, one after the other; raises ``Unverified``, ``Overtaken``, ``HistoryError``."""
    outcomes = []
    for kind in kinds:
        compactor = Compactor(
            kind,
            archive=archive,
            compacted=compacted,
            resources=resources or Resources(),
            progress=progress,
            clock=clock,
        )
        outcomes.append(compactor.run(_for_kind(kind, limits)))
    return outcomes


def _for_kind(kind: Kind, limits: Limits) -> Limits:
    """Only the originals of events have customers' tokens: they go by the bucket's lifecycle."""
    return msgspec.structs.replace(limits, keep_days=None) if kind is EVENTS else limits
