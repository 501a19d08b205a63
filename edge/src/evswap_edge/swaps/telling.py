"""From the journal of swaps into the outbox: every event that is owed, once.

Two files cannot be written in one transaction. So the place that the outbox gives an event is written down
before the outbox writes the event there. After a crash the event is in the outbox if the outbox's numbers
have come as far as that place; otherwise it is told then.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from evswap_edge.clock import TimeSource
from evswap_edge.episode import Episode
from evswap_edge.outbox import Outbox, OutboxError
from evswap_edge.swaps.drafts import placed
from evswap_edge.swaps.journal import Owed, SwapJournal, SwapJournalError

_log: Final = logging.getLogger(__name__)


class Teller:
    """Brings what is owed into the outbox."""

    def __init__(
        self,
        *,
        station_id: str,
        journal: SwapJournal,
        outbox: Outbox,
        time: TimeSource,
        on_event: Callable[[], None],
    ) -> None:
        """To be made before anything else is told: it looks how far the outbox's numbers have come.
        ``on_event`` is called when an event was stored."""
        self._station_id = station_id
        self._journal = journal
        self._outbox = outbox
        self._on_event = on_event
        self._found = outbox.last_event
        self._handed_over: set[int] = set()
        """In the outbox's memory, which a power cut would take: they stay owed until the disk has them."""
        self._trouble = Episode(_log, "storing events of swaps", monotonic=time.monotonic)

    async def pay(self) -> bool:
        """Bring all that is owed into the outbox, in order. Returns whether nothing is owed any more."""
        try:
            for owed in await asyncio.to_thread(self._journal.owed):
                if not self._is_there(owed):
                    await self._hand_over(owed)
                if self._outbox.trouble is not None:
                    continue
                await asyncio.to_thread(self._journal.paid, owed.number)
        except (OutboxError, SwapJournalError) as error:
            self._trouble.begin(error)
            return False
        self._trouble.end()
        return self._outbox.trouble is None

    def _is_there(self, owed: Owed) -> bool:
        if owed.number in self._handed_over:
            return True
        stream_id, last = self._found
        return owed.place is not None and owed.place[0] == stream_id and owed.place[1] <= last

    async def _hand_over(self, owed: Owed) -> None:
        def body(stream_id: str, sequence: int) -> bytes:
            self._journal.place(owed.number, stream_id, sequence)
            return placed(owed.draft, station_id=self._station_id, stream_id=stream_id, sequence=sequence)

        await self._outbox.append_event(body, stamp=owed.stamp)
        self._handed_over.add(owed.number)
        self._on_event()
