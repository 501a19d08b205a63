"""Many datagrams off a socket in one call, each with the kernel's date of it: ``recvmmsg``, which Python does
not offer. A call for each datagram takes longer than all that is done with a frame behind it."""

import ctypes
import errno
import os
import socket
from dataclasses import dataclass
from itertools import repeat
from operator import add, mul
from typing import Final


class _Piece(ctypes.Structure):
    """``struct iovec``."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """``struct msghdr``."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("pieces", ctypes.c_void_p),
        ("piece_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Received(ctypes.Structure):
    """``struct mmsghdr``."""

    _fields_ = (("message", _Message), ("length", ctypes.c_uint))


class _Date(ctypes.Structure):
    """``struct timespec``, as SO_TIMESTAMPNS has it."""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


_recvmmsg: Final = ctypes.CDLL(None, use_errno=True).recvmmsg
_recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)

_CONTROL_ROOM: Final = socket.CMSG_SPACE(ctypes.sizeof(_Date))
_LONG: Final = ctypes.sizeof(ctypes.c_long)
_INT: Final = ctypes.sizeof(ctypes.c_uint)


@dataclass(frozen=True, slots=True)
class Burst:
    """Datagrams in the order in which they came. ``rooms`` has each at the beginning of a room of its own,
    until the next burst is taken; ``came_at`` is by the wall clock."""

    rooms: memoryview
    lengths: list[int]
    came_at: list[float]


class Rooms:
    """Memory for so many datagrams of up to ``size`` bytes. What is longer is cut off there."""

    def __init__(self, count: int, *, size: int) -> None:
        self._count = count
        self._size = size
        self._data = ctypes.create_string_buffer(count * size)
        self._control = ctypes.create_string_buffer(count * _CONTROL_ROOM)
        self._pieces = (_Piece * count)()
        self._received = (_Received * count)()
        for number in range(count):
            self._lay_out(number)
        self._blank = bytes(self._received)
        self._rooms = memoryview(self._data).cast("B")
        lengths = memoryview(self._received).cast("B").cast("I")
        self._lengths = lengths[_Received.length.offset // _INT :: ctypes.sizeof(_Received) // _INT]
        dates = memoryview(self._control).cast("B").cast("l")
        first, apart = socket.CMSG_LEN(0) // _LONG, _CONTROL_ROOM // _LONG
        self._seconds, self._nanoseconds = dates[first::apart], dates[first + 1 :: apart]

    def taken_from(self, descriptor: int, most: int) -> Burst:
        """What waits at the socket, at most ``most`` and never more than there is room for; nothing when
        nothing waits. Raises ``OSError``."""
        ctypes.memmove(self._received, self._blank, len(self._blank))
        wanted = min(most, self._count)
        count = _recvmmsg(descriptor, self._received, wanted, socket.MSG_DONTWAIT, None)
        if count < 0:
            reason = ctypes.get_errno()
            if reason not in {errno.EAGAIN, errno.EWOULDBLOCK}:
                raise OSError(reason, os.strerror(reason))
            count = 0
        fractions_s = map(mul, self._nanoseconds[:count].tolist(), repeat(1e-9))
        return Burst(
            self._rooms[: count * self._size],
            self._lengths[:count].tolist(),
            [*map(add, self._seconds[:count].tolist(), fractions_s)],
        )

    def _lay_out(self, number: int) -> None:
        piece, message = self._pieces[number], self._received[number].message
        piece.base, piece.length = ctypes.addressof(self._data) + number * self._size, self._size
        message.pieces = ctypes.addressof(self._pieces) + number * ctypes.sizeof(_Piece)
        message.piece_count = 1
        message.control = ctypes.addressof(self._control) + number * _CONTROL_ROOM
        message.control_length = _CONTROL_ROOM
