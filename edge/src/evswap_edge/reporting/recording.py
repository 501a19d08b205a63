"""A sample becomes durable, and whoever sends it hears of it."""

from collections.abc import Callable

from msgspec.structs import replace

from evswap_edge.clock import Stamp
from evswap_edge.outbox import Outbox, OutboxError, Sample
from evswap_edge.reporting.changes import Changes
from evswap_edge.reporting.truth import ClockWatch
from evswap_schema import Reading, encode_reading


class Recorder:
    """Appends readings to an outbox, and knows which of them are news."""

    def __init__(
        self,
        outbox: Outbox,
        changes: Changes,
        *,
        alarms: Callable[[], frozenset[str]],
        on_sample: Callable[[Sample, Reading], None],
    ) -> None:
        """``alarms`` tells which are raised; ``on_sample`` is called with each sample that was stored,
        and with what it says, in the order in which they were."""
        self._outbox = outbox
        self._changes = changes
        self._alarms = alarms
        self._on_sample = on_sample
        self._clock = ClockWatch(outbox)

    async def record(self, reading: Reading, stamp: Stamp) -> None:
        """Store ``reading``, which was measured at ``stamp``. Readings that are recorded one after another
        are stored in that order, also where one call begins before the other ends. Raises
        ``OutboxError``."""

        said = reading

        def body(stream_id: str, sequence: int) -> bytes:
            nonlocal said
            said = replace(reading, stream_id=stream_id, sequence=sequence)
            return encode_reading(said)

        changed = self._changes.is_news(reading, self._alarms())
        try:
            sample = await self._outbox.append(body, stamp=stamp, changed=changed)
        except OutboxError:
            self._changes.forget()
            raise
        self._on_sample(sample, said)
        await self._clock.see(stamp)
