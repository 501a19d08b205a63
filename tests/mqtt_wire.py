"""As much of MQTT 5 over mutual TLS as a far side needs that says what a test tells it to."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.authority import LOOPBACK

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, DISCONNECT = 0x10, 0x20, 0x30, 0x40, 0x80, 0x90, 0xE0
SUCCESS, FAILURE, NOT_AUTHORIZED = 0x00, 0x80, 0x87

PATIENCE_S = 10

Packet = tuple[int, bytes]


def server_context(authority: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """A server that shows `certificate` and insists on one of `authority`'s."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    return context


@contextmanager
def serve(context: ssl.SSLContext, converse: Callable[[ssl.SSLSocket], None]) -> Iterator[int]:
    """Has one conversation after another, on the port that it gives."""
    listener = socket.create_server((LOOPBACK, 0))

    def accept() -> None:
        # A client that the handshake refuses, or that goes away, is part of the game.
        while True:
            try:
                connection, _peer = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError), context.wrap_socket(connection, server_side=True) as line:
                line.settimeout(PATIENCE_S)
                converse(line)

    thread = threading.Thread(target=accept, name="far side")
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def read_packet(line: ssl.SSLSocket) -> Packet | None:
    """The next packet's kind and body; None when the client has gone."""
    header = line.recv(1)
    if not header:
        return None
    length, shift, more = 0, 0, True
    while more:
        (digit,) = line.recv(1)
        length, shift, more = length | (digit & 0x7F) << shift, shift + 7, bool(digit & 0x80)
    body = b""
    while len(body) < length:
        body += line.recv(length - len(body))
    return header[0] & 0xF0, body


def client_id(connect: bytes) -> str:
    """Of the body of a CONNECT."""
    # Protocol name and level, flags, keep-alive and no properties take eleven bytes.
    return text(connect[11:])[0]


def text(body: bytes) -> tuple[str, bytes]:
    """An MQTT string at the start of `body`, and what follows it."""
    end = 2 + int.from_bytes(body[:2], "big")
    return body[2:end].decode(), body[end:]
