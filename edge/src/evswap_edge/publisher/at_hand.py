"""The samples that were stored last, and what they say: sealing these asks neither the disk nor a decoder.

Only what is sure to be all that is open is sealed from here. That is so where each sample is the next one in
the stream of the one before it, back to one that was sealed together with all that was older. Whatever breaks
the row (a sample that nobody told of, the streams of a disk in trouble, something that was given up) makes
the sealing ask the outbox again.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from evswap_edge.outbox import Outbox, Sample
from evswap_edge.reporting.sealing import Known
from evswap_schema.limits import MAX_BATCH_SAMPLES

_SMALL_BYTES: Final = 1_000
"""Larger ones, with their bays, are not kept: in a fleet of thousands that would be hundreds of megabytes."""
_MOST: Final = 16 * MAX_BATCH_SAMPLES
"""Only where samples come faster than they are sealed are there more than one batch of them."""


class AtHand:
    """Open samples of one outbox that nobody leases them from."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._row: list[Known] = []
        """Each follows the one before it."""
        self._is_cut = False
        """Newer ones have come than those in the row."""
        self._sealed: Sample | None = None
        """Nothing that is as old as this one is open."""
        self._is_of_this_run = False
        """The sealed one: whatever is newer is of this run, too, and is or will be told of."""
        self._losses = outbox.losses

    def add(self, stored: Sequence[Known]) -> None:
        """These were stored, in their order, after those that were added before them."""
        if self._go_on_with(stored):
            self._row += stored
            return
        for known in stored:
            if self._is_cut:
                return
            self._add(known)

    def _go_on_with(self, stored: Sequence[Known]) -> bool:
        """Whether they simply follow, as all do that a station stores while nothing else happens."""
        if not self._row or self._is_cut or len(self._row) + len(stored) > _MOST:
            return False
        first, last = stored[0][0], stored[-1][0]
        return (
            _follows(self._row[-1][0], first)
            and last.stream_id == first.stream_id
            and last.sequence - first.sequence == len(stored) - 1
            and all(len(sample.body) <= _SMALL_BYTES for sample, _ in stored)
        )

    def _add(self, known: Known) -> None:
        sample, _ = known
        before = self._row[-1][0] if self._row else self._sealed
        if before is not None and not _follows(before, sample):
            if self._sealed is not None and sample.ticket <= self._sealed.ticket:
                self._is_of_this_run = True
                return
            self.lose()
        if len(sample.body) > _SMALL_BYTES:
            self.lose()
            return
        self._is_cut = len(self._row) >= _MOST
        if not self._is_cut:
            self._row.append(known)

    def oldest(self, limit: int) -> list[Known] | None:
        """The oldest samples that are open, or None where only the outbox knows."""
        if self._outbox.trouble is not None or self._outbox.losses != self._losses:
            self.lose()
        if self._sealed is None:
            return None
        if self._row:
            return self._row[:limit] if _follows(self._sealed, self._row[0][0]) else None
        return [] if self._is_of_this_run else None

    @contextmanager
    def sealing(self, last: Sample) -> Iterator[None]:
        """``last`` and all that is older is sealed within. What is sealed by a disk in trouble may come
        back."""
        self._sealed = last
        newer = [known for known in self._row if known[0].ticket > last.ticket]
        self._is_of_this_run = len(newer) < len(self._row) and not self._is_cut
        self._row = newer
        self._is_cut = self._is_cut and bool(newer)
        self._losses = self._outbox.losses
        try:
            yield
        except BaseException:
            self.lose()
            raise
        if self._outbox.trouble is not None:
            self.lose()

    def lose(self) -> None:
        """Nothing is certain any more: the outbox has to be asked."""
        self._row.clear()
        self._is_cut = False
        self._sealed = None


def _follows(before: Sample, sample: Sample) -> bool:
    return sample.sequence == before.sequence + 1 and sample.stream_id == before.stream_id
