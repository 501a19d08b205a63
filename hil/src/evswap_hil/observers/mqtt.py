"""A visitor: an MQTT 5 client with an X.509 certificate, on another library than the stations use.

What can go wrong, as a tree:

* `MqttError`
    * `UnusableCertificate`: our own files cannot be read
    * `NoConnection`
        * `Unreachable`: nobody listens there
        * `Untrusted`: the broker cannot prove who it is
        * `NotConnected`: the broker hung up before it said anything in MQTT
    * `Refused`: the broker answered a CONNECT or a PUBLISH with a failing reason code
    * `Disconnected`: the broker ended an established connection
    * `Unanswered`: the broker keeps silent

`REFUSALS` are those by which a broker says no.
"""

import ssl
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 5.0
KEEP_ALIVE_S = 30

_FAILURE = 0x80
"""Reason codes from here on mean that the request was not carried out (MQTT 5, section 2.4)."""


class MqttError(Exception):
    """Anything that keeps a message from being accepted."""


class UnusableCertificate(MqttError):
    """The CA, the certificate or the key cannot be used; nothing was sent."""

    def __init__(self, files: Sequence[Path], cause: str) -> None:
        super().__init__(f"cannot use {', '.join(map(str, files))}: {cause}")
        self.files = tuple(files)
        self.cause = cause


class NoConnection(MqttError):
    """No MQTT connection came about; `cause` is the library's word for it."""

    def __init__(self, host: str, port: int, client_id: str, cause: str) -> None:
        super().__init__(f"{client_id} could not connect to {host}:{port}: {cause}")
        self.host = host
        self.port = port
        self.client_id = client_id
        self.cause = cause


class Unreachable(NoConnection):
    """Nobody listens at that address."""


class Untrusted(NoConnection):
    """The broker's certificate is not vouched for by the CA, or names another host."""


class NotConnected(NoConnection):
    """The broker ended the TLS handshake or the connection without an answer in MQTT."""


class Refused(MqttError):
    """The broker said no: `operation` is CONNECT or PUBLISH, `reason_code` the number that it gave."""

    def __init__(self, operation: str, reason_code: int, name: str) -> None:
        super().__init__(f"{operation} was refused: {name} (0x{reason_code:02x})")
        self.operation = operation
        self.reason_code = reason_code
        self.name = name


class Disconnected(MqttError):
    """The broker ended the connection; `reason_code` is None where it only dropped the line."""

    def __init__(self, cause: str, reason_code: int | None) -> None:
        super().__init__(f"the broker ended the connection: {cause}")
        self.cause = cause
        self.reason_code = reason_code


class Unanswered(MqttError):
    """No acknowledgement came within `seconds`."""

    def __init__(self, operation: str, seconds: float) -> None:
        super().__init__(f"{operation} was not answered within {seconds:g} s")
        self.operation = operation
        self.seconds = seconds


REFUSALS = (Refused, NotConnected, Disconnected)


@dataclass(frozen=True)
class ClientCertificate:
    """What a client proves itself with, as PEM files."""

    certificate: Path
    key: Path


class Visitor:
    """An established connection; `connect` makes one."""

    def __init__(self, client: Client, conversation: "_Conversation") -> None:
        self._client = client
        self._conversation = conversation

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, timeout: float = ANSWER_TIMEOUT_S) -> int:
        """Publish and wait for the broker's answer; return its reason code, a success.

        Raises Refused, Disconnected or Unanswered.
        """
        sent = self._client.publish(topic, payload, qos=qos)
        if sent.rc == MQTTErrorCode.MQTT_ERR_NO_CONN:
            self._conversation.raise_end()
        return self._conversation.answer_to(sent.mid, timeout)


class _Conversation:
    """What the broker has said so far. The library's thread writes it, the visitor's reads it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[int, Future[ReasonCode]] = {}
        self._end: Disconnected | None = None
        self.connected: Future[ReasonCode] = Future()

    def listen_to(self, client: Client) -> None:
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect

    def answer_to(self, message_id: int, timeout: float) -> int:
        try:
            reason = self._answer(message_id).result(timeout)
        except TimeoutError:
            raise Unanswered("PUBLISH", timeout) from None
        if reason.value >= _FAILURE:
            raise Refused("PUBLISH", reason.value, reason.getName())
        return reason.value

    def raise_end(self) -> None:
        raise self._end or Disconnected("the line is closed", None)

    def _answer(self, message_id: int) -> Future[ReasonCode]:
        # The acknowledgement may be here before the publisher asks for it.
        with self._lock:
            answer = self._answers.setdefault(message_id, Future())
            if self._end is not None and not answer.done():
                answer.set_exception(self._end)
            return answer

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, reason: ReasonCode, _props: Any) -> None:
        if not self.connected.done():
            self.connected.set_result(reason)

    def _on_publish(self, _client: Client, _data: Any, mid: int, reason: ReasonCode, _props: Any) -> None:
        with self._lock:
            answer = self._answers.setdefault(mid, Future())
        if not answer.done():
            answer.set_result(reason)

    def _on_disconnect(
        self, _client: Client, _data: Any, flags: Any, reason: ReasonCode, _props: Any
    ) -> None:
        said_so = flags.is_disconnect_packet_from_server
        end = Disconnected(reason.getName(), reason.value if said_so else None)
        with self._lock:
            self._end = end
            open_answers = [answer for answer in self._answers.values() if not answer.done()]
        if not self.connected.done():
            self.connected.set_exception(end)
        for answer in open_answers:
            answer.set_exception(end)


@contextmanager
def connect(
    host: str,
    port: int,
    *,
    ca: Path,
    certificate: ClientCertificate | None,
    client_id: str,
    timeout: float = CONNECT_TIMEOUT_S,
) -> Iterator[Visitor]:
    """Connect with mutual TLS (or without a certificate, to see what happens), and disconnect at the end.

    Raises UnusableCertificate, NoConnection, Refused or Unanswered. Nothing is ever tried twice.
    """
    client = Client(
        CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTv5, reconnect_on_failure=False
    )
    client.connect_timeout = timeout
    client.tls_set_context(_tls(ca, certificate))
    conversation = _Conversation()
    conversation.listen_to(client)
    try:
        client.connect(host, port, keepalive=KEEP_ALIVE_S)
    except ssl.SSLCertVerificationError as stranger:
        raise Untrusted(host, port, client_id, stranger.verify_message) from stranger
    except (ssl.SSLError, ConnectionResetError) as refused:
        raise NotConnected(host, port, client_id, str(refused)) from refused
    except OSError as unreachable:
        raise Unreachable(host, port, client_id, str(unreachable)) from unreachable
    client.loop_start()
    try:
        _await_welcome(conversation, host, port, client_id, timeout)
        yield Visitor(client, conversation)
    finally:
        client.disconnect()
        client.loop_stop()


def _tls(ca: Path, certificate: ClientCertificate | None) -> ssl.SSLContext:
    files = [ca, *((certificate.certificate, certificate.key) if certificate else ())]
    try:
        context = ssl.create_default_context(cafile=ca)
        if certificate is not None:
            context.load_cert_chain(certificate.certificate, certificate.key)
    except OSError as unusable:
        raise UnusableCertificate(files, str(unusable)) from unusable
    context.sslsocket_class = _ClosedWhenRefused
    return context


class _ClosedWhenRefused(ssl.SSLSocket):
    """paho forgets a socket whose handshake failed, without closing it."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _await_welcome(conversation: _Conversation, host: str, port: int, client_id: str, timeout: float) -> None:
    try:
        reason = conversation.connected.result(timeout)
    except TimeoutError:
        raise Unanswered("CONNECT", timeout) from None
    except Disconnected as dropped:
        raise NotConnected(host, port, client_id, f"the broker hung up ({dropped.cause})") from dropped
    if reason.value >= _FAILURE:
        raise Refused("CONNECT", reason.value, reason.getName())
