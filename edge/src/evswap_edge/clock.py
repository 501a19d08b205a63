"""Time as the station sees it: a monotonic clock to act by, and a wall clock that may be wrong.

A Raspberry Pi has no battery-backed clock: after a power cut its wall clock stands somewhere in the past
until NTP answers. So nothing here is timed by the wall clock, and every reading says whether the wall clock
was to be believed.
"""

import asyncio
import ctypes
import math
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from evswap_schema import Clock as ClockState

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_TIME_ERROR: Final = 5
"""adjtimex(2) returns TIME_ERROR while the clock is not synchronised (STA_UNSYNC), which is so from boot
until an NTP client has disciplined it. See ``man 2 adjtimex`` and include/uapi/linux/timex.h."""
_TIMEX_ROOM: Final = 512
"""More than ``struct timex`` takes on any Linux (208 bytes on 64-bit). Its first word, ``modes``, is 0 and
stays 0: read only."""
_ASK_AGAIN_S: Final = 0.1
"""An answer of the kernel holds so long: it changes twice in a boot, and a call into it can take longer than
all else that a stamp costs."""


class TimeSource(Protocol):
    """The clocks that the station runs by. Tests and accelerated simulations bring their own."""

    @property
    def boot_id(self) -> str:
        """Names the period in which ``monotonic`` counts without a break: one boot of the machine."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        ...

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        ...

    def state(self) -> ClockState:
        """Whether ``now`` was set by a time source, or is a guess."""
        ...

    async def wait_until(self, moment: float, *, unless: asyncio.Event) -> None:
        """Return when ``monotonic`` has reached ``moment``, or as soon as ``unless`` is set."""
        ...


class Stamp(Struct, frozen=True, gc=False):
    """When something was, by both clocks: ``uptime`` seconds (monotonic) into the boot ``boot_id``.

    ``offset_s`` is what the wall clock, as it stood, was ahead of the monotonic one: seconds since 1970 minus
    ``uptime``. Where ``clock`` calls it estimated, the difference to the boot's true offset, once that is
    known, is the wall clock's error.
    """

    boot_id: str
    uptime: float
    offset_s: float
    clock: ClockState

    @property
    def wall_s(self) -> float:
        """Seconds since 1970, as the wall clock stood."""
        return self.uptime + self.offset_s

    @property
    def wall_clock(self) -> datetime:
        """What the wall clock showed, in whole milliseconds, as messages carry it."""
        return _EPOCH + timedelta(milliseconds=int(self.wall_s * 1_000))


def stamp_now(time: TimeSource) -> Stamp:
    """Read both clocks of ``time``."""
    uptime = time.monotonic()
    return Stamp(
        boot_id=time.boot_id,
        uptime=uptime,
        offset_s=time.now().timestamp() - uptime,
        clock=time.state(),
    )


class SystemTime:
    """The machine's own clocks."""

    def __init__(self) -> None:
        self.boot_id = _read_boot_id()
        # The call takes less than a microsecond: letting other threads run meanwhile would cost fifty.
        self._libc = ctypes.PyDLL(None)
        self._timex = ctypes.create_string_buffer(_TIMEX_ROOM)
        self._state = ClockState.ESTIMATED
        self._ask_at = -math.inf

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def state(self) -> ClockState:
        """Ask the kernel. A kernel that does not answer (a strict sandbox) vouches for nothing: estimated."""
        moment = time.monotonic()
        if moment >= self._ask_at:
            answer = int(self._libc.adjtimex(self._timex))
            self._state = ClockState.SYNCHRONIZED if 0 <= answer < _TIME_ERROR else ClockState.ESTIMATED
            self._ask_at = moment + _ASK_AGAIN_S
        return self._state

    async def wait_until(self, moment: float, *, unless: asyncio.Event) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, moment - time.monotonic())):
                await unless.wait()


def _read_boot_id() -> str:
    """random(4): a fresh UUID for each boot."""
    return _BOOT_ID.read_text(encoding="ascii").strip()
