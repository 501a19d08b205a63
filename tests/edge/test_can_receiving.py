"""Frames off a socket: as the kernel and the library lay them out, all of them, in order, and dated."""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import can
import pytest
from can.interfaces.socketcan.socketcan import build_can_frame
from can.interfaces.udp_multicast.utils import pack_message
from hypothesis import given
from hypothesis import strategies as st

from evswap_edge.drivers.can.bus import key_of
from evswap_edge.drivers.can.receiving import ERROR, REMOTE, SocketInlet, datagram, kernel_frame

SO_TIMESTAMPNS: Final = 35
A_BURST: Final = 100


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


@given(messages())
def test_a_frame_is_read_as_the_library_writes_it(message: can.Message) -> None:
    kind = REMOTE if message.is_remote_frame else 0
    expected = (
        key_of(message.arbitration_id, extended=message.is_extended_id) | kind,
        bytes(message.data),
    )
    assert kernel_frame(build_can_frame(message)) == expected
    assert datagram(pack_message(message)) == expected


def test_what_a_controller_reports_is_told_from_a_frame() -> None:
    message = can.Message(arbitration_id=0x40, is_error_frame=True, is_extended_id=False, data=bytes(8))
    assert kernel_frame(build_can_frame(message)) == (ERROR | 0x40, bytes(8))
    assert datagram(pack_message(message)) == (ERROR | 0x40, bytes(8))


@pytest.mark.parametrize(
    "identifier", [-1, 0x2000_0000, 2**70], ids=["negative", "of 30 bits", "beyond all numbers"]
)
def test_a_strangers_datagram_is_no_frame(identifier: int) -> None:
    said = datagram(pack_message(can.Message(arbitration_id=0x100, data=b"12345678")))
    assert said is not None
    for nonsense in (b"", b"\x80", b"\xff" * 40, pack_message(can.Message(data=bytes(9), is_fd=True))):
        assert datagram(nonsense) is None
        assert kernel_frame(nonsense) is None
    message = can.Message(arbitration_id=0x100)
    message.arbitration_id = identifier
    if -(2**63) <= identifier < 2**64:
        assert datagram(pack_message(message)) is None


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
        inlet = SocketInlet(ours.fileno(), kernel_frame)
        yield far, inlet
        inlet.close()


def frame(number: int) -> bytes:
    return struct.pack("=IB3x8s", number, 8, number.to_bytes(8, "little"))


def test_all_that_waits_is_taken_in_order_and_dated_not_later_than_it_came() -> None:
    with line() as (far, inlet):
        sent_at = []
        for number in range(A_BURST):
            far.send(frame(number))
            sent_at.append(time.time())
        frames = inlet.take(1_000)
        assert [(identifier, data[0]) for identifier, data, _ in frames] == [(n, n) for n in range(A_BURST)]
        assert all(came_at <= at for (_, _, came_at), at in zip(frames, sent_at, strict=True))
        assert all(
            came_at >= at for (_, _, came_at), at in zip(frames[16:], sent_at[: A_BURST - 16], strict=True)
        )
        assert not inlet.take(1_000)


def test_not_more_is_taken_than_is_wanted_and_what_is_no_frame_is_left_out() -> None:
    with line() as (far, inlet):
        for number in range(10):
            far.send(frame(number) if number % 2 else b"nonsense")
        assert [identifier for identifier, _, _ in inlet.take(6)] == [1, 3, 5]
        assert [identifier for identifier, _, _ in inlet.take(6)] == [7, 9]


def test_a_socket_that_was_lost_says_so() -> None:
    with line() as (_, inlet):
        inlet.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            inlet.take(1)
