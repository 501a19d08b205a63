"""Frames as they come off a bus, all that wait at once.

The library opens the bus. It makes an object of fifteen fields of each frame, which takes longer than all
else that is done with it: so where there is a socket, the bytes are read from it here, as
include/uapi/linux/can.h has them, or as the library packs them over UDP.
"""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Final, Protocol

import can
import msgspec

from evswap_edge.drivers.can.bursts import Burst, Rooms
from evswap_edge.drivers.can.bus import Interface, key_of
from evswap_edge.drivers.can.frames import ERROR, REMOTE, ROOM, Frame, Frames

_CAN_FRAME: Final = 16
"""Bytes of a ``struct can_frame``: four of the identifier, one of the length, and from the ninth on the
data."""
_CAN_ROOM: Final = 32
"""Bytes: more than a frame has, so that what is longer shows."""
_LENGTH_AT: Final = 4
_DATA_AT: Final = 8
_LENGTHS: Final = bytes(min(length, ROOM) for length in range(256))
"""By what a frame says that it has: no more than there can be."""
_DATAGRAM_ROOM: Final = 256
"""Bytes: a frame in a datagram has 162 at most."""
_AT_ONCE: Final = 256
"""Frames that one call to the kernel brings."""
_WANTED_BUFFER: Final = 1 << 20
"""Bytes of frames that the kernel is asked to keep. It gives what net.core.rmem_max allows, 208 KiB before
Linux 6.16, and says that it is twice as much, since it counts what it needs itself."""
_KERNELS_BYTES_A_FRAME: Final = 768
_QUEUED: Final = 1 << 20
"""Frames that a bus inside the process keeps: all of them."""

Dated = Callable[[list[float]], list[float]]
"""Makes dates that are worth something of those by the wall clock."""


class Inlet(Protocol):
    """Where frames come in."""

    @property
    def room(self) -> int:
        """How many frames are kept until they are taken; of more, the newest are lost."""
        ...

    def take(self, most: int, dated: Dated) -> Frames:
        """What waits, the oldest first; fewer than ``most`` when nothing is left. Raises ``OSError`` or
        ``can.CanError`` when the bus has gone."""
        ...

    def close(self) -> None: ...


def inlet_of(bus: can.BusABC, interface: Interface) -> Inlet:
    """The way in for what comes on ``bus``."""
    match interface:
        case Interface.SOCKETCAN:
            return SocketInlet(bus.fileno(), KERNEL_FRAMES)
        case Interface.UDP_MULTICAST:
            return SocketInlet(bus.fileno(), DATAGRAMS)
        case _:
            return _LibraryInlet(bus)


@dataclass(frozen=True, slots=True)
class Wire:
    """How frames lie in what a socket gives: the room for each, and those of a burst, without what is no
    frame."""

    room: int
    frames: Callable[[Burst], Frames]


class SocketInlet:
    """A socket that the library has set up; this is a second handle to it. The kernel dates what comes."""

    def __init__(self, descriptor: int, wire: Wire) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WANTED_BUFFER)
        self._wire = wire
        self._rooms = Rooms(_AT_ONCE, size=wire.room)

    @property
    def room(self) -> int:
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // _KERNELS_BYTES_A_FRAME

    def take(self, most: int, dated: Dated) -> Frames:
        frames = Frames()
        while most > 0:
            burst = self._rooms.taken_from(self._socket.fileno(), most)
            frames += self._wire.frames(replace(burst, came_at=dated(burst.came_at)))
            most -= len(burst.lengths)
            if len(burst.lengths) < _AT_ONCE:
                break
        return frames

    def close(self) -> None:
        self._socket.close()


class _LibraryInlet:
    """A bus inside the process, which is a queue."""

    room = _QUEUED

    def __init__(self, bus: can.BusABC) -> None:
        self._bus = bus

    def take(self, most: int, dated: Dated) -> Frames:
        frames: list[Frame] = []
        while len(frames) < most and (message := self._bus.recv(0)) is not None:
            kind = ERROR * message.is_error_frame | REMOTE * message.is_remote_frame
            key = key_of(message.arbitration_id, extended=message.is_extended_id)
            (came_at,) = dated([message.timestamp])
            frames.append((key | kind, bytes(message.data), came_at))
        return Frames.of(frames)

    def close(self) -> None: ...


def kernel_frames(burst: Burst) -> Frames:
    """Each a ``struct can_frame``."""
    count = len(burst.lengths)
    if not count:
        return Frames()
    lengths = bytes(burst.rooms[_LENGTH_AT::_CAN_ROOM]).translate(_LENGTHS)
    rows = bytes(burst.rooms.cast("Q")[_DATA_AT // ROOM :: _CAN_ROOM // ROOM])
    if lengths.count(ROOM) < count:
        rows = _cut_off(rows, lengths)
    frames = Frames(burst.rooms.cast("I")[:: _CAN_ROOM // 4].tolist(), rows, lengths, burst.came_at)
    if burst.lengths.count(_CAN_FRAME) < count:
        return frames.only([size == _CAN_FRAME for size in burst.lengths])
    return frames


def _cut_off(rows: bytes, lengths: bytes) -> bytes:
    """What stands behind the data of a frame is left over from another."""
    return b"".join(
        [rows[ROOM * n : ROOM * n + length].ljust(ROOM, b"\0") for n, length in enumerate(lengths)]
    )


class _Datagram(msgspec.Struct):
    """A frame as the library sends it over UDP; it has more fields."""

    arbitration_id: Annotated[int, msgspec.Meta(ge=0, le=0x1FFF_FFFF)]
    is_extended_id: bool
    is_remote_frame: bool
    is_error_frame: bool
    data: Annotated[bytes, msgspec.Meta(max_length=8)]


_decode: Final = msgspec.msgpack.Decoder(_Datagram).decode


def datagrams(burst: Burst) -> Frames:
    """Each as the library packs it. Anybody may send to a multicast group: a stranger's is no frame."""
    starts = range(0, len(burst.rooms), _DATAGRAM_ROOM)
    laid_out = zip(starts, burst.lengths, burst.came_at, strict=True)
    return Frames.of(
        (*said, came_at)
        for start, size, came_at in laid_out
        if (said := _unpacked(burst.rooms[start : start + size])) is not None
    )


def _unpacked(raw: memoryview) -> tuple[int, bytes] | None:
    """Identifier and data."""
    try:
        said = _decode(raw)
    except msgspec.DecodeError:
        return None
    key = said.arbitration_id
    if said.is_extended_id:
        key = key_of(key, extended=True)
    if said.is_error_frame:
        key |= ERROR
    if said.is_remote_frame:
        key |= REMOTE
    return key, said.data


KERNEL_FRAMES: Final = Wire(_CAN_ROOM, kernel_frames)
DATAGRAMS: Final = Wire(_DATAGRAM_ROOM, datagrams)
