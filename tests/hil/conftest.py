"""The other side of each observer: an HTTP server and a TLS broker that say what a test tells them to."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from evswap_hil.observers.mqtt import ClientCertificate
from tests.authority import LOOPBACK, Authority, common_name, key_pem, new_key

CONNECT, CONNACK, PUBLISH, PUBACK, DISCONNECT = 0x10, 0x20, 0x30, 0x40, 0xE0
SUCCESS, FAILURE, NOT_AUTHORIZED = 0x00, 0x80, 0x87


class Issuer(Authority):
    """An authority that makes the keys, too."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        super().__init__(folder, name)
        self._folder = folder

    def issue(self, name: str) -> ClientCertificate:
        key = new_key()
        issued = ClientCertificate(self._folder / f"{name}.cert.pem", self._folder / f"{name}.key.pem")
        issued.certificate.write_bytes(self.sign(common_name(name), key.public_key()))
        issued.key.write_bytes(key_pem(key))
        return issued


@dataclass
class Broker:
    """A broker of one sentence: it answers each packet as it was told, None for silence."""

    port: int
    connack: int | None = SUCCESS
    puback: int | None = SUCCESS
    disconnects_with: int | None = None
    hangs_up_on: int | None = None
    owner: str | None = None
    """The only client id, and the only station in a topic, that is let through; None lets all through."""
    loses: bool = False
    """Acknowledges what it then forgets."""
    published: list[bytes] = field(default_factory=list)

    def converse(self, line: ssl.SSLSocket) -> None:
        while (packet := _read_packet(line)) is not None:
            kind, body = packet
            if kind in (self.hangs_up_on, DISCONNECT):
                return
            if kind == PUBLISH and self.disconnects_with is not None:
                line.sendall(bytes([DISCONNECT, 2, self.disconnects_with, 0]))
                return
            self._answer(line, kind, body)

    def _answer(self, line: ssl.SSLSocket, kind: int, body: bytes) -> None:
        if kind == CONNECT and self.connack is not None:
            # Protocol name and level, flags, keep-alive and no properties take eleven bytes.
            client_id, _rest = _text(body[11:])
            answer = self.connack if self.owner in (None, client_id) else NOT_AUTHORIZED
            line.sendall(bytes([CONNACK, 3, 0, answer, 0]))
        elif kind == PUBLISH:
            topic, rest = _text(body)
            message_id, payload = rest[:2], rest[3:]
            if self.puback is None:
                return
            answer = self.puback if self.owner is None or self.owner in topic else NOT_AUTHORIZED
            if answer < FAILURE and not self.loses:
                self.published.append(payload)
            line.sendall(bytes([PUBACK, 4]) + message_id + bytes([answer, 0]))


def _text(body: bytes) -> tuple[str, bytes]:
    """An MQTT string at the start of `body`, and what follows it."""
    end = 2 + int.from_bytes(body[:2], "big")
    return body[2:end].decode(), body[end:]


def _read_packet(line: ssl.SSLSocket) -> tuple[int, bytes] | None:
    header = line.recv(1)
    if not header:
        return None
    length, shift = 0, 0
    while True:
        (digit,) = line.recv(1)
        length |= (digit & 0x7F) << shift
        shift += 7
        if not digit & 0x80:
            break
    body = b""
    while len(body) < length:
        body += line.recv(length - len(body))
    return header[0] & 0xF0, body


@contextmanager
def serve_broker(context: ssl.SSLContext) -> Iterator[Broker]:
    listener = socket.create_server((LOOPBACK, 0))
    broker = Broker(listener.getsockname()[1])

    def accept() -> None:
        # A client that the handshake refuses, or that goes away, is part of the game.
        while True:
            try:
                connection, _peer = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError), context.wrap_socket(connection, server_side=True) as line:
                line.settimeout(10)
                broker.converse(line)

    thread = threading.Thread(target=accept, name="broker")
    thread.start()
    yield broker
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.fixture
def authority(tmp_path) -> Issuer:
    return Issuer(tmp_path)


@pytest.fixture
def broker(authority) -> Iterator[Broker]:
    """A broker that insists on a certificate of the authority."""
    own = authority.issue("broker")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(own.certificate, own.key)
    with serve_broker(context) as running:
        yield running


@pytest.fixture
def closed_port() -> int:
    """A port of this machine where nobody listens."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass
class Request:
    path: str
    query: dict[str, str]
    headers: dict[str, str]


Answer = tuple[int, Any]


@dataclass
class Api:
    """An API whose answers a test gives as a function of the request."""

    url: str
    answer: Callable[[Request], Answer] = lambda _request: (404, {})
    requests: list[Request] = field(default_factory=list)


@pytest.fixture
def api() -> Iterator[Api]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(address.path, query, headers)
            running.requests.append(request)
            status, body = running.answer(request)
            payload = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
            pass

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    running = Api(f"http://{LOOPBACK}:{server.server_port}/prod")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    server.shutdown()
    server.server_close()
    thread.join()
