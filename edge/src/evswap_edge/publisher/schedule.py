"""When samples are sealed into parcels, whether there is a link or not."""

import asyncio
import math
from collections.abc import Sequence
from typing import Final

from evswap_edge.clock import TimeSource
from evswap_edge.outbox import Outbox, Sample
from evswap_edge.publisher.at_hand import AtHand
from evswap_edge.reporting import Mode
from evswap_edge.reporting.sealing import Known, Sealed, Sealer
from evswap_schema import Reading
from evswap_schema.limits import MAX_BATCH_SAMPLES

TAKES: Final = MAX_BATCH_SAMPLES
"""How many samples are sealed at once, at most; so many do not wait until the oldest is of age."""
_MOST_AT_HAND: Final = 8 * TAKES
"""Where they come faster than one transaction after another can seal them, several parcels are made in
one."""


class Sealing:
    """Seals what is open: when the oldest sample is ``age_s`` old, or enough have come together.

    Where every sample is sent by itself, only those are sealed that could not be sent within that time.
    """

    def __init__(self, outbox: Outbox, sealer: Sealer, *, mode: Mode, age_s: float, time: TimeSource) -> None:
        self._outbox = outbox
        self._sealer = sealer
        self._gathers = mode is Mode.ON_CHANGE
        self._age_s = age_s
        self._time = time
        self._come = 0
        self._at_hand = AtHand(outbox)
        self.next_at = -math.inf
        """The moment (monotonic) at which to look again; at first at once, as an earlier run may have left
        some."""

    def sampled(self, stored: Sequence[tuple[Sample, Reading]]) -> bool:
        """These are open, too, each beside what it says. Returns whether that moves ``next_at`` forward."""
        if self._gathers:
            self._at_hand.add(stored)
        self._come += len(stored)
        are_enough = self._gathers and self._come >= TAKES
        due_at = -math.inf if are_enough else stored[0][0].stamp.uptime + self._age_s
        sooner = due_at < self.next_at
        self.next_at = min(self.next_at, due_at)
        return sooner

    async def step(self, *, backlog: bool, flush: bool = False) -> bool:
        """Seal what is due, or, to ``flush``, whatever is open; returns whether there was anything. With
        ``backlog`` the parcels say of themselves that they wait through an outage. Raises ``OutboxError``."""
        if not flush and self._time.monotonic() < self.next_at:
            return False
        if flush:
            self._at_hand.lose()
        anything = False
        while due := self._due(await self._open(), flush=flush):
            with self._at_hand.sealing(due[-1][0]):
                await self._replace(await asyncio.to_thread(self._sealer.seal, due, backlog=backlog))
            anything = True
        return anything

    async def _open(self) -> Sequence[Known]:
        """What comes from now on counts anew."""
        self._come = 0
        self.next_at, before = math.inf, self.next_at
        at_hand = self._at_hand.oldest(_MOST_AT_HAND)
        if at_hand is not None:
            return at_hand
        try:
            return [(sample, None) for sample in await self._outbox.open_samples(TAKES)]
        except BaseException:
            self.next_at = before
            raise

    def _due(self, samples: Sequence[Known], *, flush: bool) -> Sequence[Known]:
        if flush:
            return samples
        if self._gathers and len(samples) >= TAKES:
            return samples[: len(samples) - len(samples) % TAKES]
        ages = [self._age_of(sample) for sample, _ in samples]
        of_age = [place for place, age in enumerate(ages) if age >= self._age_s]
        if of_age:
            # What came before goes along, whatever its stamp says (a machine that goes on from a saved state
            # counts again from there, in the same boot): parcels are sent before samples, and would overtake.
            return samples if self._gathers else samples[: of_age[-1] + 1]
        if ages:
            self.next_at = min(self.next_at, self._time.monotonic() + self._age_s - max(ages))
        return ()

    async def _replace(self, sealed: Sealed) -> None:
        for sample, reason in sealed.unsendable:
            await self._outbox.set_aside([sample.ticket], reason)
        if sealed.parcels:
            await self._outbox.seal(sealed.samples, sealed.parcels)

    def _age_of(self, sample: Sample) -> float:
        """One of an earlier boot cannot be told its age; it is old."""
        if sample.stamp.boot_id != self._time.boot_id:
            return math.inf
        return self._time.monotonic() - sample.stamp.uptime
