"""Frames as they come off a bus, all that wait at once.

The library opens the bus. It makes an object of fifteen fields of each frame, which takes longer than all
else that is done with it: so where there is a socket, the bytes are read from it here, as
include/uapi/linux/can.h has them, or as the library packs them over UDP.
"""

import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Annotated, Final, Protocol

import can
import msgspec

from evswap_edge.drivers.can.bus import Interface, key_of

REMOTE: Final = 0x4000_0000
ERROR: Final = 0x2000_0000
"""Bits of a frame's identifier, beside the one of 29-bit ones: a request for a frame, and what the controller
reports."""

_CAN_FRAME: Final = struct.Struct("=IB3x8s")
_TIMESPEC: Final = struct.Struct("@ll")
_LARGEST: Final = 512
"""Bytes: a frame of the kernel's has 16, one in a datagram 162."""
_EACH_IS_DATED: Final = 16
"""Of so many of the frames that wait, the kernel is asked for the date of each, and then of one in as
many: it takes as long as all the rest of receiving. The others get the date of one that came before."""
_WANTED_BUFFER: Final = 1 << 20
"""Bytes of frames that the kernel is asked to keep. It gives what net.core.rmem_max allows; with the 208 KiB
that is usual it keeps 540 frames."""


Frame = tuple[int, bytes, float]
"""What came: the identifier as in the kernel, with its bits for length and kind; the data; and its date, by
the wall clock."""


class Inlet(Protocol):
    """Where frames come in."""

    def take(self, most: int) -> Sequence[Frame]:
        """What waits, the oldest first; fewer than ``most`` when nothing is left. Raises ``OSError`` or
        ``can.CanError`` when the bus has gone."""
        ...

    def close(self) -> None: ...


def inlet_of(bus: can.BusABC, interface: Interface) -> Inlet:
    """The way in for what comes on ``bus``."""
    match interface:
        case Interface.SOCKETCAN:
            return SocketInlet(bus.fileno(), kernel_frame)
        case Interface.UDP_MULTICAST:
            return SocketInlet(bus.fileno(), datagram)
        case _:
            return _LibraryInlet(bus)


Parse = Callable[[bytes], tuple[int, bytes] | None]
"""Identifier and data; None of what is no frame."""


class SocketInlet:
    """A socket that the library has set up; this is a second handle to it. The kernel dates what comes."""

    def __init__(self, descriptor: int, parse: Parse) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WANTED_BUFFER)
        self._parse = parse

    def take(self, most: int) -> Sequence[Frame]:
        frames: list[Frame] = []
        parse, receive, came_at = self._parse, self._socket.recv, 0.0
        try:
            for n in range(most):
                if n < _EACH_IS_DATED or not n % _EACH_IS_DATED:
                    raw, came_at = self._receive_dated()
                else:
                    raw = receive(_LARGEST)
                if parsed := parse(raw):
                    frames.append((*parsed, came_at))
        except BlockingIOError:
            pass
        return frames

    def close(self) -> None:
        self._socket.close()

    def _receive_dated(self) -> tuple[bytes, float]:
        raw, ancillary, _, _ = self._socket.recvmsg(_LARGEST, socket.CMSG_SPACE(_TIMESPEC.size))
        seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
        return raw, seconds + nanoseconds * 1e-9


class _LibraryInlet:
    """A bus inside the process, which is a queue."""

    def __init__(self, bus: can.BusABC) -> None:
        self._bus = bus

    def take(self, most: int) -> Sequence[Frame]:
        frames: list[Frame] = []
        while len(frames) < most and (message := self._bus.recv(0)) is not None:
            kind = ERROR * message.is_error_frame | REMOTE * message.is_remote_frame
            key = key_of(message.arbitration_id, extended=message.is_extended_id)
            frames.append((key | kind, bytes(message.data), message.timestamp))
        return frames

    def close(self) -> None: ...


def kernel_frame(raw: bytes) -> tuple[int, bytes] | None:
    """A ``struct can_frame``."""
    if len(raw) != _CAN_FRAME.size:
        return None
    identifier, length, data = _CAN_FRAME.unpack(raw)
    return identifier, data[:length]


class _Datagram(msgspec.Struct):
    """A frame as the library sends it over UDP; it has more fields."""

    arbitration_id: Annotated[int, msgspec.Meta(ge=0, le=0x1FFF_FFFF)]
    is_extended_id: bool
    is_remote_frame: bool
    is_error_frame: bool
    data: Annotated[bytes, msgspec.Meta(max_length=8)]


_decode: Final = msgspec.msgpack.Decoder(_Datagram).decode


def datagram(raw: bytes) -> tuple[int, bytes] | None:
    """What the library packs into a datagram. Anybody may send to a multicast group: a stranger's is no
    frame."""
    try:
        said = _decode(raw)
    except msgspec.DecodeError:
        return None
    kind = ERROR * said.is_error_frame | REMOTE * said.is_remote_frame
    return key_of(said.arbitration_id, extended=said.is_extended_id) | kind, said.data
