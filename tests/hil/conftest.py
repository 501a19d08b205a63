"""The other side of each observer: an HTTP server and a TLS broker that say what a test tells them to."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from evswap_hil.observers.mqtt import ClientCertificate
from tests.authority import LOOPBACK, Authority, common_name, key_pem, new_key
from tests.mqtt_wire import (
    CONNACK,
    CONNECT,
    DISCONNECT,
    FAILURE,
    NOT_AUTHORIZED,
    PUBACK,
    PUBLISH,
    SUCCESS,
    client_id,
    read_packet,
    serve,
    server_context,
    text,
)


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

    port: int = 0
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
        while (packet := read_packet(line)) is not None:
            kind, body = packet
            if kind in (self.hangs_up_on, DISCONNECT):
                return
            if kind == PUBLISH and self.disconnects_with is not None:
                line.sendall(bytes([DISCONNECT, 2, self.disconnects_with, 0]))
                return
            self._answer(line, kind, body)

    def _answer(self, line: ssl.SSLSocket, kind: int, body: bytes) -> None:
        if kind == CONNECT and self.connack is not None:
            answer = self.connack if self.owner in (None, client_id(body)) else NOT_AUTHORIZED
            line.sendall(bytes([CONNACK, 3, 0, answer, 0]))
        elif kind == PUBLISH:
            topic, rest = text(body)
            message_id, payload = rest[:2], rest[3:]
            if self.puback is None:
                return
            answer = self.puback if self.owner is None or self.owner in topic else NOT_AUTHORIZED
            if answer < FAILURE and not self.loses:
                self.published.append(payload)
            line.sendall(bytes([PUBACK, 4]) + message_id + bytes([answer, 0]))


@contextmanager
def serve_broker(context: ssl.SSLContext) -> Iterator[Broker]:
    broker = Broker()
    with serve(context, broker.converse) as broker.port:
        yield broker


@pytest.fixture
def authority(tmp_path) -> Issuer:
    return Issuer(tmp_path)


@pytest.fixture
def broker(authority) -> Iterator[Broker]:
    """A broker that insists on a certificate of the authority."""
    own = authority.issue("broker")
    with serve_broker(server_context(authority.certificate, own.certificate, own.key)) as running:
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
