"""What time it really was, where the wall clock did not know.

A Raspberry Pi has no battery-backed clock: it boots somewhere in the past. What it samples until a time
server answers is stamped by both clocks, and called estimated. Once the wall clock has been set, the
difference between the two is known for the whole boot, and what was not sent by then is sent with the time
that it really was.
"""

import logging
from collections.abc import Callable
from typing import Final

from evswap_edge.clock import Stamp, TimeSource
from evswap_edge.outbox import Outbox
from evswap_schema import Clock

_log: Final = logging.getLogger(__name__)

OffsetOf = Callable[[str], float | None]
"""The true offset of a boot, where it is known: ``Outbox.offset_of``."""


class Truth:
    """Corrects stamps. ``time`` tells whether the clock of this very boot may be believed now."""

    def __init__(self, time: TimeSource, offset_of: OffsetOf) -> None:
        self._time = time
        self._offset_of = offset_of

    def about(self, stamp: Stamp) -> Stamp:
        """``stamp`` as the wall clock should have stood; the same one when it is right, or nothing better is
        known.

        What this boot learnt before it lost its time server again (after nine hours the kernel calls the
        clock unsynchronised) says little about now, so it waits for the next time it is told.
        """
        if stamp.clock is Clock.SYNCHRONIZED:
            return stamp
        offset_s = self._offset_of(stamp.boot_id)
        if offset_s is None:
            return stamp
        if stamp.boot_id == self._time.boot_id and self._time.state() is not Clock.SYNCHRONIZED:
            return stamp
        return Stamp(stamp.boot_id, stamp.uptime, offset_s, Clock.SYNCHRONIZED)


class ClockWatch:
    """Lets the outbox know a boot's true offset as soon as the wall clock has been set."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._was: Clock | None = None

    def has_turned(self, stamp: Stamp) -> bool:
        """Whether ``stamp`` says otherwise of the wall clock than the one that was seen last."""
        return stamp.clock is not self._was

    async def see(self, stamp: Stamp) -> None:
        """``stamp``, which was taken just now, has turned. Raises ``OutboxError``."""
        was, self._was = self._was, stamp.clock
        if stamp.clock is Clock.ESTIMATED:
            _log.warning("the wall clock is not set by a time source: times are estimated")
            return
        if was is not None or self._outbox.offset_of(stamp.boot_id) is None:
            _log.info("the wall clock is set by a time source: what is not sent yet gets its true time")
        await self._outbox.learn_offset(stamp.boot_id, stamp.offset_s)


def shift_ms(before: Stamp, after: Stamp) -> int:
    """By how many milliseconds a timestamp made with ``before`` has to be moved; timestamps have whole
    milliseconds."""
    return round((after.offset_s - before.offset_s) * 1_000)
