"""The far side of fleet provisioning, over real MQTT 5 and real TLS, which does what a test tells it to.

The real one is tried in tests/local; this one gives the answers that the real one never gives when asked.
"""

import json
import ssl
import struct
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.x509 import load_pem_x509_csr

from evswap_edge.provisioning.claim import Claim
from evswap_schema import Channel, aws_topic, provisioning
from tests.authority import LOOPBACK, Authority, common_name, key_pem, new_key
from tests.mqtt_wire import (
    CONNACK,
    CONNECT,
    DISCONNECT,
    NOT_AUTHORIZED,
    PUBACK,
    PUBLISH,
    SUBACK,
    SUBSCRIBE,
    client_id,
    read_packet,
    serve,
    server_context,
    text,
)

REGISTER = provisioning.registration_topic(provisioning.TEMPLATE)
REPLACED = aws_topic(Channel.CERTIFICATE, "s-1")
HANGS_UP = "hangs up"
SILENCE = "silence"

Answer = dict[str, Any] | str | None


def refusal(code: str, *, status: int = 400) -> dict[str, Any]:
    return {"errorCode": code, "errorMessage": f"made up {code}", "statusCode": status}


@dataclass
class Desk:
    """``signing`` and ``registering`` are answered one after the other; when none is left, all is well."""

    authority: Authority
    connack: int = 0
    suback: int = 0
    puback: int = 0
    """For what comes on other topics than those of provisioning."""
    signing: deque[Answer] = field(default_factory=deque)
    registering: deque[Answer] = field(default_factory=deque)
    clients: list[str] = field(default_factory=list)
    requests: list[tuple[str, Any]] = field(default_factory=list)
    other_key: bool = False
    """Certifies a key of its own instead of the one in the request."""
    before_registration: Callable[[], None] = lambda: None
    active: set[bytes] | None = None
    """The certificates (DER) that may connect, if not all; what is registered becomes one of them."""
    shown: list[bytes] = field(default_factory=list)
    """With which certificate each connection came."""
    told: list[tuple[str, Any]] = field(default_factory=list)
    """What came on other topics."""
    signed: bytes = b""

    def certify(self, request: str) -> dict[str, Any]:
        csr = load_pem_x509_csr(request.encode())
        key: Any = new_key().public_key() if self.other_key else csr.public_key()
        certificate = self.authority.sign(csr.subject, key).decode()
        self.signed = ssl.PEM_cert_to_DER_cert(certificate)
        return {"certificatePem": certificate, "certificateOwnershipToken": "token", "certificateId": "1"}

    def answer(self, topic: str, body: Any) -> Answer:
        self.requests.append((topic, body))
        if topic == provisioning.CERTIFICATE_REQUEST_TOPIC:
            return self.signing.popleft() if self.signing else self.certify(body["certificateSigningRequest"])
        self.before_registration()
        if self.active is not None:
            self.active.add(self.signed)
        thing = {"thingName": body["parameters"]["StationId"]}
        return self.registering.popleft() if self.registering else thing

    def converse(self, line: ssl.SSLSocket) -> None:
        while (packet := read_packet(line)) is not None:
            kind, body = packet
            if kind == DISCONNECT or not self._reply(line, kind, body):
                return

    def _reply(self, line: ssl.SSLSocket, kind: int, body: bytes) -> bool:
        """False to hang up."""
        if kind == CONNECT:
            self.clients.append(client_id(body))
            self.shown.append(line.getpeercert(binary_form=True) or b"")
            line.sendall(bytes([CONNACK, 3, 0, self._welcome(), 0]))
        elif kind == SUBSCRIBE:
            filters = _filters(body[3:])
            line.sendall(bytes([SUBACK, 3 + filters]) + body[:2] + bytes([0, *([self.suback] * filters)]))
        elif kind == PUBLISH:
            topic, rest = text(body)
            return self._take(line, topic, rest[:2], json.loads(rest[3:]))
        return True

    def _welcome(self) -> int:
        """The reason code for whoever has just come."""
        known = self.active is None or self.shown[-1] in self.active
        return self.connack if known else NOT_AUTHORIZED

    def _take(self, line: ssl.SSLSocket, topic: str, packet_id: bytes, body: Any) -> bool:
        if topic in (REGISTER, provisioning.CERTIFICATE_REQUEST_TOPIC):
            line.sendall(bytes([PUBACK, 4]) + packet_id + bytes([0, 0]))
            return self._hand_out(line, topic, self.answer(topic, body))
        self.told.append((topic, body))
        line.sendall(bytes([PUBACK, 4]) + packet_id + bytes([self.puback, 0]))
        if topic == REPLACED and self.active is not None and self.puback == 0:
            self.active = {self.shown[-1]}
        return True

    def _hand_out(self, line: ssl.SSLSocket, topic: str, answer: Answer) -> bool:
        if answer == HANGS_UP:
            return False
        if answer != SILENCE:
            is_refusal = isinstance(answer, dict) and "errorCode" in answer
            suffix = provisioning.REJECTED if is_refusal else provisioning.ACCEPTED
            said = answer if isinstance(answer, str) else json.dumps(answer)
            line.sendall(_publish(f"{topic}/{suffix}", said.encode()))
        return True


@contextmanager
def open_desk(folder: Path) -> Iterator[tuple[Desk, Claim]]:
    """The desk, and a claim that it accepts."""
    authority = Authority(folder)
    desk = Desk(authority)
    context = server_context(authority.certificate, *_issue(folder, authority, "desk"))
    certificate, key = _issue(folder, authority, "claim")
    with serve(context, desk.converse) as port:
        yield (
            desk,
            Claim(
                host=LOOPBACK,
                port=port,
                certificate_file=certificate,
                key_file=key,
                ca_file=authority.certificate,
                timeout_s=5,
            ),
        )


def _issue(folder: Path, authority: Authority, name: str) -> tuple[Path, Path]:
    key, certificate = new_key(), folder / f"{name}.cert.pem"
    certificate.write_bytes(authority.sign(common_name(name), key.public_key()))
    (folder / f"{name}.key.pem").write_bytes(key_pem(key))
    return certificate, folder / f"{name}.key.pem"


def _publish(topic: str, payload: bytes) -> bytes:
    """At most once: no packet identifier; no properties."""
    body = struct.pack("!H", len(topic)) + topic.encode() + b"\0" + payload
    return bytes([PUBLISH]) + _length(len(body)) + body


def _length(number: int) -> bytes:
    """A variable byte integer (MQTT 5, section 1.5.5)."""
    encoded = b""
    while True:
        number, digit = divmod(number, 128)
        encoded += bytes([digit | (0x80 if number else 0)])
        if not number:
            return encoded


def _filters(body: bytes) -> int:
    count = 0
    while body:
        _filter, rest = text(body)
        body, count = rest[1:], count + 1
    return count
