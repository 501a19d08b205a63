"""Shows from outside, on the running server, that the holes are closed.

That every name is in place does not show what it does. Each proof tries what must fail. They block, and run
in a thread beside the server.
"""

import http.client
import os
import socket
import ssl
import stat
import struct
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

TIMEOUT_S = 10.0
LOOPBACK = ("127.", "::1")
ROOT_KEYS_OF_MINISTACK = ("test", "000000000000")


def open_holes(host: str, port: int, mqtt_port: int) -> list[str]:
    """A sentence for each hole that is open on the server at ``host``; none means all proofs held."""
    found = [f"{address} is open beyond {host}" for address in listeners_beyond(host)]
    if serves_without_certificate(_dial(host), mqtt_port):
        found.append("the MQTT listener serves a client without a certificate")
    if answers(_dial(host), port, "GET", "/", {}):
        found.append("an unsigned S3 request is answered")
    if answers(_dial(host), port, "POST", "/_ministack/config", {}):
        found.append("the administration is open")
    found.extend(
        f"the key {key!r} is root without its secret"
        for key in (*ROOT_KEYS_OF_MINISTACK, os.environ.get("AWS_ACCESS_KEY_ID", ""))
        if key and answers(_dial(host), port, "POST", "/", _forged(key))
    )
    return found


def listeners_beyond(host: str) -> list[str]:
    """The addresses this process listens on that are neither loopback nor ``host``."""
    return [
        f"{address}:{port}"
        for address, port in _listeners()
        if address != host and not address.startswith(LOOPBACK)
    ]


def serves_without_certificate(host: str, port: int) -> bool:
    """Whether a TLS client without a certificate gets an answer to an MQTT CONNECT.

    With TLS 1.3 its own handshake succeeds; the refusal comes with the first read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=TIMEOUT_S) as plain,
            context.wrap_socket(plain) as link,
        ):
            link.sendall(_mqtt_connect("evswap-proof"))
            return bool(link.recv(1))
    except OSError:
        return False


def answers(host: str, port: int, method: str, path: str, headers: dict[str, str]) -> bool:
    """Whether the HTTP side answers this request with success."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, body=b"{}" if method == "POST" else None, headers=headers)
        return connection.getresponse().status < http.HTTPStatus.BAD_REQUEST
    finally:
        connection.close()


def _dial(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - dialled, not bound


def _forged(key: str) -> dict[str, str]:
    """A DynamoDB request in the name of ``key`` that its secret never signed."""
    now = datetime.now(UTC)
    return {
        "Authorization": (
            f"AWS4-HMAC-SHA256 Credential={key}/{now:%Y%m%d}/us-east-1/dynamodb/aws4_request, "
            f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
        ),
        "X-Amz-Date": f"{now:%Y%m%dT%H%M%SZ}",
        "X-Amz-Target": "DynamoDB_20120810.ListTables",
        "Content-Type": "application/x-amz-json-1.0",
    }


def _mqtt_connect(client_id: str) -> bytes:
    """A CONNECT packet of MQTT 3.1.1 (OASIS, section 3.1) with a clean session."""
    name = client_id.encode()
    body = struct.pack("!H4sBBHH", 4, b"MQTT", 4, 2, 30, len(name)) + name
    return bytes([0x10, len(body)]) + body


def _listeners() -> Iterator[tuple[str, int]]:
    """Address and port of every listening IP socket of this process."""
    for entry in list(Path("/dev/fd").iterdir()):
        with suppress(OSError, ValueError):
            descriptor = int(entry.name)
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            with socket.socket(fileno=os.dup(descriptor)) as found:
                listening = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                if listening and found.family in (socket.AF_INET, socket.AF_INET6):
                    address, port = found.getsockname()[:2]
                    yield address, port
