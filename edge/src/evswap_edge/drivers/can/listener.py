"""Hears what is said on a bus, as long as it is open, and knows what is wrong with the bus itself."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import reduce
from operator import or_
from typing import Final

import can

from evswap_edge.drivers.can.bus import Address, Interface, Key, open_bus
from evswap_edge.drivers.can.frames import ERROR, REMOTE, Frames
from evswap_edge.drivers.can.receiving import Dated, Inlet, inlet_of

Hear = Callable[[Frames], None]
"""Takes frames with data, dated by the monotonic clock."""

_LONGEST_PAUSE_S: Final = 3.0
_SHORTEST_PAUSE_S: Final = 0.01
_SHARE_OF_ROOM: Final = 0.5
"""To wake up costs as much as hundreds of frames do, and nobody looks at them before the bays are read. So
the kernel keeps them for a while: until its buffer is half full, or as many have come as are read with ease
at once."""
_FRAMES_IN_A_PAUSE: Final = 750
_MOST_AT_ONCE: Final = 1_000
"""Frames read without giving others a turn."""
_CLOCK_WAS_SET_S: Final = 0.25
"""By so much a wall clock does not stray from the monotonic one between two looks, unless somebody set
it."""

_NO_DATA: Final = ERROR | REMOTE
_BUS_OFF: Final = 0x040
_RESTARTED: Final = 0x100
_ERRORS: Final = {
    0x002: "lost arbitration",
    0x004: "controller trouble",
    0x008: "a violation of the protocol",
    0x010: "transceiver trouble",
    0x020: "no acknowledgement",
    0x080: "an error on the bus",
}
"""Classes of error frames, by bit of their identifier (include/uapi/linux/can/error.h)."""
_BUS_OFF_ADVICE: Final = (
    "the controller is bus-off and hears nothing; look at the bit rate, CAN_H and CAN_L, and the two "
    "terminations of 120 Ω"
)
_RESTART_ADVICE: Final = "; `restart-ms 100` at `ip link set` lets it come back by itself"


class Listener:
    """Hands frames to ``hear``: now and then all that have come, and whenever it is told to catch up. A bus
    that was lost is opened again by ``open``."""

    def __init__(
        self, address: Address, *, wanted: Sequence[Key], hear: Hear, monotonic: Callable[[], float]
    ) -> None:
        self._address = address
        self._wanted = wanted
        self._hear = hear
        self._monotonic = monotonic
        self._bus: can.BusABC | None = None
        self._inlet: Inlet | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._pause_s = _SHORTEST_PAUSE_S
        self._came = 0
        self._counting_since = 0.0
        self._seen_empty_at = 0.0
        self._behind_s = 0.0
        self._is_bus_off = False
        self._error: tuple[str, float] | None = None
        self.since = 0.0
        """When it began to listen, or could hear again."""

    def open(self) -> None:
        """Open the bus, unless it is open. Raises ``DriverUnavailable``."""
        if self._bus is not None:
            return
        self._bus = open_bus(self._address, self._wanted)
        self._inlet = inlet_of(self._bus, self._address.interface)
        self._is_bus_off = False
        self.since = self._seen_empty_at = self._monotonic()
        self._behind_s = time.time() - self.since
        self._count_for(_SHORTEST_PAUSE_S)

    def close(self) -> None:
        """Give the bus back. Safe to call twice."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if self._inlet is not None:
            self._inlet.close()
            self._inlet = None
        if self._bus is not None:
            self._bus.shutdown()
            self._bus = None

    def catch_up(self) -> None:
        """Hand on all that has come until now."""
        if self._inlet is None:
            return
        try:
            frames = self._inlet.take(_MOST_AT_ONCE, self._dating())
        except (can.CanError, OSError):
            # The interface has gone: opening it again says why.
            self.close()
            return
        self._came += len(frames)
        if frames:
            self._hear(self._with_data(frames))
        if len(frames) < _MOST_AT_ONCE:
            self._seen_empty_at = self._monotonic()
        self._rest()

    def trouble(self) -> str | None:
        """Why nothing that was heard can be believed now; None while all is well."""
        if not self._is_bus_off:
            return None
        return _BUS_OFF_ADVICE + (_RESTART_ADVICE if self._address.interface is Interface.SOCKETCAN else "")

    def last_error(self, *, since: float) -> str:
        """The last error frame since ``since``, in words that continue a sentence; nothing when there was
        none."""
        if self._error is None or self._error[1] < since:
            return ""
        return f"; the controller reports {self._error[0]}"

    # --- frames -------------------------------------------------------------------------------------------

    def _look_again(self) -> None:
        """Not before so many frames are waiting as may: a busier bus is looked at more often."""
        self.catch_up()
        if self._inlet is not None:
            wanted = min(_SHARE_OF_ROOM * self._inlet.room, _FRAMES_IN_A_PAUSE)
            counted_s = asyncio.get_running_loop().time() - self._counting_since
            wished_s = counted_s * min(2.0, wanted / max(self._came, 1))
            self._count_for(min(max(wished_s, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S))

    def _count_for(self, pause_s: float) -> None:
        self._came, self._pause_s = 0, pause_s
        self._counting_since = asyncio.get_running_loop().time()
        self._rest()

    def _rest(self) -> None:
        """For a whole pause from now on: nobody wakes up for what a reading has just taken."""
        if self._pause is not None:
            self._pause.cancel()
        self._pause = asyncio.get_running_loop().call_later(self._pause_s, self._look_again)

    def _with_data(self, frames: Frames) -> Frames:
        has_others = reduce(or_, frames.identifiers, 0) & _NO_DATA
        if has_others or self._is_bus_off:
            self._note_state(frames.identifiers)
        if has_others:
            return frames.only([not identifier & _NO_DATA for identifier in frames.identifiers])
        return frames

    def _dating(self) -> Dated:
        """By the clock of the station. What a frame waited for is told by the kernel's date; but it was never
        longer than since nothing waited, and was that long where dates tell nothing."""
        now = self._monotonic()
        behind_s = time.time() - now
        was_set = abs(behind_s - self._behind_s) > _CLOCK_WAS_SET_S
        self._behind_s = behind_s
        earliest = min(self._seen_empty_at, now)
        latest = earliest if was_set else now

        def dated(dates: list[float]) -> list[float]:
            found = [date - behind_s for date in dates]
            if found and (min(found) < earliest or max(found) > latest):
                return [min(max(at, earliest), latest) for at in found]
            return found

        return dated

    def _note_state(self, identifiers: Sequence[int]) -> None:
        """What the controller reports, and that it hears again."""
        for identifier in identifiers:
            if identifier & ERROR:
                self._note_error(identifier)
            elif not identifier & REMOTE:
                self._note_recovery()

    def _note_error(self, classes: int) -> None:
        now = self._monotonic()
        if classes & _BUS_OFF:
            self._is_bus_off = True
        if classes & _RESTARTED:
            self._note_recovery()
        for bit, meaning in _ERRORS.items():
            if classes & bit:
                self._error = (meaning, now)

    def _note_recovery(self) -> None:
        if self._is_bus_off:
            self._is_bus_off = False
            self.since = self._monotonic()
