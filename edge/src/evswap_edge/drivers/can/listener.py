"""Hears what is said on a bus, as long as it is open, and knows what is wrong with the bus itself."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

import can

from evswap_edge.drivers.can.bus import Address, Interface, Key, key_of, open_bus

Hear = Callable[[Key, bytes, float], None]
"""Takes the identifier, the data, and the moment (monotonic) at which the frame came."""

_PAUSE_S: Final = 0.01
"""After what there was to read has been read, so long nothing is looked at: a busy bus wakes the process a
hundred times a second instead of once for each frame. The kernel keeps what comes meanwhile."""
_MOST_AT_ONCE: Final = 256
"""Frames read without giving others a turn; 1 Mbit/s carries fewer than 200 in a pause."""

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
    """Hands each frame to ``hear``. A bus that was lost is opened again by ``open``."""

    def __init__(
        self, address: Address, *, wanted: Sequence[Key], hear: Hear, monotonic: Callable[[], float]
    ) -> None:
        self._address = address
        self._wanted = wanted
        self._hear = hear
        self._monotonic = monotonic
        self._bus: can.BusABC | None = None
        self._descriptor = -1
        self._pause: asyncio.TimerHandle | None = None
        self._seen_empty_at = 0.0
        self._is_bus_off = False
        self._error: tuple[str, float] | None = None
        self.since = 0.0
        """When it began to listen, or could hear again."""

    def open(self) -> None:
        """Open the bus, unless it is open. Raises ``DriverUnavailable``."""
        if self._bus is not None:
            return
        self._bus = open_bus(self._address, self._wanted)
        self._descriptor = _descriptor(self._bus)
        self._is_bus_off = False
        self.since = self._seen_empty_at = self._monotonic()
        self._await_frames()

    def close(self) -> None:
        """Give the bus back. Safe to call twice."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if self._bus is not None:
            if self._descriptor >= 0:
                asyncio.get_running_loop().remove_reader(self._descriptor)
            self._bus.shutdown()
            self._bus = None

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

    def _await_frames(self) -> None:
        """Look again when there is something, or, where the bus cannot tell, after a pause."""
        self._pause = None
        if self._descriptor >= 0:
            asyncio.get_running_loop().add_reader(self._descriptor, self._read)
        else:
            self._read()

    def _read(self) -> None:
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
        for _ in range(_MOST_AT_ONCE):
            if self._bus is None or not self._read_one(self._bus):
                break
        if self._bus is not None:
            self._pause = asyncio.get_running_loop().call_later(_PAUSE_S, self._await_frames)

    def _read_one(self, bus: can.BusABC) -> bool:
        """Whether there may be another one."""
        try:
            frame = bus.recv(0)
        except (can.CanError, OSError) as error:
            return self._stumble(error)
        if frame is None:
            self._seen_empty_at = self._monotonic()
            return False
        if frame.is_error_frame:
            self._note_error(frame.arbitration_id)
        elif not frame.is_remote_frame:
            self._note_recovery()
            key = key_of(frame.arbitration_id, extended=frame.is_extended_id)
            self._hear(key, bytes(frame.data), self._came_at(frame))
        return True

    def _came_at(self, frame: can.Message) -> float:
        """A frame may have waited for a process that was held up. How long, the kernel's stamp says, by a
        clock that somebody may just have set; but never longer than since nothing was waiting."""
        now = self._monotonic()
        waited_s = max(0.0, time.time() - frame.timestamp)
        return max(now - waited_s, min(self._seen_empty_at, now))

    def _stumble(self, error: Exception) -> bool:
        """What has no number of the system's is about one frame (of UDP, a stranger's), and the next may be
        well. With one, the interface is gone: opening it again says why."""
        number = error.errno if isinstance(error, OSError) else getattr(error, "error_code", None)
        if number is None:
            return True
        self.close()
        return False

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


def _descriptor(bus: can.BusABC) -> int:
    try:
        return bus.fileno()
    except NotImplementedError:
        return -1
