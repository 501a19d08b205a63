"""Whether a device still lives, or repeats what it measured long ago.

One reading cannot tell a device that is frozen from one of which nothing changes. A counter that it moves on
by itself can, where its map names one.
"""

import asyncio
from typing import Final

from evswap_edge.drivers.modbus.decoding import Contents, NotMeasured, reference
from evswap_edge.registers import Heartbeat


class Pulse:
    """Watches one counter from reading to reading."""

    def __init__(self, heartbeat: Heartbeat | None) -> None:
        self._heartbeat: Final = heartbeat
        self._reference = reference(heartbeat.table, heartbeat.address) if heartbeat else 0
        self._count: int | None = None
        self._moved_at = 0.0

    def feel(self, registers: Contents) -> None:
        """Raises ``NotMeasured`` when the counter has stood still for longer than it may."""
        if self._heartbeat is None:
            return
        now = asyncio.get_running_loop().time()
        count = registers[self._reference]
        if count != self._count:
            self._count, self._moved_at = count, now
        elif (still_s := now - self._moved_at) > self._heartbeat.moves_within_s:
            raise NotMeasured(f"repeats old values: its counter stands at {count} for {still_s:.0f} s")
