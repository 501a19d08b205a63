"""The link that can be cut, between a real client and a real server."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from evswap_hil.deadline import wait_until
from evswap_hil.link import Link, LinkState, PortTaken, demand_free
from tests.authority import LOOPBACK

ANSWER_WITHIN_S = 60
SILENT_FOR_S = 0.5


class Echo:
    """A server that repeats what it hears, until the other side has ended."""

    def __init__(self) -> None:
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = int(self._listener.getsockname()[1])
        self.heard: list[bytes] = []
        self.ended = 0
        self._lines: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in self._lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(ANSWER_WITHIN_S)
        for line in self._lines:
            line.close()

    def hang_up(self) -> None:
        for line in self._lines:
            line.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                line, _peer = self._listener.accept()
                self._lines.append(line)
                thread = threading.Thread(target=self._repeat, args=[line])
                self._threads.append(thread)
                thread.start()

    def _repeat(self, line: socket.socket) -> None:
        with suppress(OSError):
            while heard := line.recv(65536):
                self.heard.append(heard)
                line.sendall(heard)
            line.shutdown(socket.SHUT_WR)
        self.ended += 1


@pytest.fixture
def echo() -> Iterator[Echo]:
    with closing(Echo()) as server:
        yield server


@pytest.fixture
def link(echo: Echo) -> Iterator[Link]:
    with Link(LOOPBACK, echo.port) as running:
        yield running


@contextmanager
def client(link: Link) -> Iterator[socket.socket]:
    with socket.create_connection(link.address, timeout=ANSWER_WITHIN_S) as line:
        yield line


def says(line: socket.socket, text: bytes) -> bytes:
    line.sendall(text)
    heard = b""
    while len(heard) < len(text) and (chunk := line.recv(65536)):
        heard += chunk
    return heard


def is_reset(line: socket.socket) -> bool:
    """Whether the other side has broken the connection off, instead of ending it."""
    with suppress(ConnectionResetError, BrokenPipeError):
        while line.recv(65536):
            pass
        return False
    return True


def is_turned_away(link: Link) -> bool:
    """Whether a new connection is broken off: as soon as it is made, or already while it is being made."""
    try:
        with client(link) as late:
            return is_reset(late)
    except ConnectionResetError:
        return True


def hears_nothing(line: socket.socket) -> bool:
    line.settimeout(SILENT_FOR_S)
    try:
        return line.recv(1) == b"never"
    except TimeoutError:
        return True
    finally:
        line.settimeout(ANSWER_WITHIN_S)


def test_it_lets_everything_through(link: Link) -> None:
    with client(link) as one, client(link) as other:
        assert says(one, b"x" * 300_000) == b"x" * 300_000
        assert says(other, b"hello") == b"hello"


def test_the_end_of_one_side_is_the_end_of_the_other(link: Link, echo: Echo) -> None:
    with client(link) as line:
        assert says(line, b"hello") == b"hello"
        echo.hang_up()
        assert line.recv(1) == b""
    with client(link) as line:
        assert says(line, b"again") == b"again"
    wait_until(lambda: echo.ended == 2, what="the end at the server", within=ANSWER_WITHIN_S)


def test_a_cut_resets_what_there_is_and_whoever_comes(link: Link, echo: Echo) -> None:
    with client(link) as line:
        assert says(line, b"before") == b"before"
        link.cut()
        assert link.state is LinkState.CUT
        assert is_reset(line)
    assert is_turned_away(link)
    link.restore()
    with client(link) as line:
        assert says(line, b"after") == b"after"
    assert echo.heard == [b"before", b"after"]


def test_a_dead_connection_tells_nobody_and_stays_dead(link: Link, echo: Echo) -> None:
    with client(link) as line, client(link) as other:
        assert says(line, b"before") == b"before"
        assert says(other, b"there") == b"there"
        link.swallow()
        line.sendall(b"lost")
        assert hears_nothing(line)
        link.restore()
        line.sendall(b"lost too")
        echo.hang_up()
        assert hears_nothing(line)
        assert hears_nothing(other)
    assert echo.heard == [b"before", b"there"]


def test_who_comes_while_it_swallows_gets_no_answer_ever(link: Link, echo: Echo) -> None:
    link.swallow()
    with client(link) as line:
        line.sendall(b"hello")
        assert hears_nothing(line)
        link.restore()
        assert hears_nothing(line)
        with client(link) as new:
            assert says(new, b"new") == b"new"
    assert echo.heard == [b"new"]


def test_a_dead_connection_can_be_cut(link: Link) -> None:
    with client(link) as line:
        assert says(line, b"before") == b"before"
        link.swallow()
        link.cut()
        assert is_reset(line)


def test_a_far_end_that_is_not_there_ends_the_near_one(closed_port: int) -> None:
    with Link(LOOPBACK, closed_port) as link:
        assert is_turned_away(link)


def test_closed_it_leaves_nothing(echo: Echo) -> None:
    link = Link(LOOPBACK, echo.port)
    address = link.address
    with client(link) as line:
        assert says(line, b"hello") == b"hello"
        link.close()
        assert is_reset(line)
    link.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=ANSWER_WITHIN_S)
    assert not [thread for thread in threading.enumerate() if thread.name == "link"]


def test_a_taken_port_is_named(echo: Echo) -> None:
    with pytest.raises(PortTaken, match=rf"{echo.port}.*another port") as taken:
        Link(LOOPBACK, 1, listen_port=echo.port)
    assert taken.value.port == echo.port
    with pytest.raises(PortTaken):
        demand_free(echo.port)


def test_a_chosen_port_is_taken(echo: Echo, closed_port: int) -> None:
    demand_free(closed_port)
    with Link(LOOPBACK, echo.port, listen_port=closed_port) as link:
        assert link.address == (LOOPBACK, closed_port)


def test_a_client_that_resets_harms_nobody(link: Link) -> None:
    with client(link) as rude:
        assert says(rude, b"hello") == b"hello"
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with client(link) as line:
        assert says(line, b"still there") == b"still there"
