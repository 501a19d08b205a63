"""Frames off a socket: as the kernel and the library lay them out, all of them, in order, and dated."""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from typing import Final

import can
import pytest
from can.interfaces.socketcan.socketcan import build_can_frame
from can.interfaces.udp_multicast.utils import pack_message
from hypothesis import given
from hypothesis import strategies as st

from evswap_edge.drivers.can.bursts import Burst
from evswap_edge.drivers.can.bus import key_of
from evswap_edge.drivers.can.frames import ERROR, REMOTE, Frame
from evswap_edge.drivers.can.receiving import DATAGRAMS, KERNEL_FRAMES, SocketInlet, Wire

SO_TIMESTAMPNS: Final = 35
LONGEST_WAIT_S: Final = 30.0
A_BURST: Final = 300
"""More than one call to the kernel brings, and less than its buffer has room for."""
A_TICK_S: Final = 1e-6
"""A date is a binary fraction of seconds since 1970, good for a quarter of a microsecond."""


def frames_of(wire: Wire, *raw: bytes) -> list[Frame]:
    """What lies in the rooms, with what was there before behind it; dated by the room."""
    rooms = b"".join(each.ljust(wire.room, b"\x55")[: wire.room] for each in raw)
    lengths = [min(len(each), wire.room) for each in raw]
    return [*wire.frames(Burst(memoryview(rooms), lengths, [float(room) for room, _ in enumerate(raw)]))]


def said(wire: Wire, *raw: bytes) -> list[tuple[int, bytes]]:
    return [(identifier, data) for identifier, data, _ in frames_of(wire, *raw)]


@st.composite
def messages(draw: st.DrawFn) -> can.Message:
    extended, remote = draw(st.booleans()), draw(st.booleans())
    return can.Message(
        arbitration_id=draw(st.integers(0, 0x1FFF_FFFF if extended else 0x7FF)),
        is_extended_id=extended,
        is_remote_frame=remote,
        data=None if remote else draw(st.binary(max_size=8)),
        check=True,
    )


@given(st.lists(messages(), max_size=4))
def test_frames_are_read_as_the_library_writes_them(several: list[can.Message]) -> None:
    expected = [
        (
            key_of(message.arbitration_id, extended=message.is_extended_id)
            | (REMOTE if message.is_remote_frame else 0),
            bytes(message.data),
        )
        for message in several
    ]
    assert said(KERNEL_FRAMES, *map(build_can_frame, several)) == expected
    assert said(DATAGRAMS, *map(pack_message, several)) == expected


def test_what_a_controller_reports_is_told_from_a_frame() -> None:
    message = can.Message(arbitration_id=0x40, is_error_frame=True, is_extended_id=False, data=bytes(8))
    assert said(KERNEL_FRAMES, build_can_frame(message)) == [(ERROR | 0x40, bytes(8))]
    assert said(DATAGRAMS, pack_message(message)) == [(ERROR | 0x40, bytes(8))]


@pytest.mark.parametrize(
    "identifier", [-1, 0x2000_0000, 2**70], ids=["negative", "of 30 bits", "beyond all numbers"]
)
def test_a_strangers_datagram_is_no_frame(identifier: int) -> None:
    good = can.Message(arbitration_id=0x100, is_extended_id=False, data=b"12345678")
    spoilt = (b"", b"\x80", b"\xff" * 40, pack_message(can.Message(data=bytes(9), is_fd=True)))
    expected = [(0x100, b"12345678", float(len(spoilt)))]
    assert frames_of(DATAGRAMS, *spoilt, pack_message(good), *spoilt) == expected
    assert frames_of(KERNEL_FRAMES, *spoilt, build_can_frame(good), *spoilt) == expected
    message = can.Message(arbitration_id=0x100)
    message.arbitration_id = identifier
    if -(2**63) <= identifier < 2**64:
        assert said(DATAGRAMS, pack_message(message)) == []


@contextmanager
def line() -> Iterator[tuple[socket.socket, SocketInlet]]:
    """A socket that carries and dates datagrams, as that of a CAN interface does."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far,
    ):
        ours.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        ours.bind(("127.0.0.1", 0))
        far.connect(ours.getsockname())
        with closing(SocketInlet(ours.fileno(), KERNEL_FRAMES)) as inlet:
            wait_until_dated(far, inlet)
            yield far, inlet


def wait_until_dated(far: socket.socket, inlet: SocketInlet) -> None:
    """The kernel begins to date what comes a moment after the first socket has asked for that; what came
    before, it dates when it is read (``net_enable_timestamp``)."""
    deadline = time.monotonic() + LONGEST_WAIT_S
    dates, sent_at = [float("inf")], 0.0
    while not dates or dates[-1] > sent_at:
        assert time.monotonic() < deadline, "the kernel does not date what comes"
        far.send(frame(0))
        sent_at = time.time()
        dates = [came_at for _, _, came_at in inlet.take(10, as_they_are)]


def as_they_are(dates: list[float]) -> list[float]:
    return dates


def frame(number: int) -> bytes:
    return struct.pack("=IB3x8s", number, 8, number.to_bytes(8, "little"))


def test_all_that_waits_is_taken_in_order_and_each_dated_when_it_came() -> None:
    with line() as (far, inlet):
        moments = [time.time()]
        for number in range(A_BURST):
            far.send(frame(number))
            moments.append(time.time())
        frames = inlet.take(1_000, as_they_are)
        assert [(n, int.from_bytes(data, "little")) for n, data, _ in frames] == [
            (n, n) for n in range(A_BURST)
        ]
        for (_, _, came_at), (before, behind) in zip(frames, pairwise(moments), strict=True):
            assert before - A_TICK_S <= came_at <= behind + A_TICK_S
        assert not inlet.take(1_000, as_they_are)


def test_a_burst_leaves_nothing_of_the_one_before() -> None:
    with line() as (far, inlet):
        far.send(struct.pack("=IB3x8s", 1, 8, b"\xff" * 8))
        far.send(frame(2))
        before = time.time()
        assert [data for _, data, _ in inlet.take(10, as_they_are)] == [b"\xff" * 8, frame(2)[8:]]
        far.send(struct.pack("=IB3x8s", 3, 2, b"ab"))
        ((identifier, data, came_at),) = inlet.take(10, as_they_are)
        assert (identifier, data) == (3, b"ab")
        assert came_at >= before - A_TICK_S


def test_a_frame_without_a_date_costs_the_next_ones_none() -> None:
    with line() as (far, inlet):
        inlet._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 0)
        far.send(frame(1))
        assert len(inlet.take(10, as_they_are)) == 1
        inlet._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        before = time.time()
        far.send(frame(2))
        ((_, _, came_at),) = inlet.take(10, as_they_are)
        assert came_at >= before - A_TICK_S


def test_not_more_is_taken_than_is_wanted_and_what_is_no_frame_is_left_out() -> None:
    with line() as (far, inlet):
        for number in range(10):
            far.send(frame(number) if number % 2 else b"nonsense")
        assert [identifier for identifier, _, _ in inlet.take(6, as_they_are)] == [1, 3, 5]
        assert [identifier for identifier, _, _ in inlet.take(6, as_they_are)] == [7, 9]


def test_a_socket_that_was_lost_says_so() -> None:
    with line() as (_, inlet):
        inlet.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            inlet.take(1, as_they_are)
