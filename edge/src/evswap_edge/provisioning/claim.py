"""One connection that shows the claim, or the certificate that is to be replaced: a request goes out, its
answer comes in (awscrt, MQTT 5).

awscrt calls from threads of its own; what it says is put into one queue and read by the caller's thread.
"""

import json
import queue
import time
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from awscrt import exceptions, mqtt5
from msgspec import Struct

from evswap_edge.provisioning.errors import (
    ClaimRefused,
    NotAnswered,
    NotReached,
    ProvisioningError,
    RequestFailed,
    RequestRejected,
)
from evswap_edge.transports import ReasonCode
from evswap_edge.transports.aws_tls import tls_context
from evswap_schema import provisioning

AnswerT = TypeVar("AnswerT")

_STOP_TIMEOUT_S: Final = 5.0
_SERVER_ERROR: Final = 500
_PASSING_CODES: Final = frozenset({"InvocationError", "ThrottlingException", "TooManyRequests"})
"""Error codes that stand for a state of the cloud, not for the request: its hook did not answer, or too many
asked at once."""


_SILENT: Final = "no connection within {:g} s, as when the CA file is another's."
"""awscrt's TLS holds the news of a failed handshake back for 10 to 30 s, against timing attacks."""


class Claim(Struct, frozen=True, kw_only=True):
    """Where to ask, and what to show; without ``ca_file`` the system's trust store counts."""

    host: str
    port: int
    certificate_file: Path
    key_file: Path
    ca_file: Path | None
    kind: str = "claim"
    """What the certificate is, for people: the claim, or the station's own."""
    timeout_s: float = 20.0
    """For the connection, and for each answer."""

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


class _Connected(Struct, frozen=True):
    """The far side has let us in."""


class _Ended(Struct, frozen=True):
    """No connection, or none any more."""

    reason: str
    refused: bool


class _Message(Struct, frozen=True):
    """Something was published to us."""

    topic: str
    payload: bytes


_News = _Connected | _Ended | _Message


class ClaimConnection:
    """A context manager: connected inside. Raises ``ProvisioningError``, ``CredentialsError``."""

    def __init__(self, claim: Claim, client_id: str) -> None:
        self._claim = claim
        self._news: queue.Queue[_News] = queue.Queue()
        self._stopped: Future[None] = Future()
        self._client = self._new_client(client_id)

    def __enter__(self) -> Self:
        self._client.start()
        try:
            news = self._next("the connection", time.monotonic() + self._claim.timeout_s)
        except NotAnswered as error:
            self._stop()
            raise self._not_reached(_SILENT.format(error.timeout_s)) from error
        except BaseException:
            self._stop()
            raise
        if not isinstance(news, _Connected):  # pragma: no cover - nothing is subscribed to yet
            self._stop()
            raise self._not_reached("a message came before the connection")
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop()

    def request(self, topic: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Publish ``body`` and return the answer. Raises ``ProvisioningError``."""
        accepted, rejected = provisioning.answers(topic)
        self._subscribe(accepted, rejected)
        self._publish(topic, json.dumps(body).encode())
        deadline = time.monotonic() + self._claim.timeout_s
        while True:
            news = self._next(topic, deadline)
            if isinstance(news, _Message) and news.topic in (accepted, rejected):
                break
        answer = _decoded(topic, news.payload)
        if news.topic == rejected:
            raise _rejection(topic, answer)
        return answer

    def tell(self, topic: str, body: Mapping[str, Any]) -> None:
        """Publish ``body``; nobody answers. Raises ``ProvisioningError``."""
        self._publish(topic, json.dumps(body).encode())

    def _subscribe(self, *topics: str) -> None:
        packet = mqtt5.SubscribePacket(
            subscriptions=[mqtt5.Subscription(topic, mqtt5.QoS.AT_LEAST_ONCE) for topic in topics]
        )
        answer = self._completed("subscribe", self._client.subscribe(packet))
        for topic, code in zip(topics, answer.reason_codes, strict=True):
            self._demand_allowed(code, f"subscribe to {topic}")

    def _publish(self, topic: str, payload: bytes) -> None:
        packet = mqtt5.PublishPacket(topic=topic, payload=payload, qos=mqtt5.QoS.AT_LEAST_ONCE)
        answer = self._completed("publish", self._client.publish(packet))
        self._demand_allowed(answer.puback.reason_code, f"publish to {topic}")

    def _demand_allowed(self, code: Any, what: str) -> None:
        """awscrt gives None for a code that it does not know, which is no success either."""
        if code is None or int(code) >= ReasonCode.UNSPECIFIED_ERROR:
            told = "an unknown reason code" if code is None else f"reason code {int(code):#04x}"
            raise ClaimRefused(what, told, kind=self._claim.kind)

    def _not_reached(self, reason: str) -> NotReached:
        return NotReached(self._claim.address, reason, kind=self._claim.kind)

    def _completed(self, what: str, answer: "Future[AnswerT]") -> AnswerT:
        try:
            return answer.result(self._claim.timeout_s)
        except TimeoutError as error:
            raise NotAnswered(what, self._claim.timeout_s) from error
        except exceptions.AwsCrtError as error:
            raise self._not_reached(error.message) from error

    def _next(self, request: str, deadline: float) -> _Connected | _Message:
        try:
            news = self._news.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise NotAnswered(request, self._claim.timeout_s) from None
        if isinstance(news, _Ended):
            if news.refused:
                raise ClaimRefused("connect", news.reason, kind=self._claim.kind)
            raise self._not_reached(news.reason)
        return news

    def _stop(self) -> None:
        self._client.stop()
        try:
            self._stopped.result(_STOP_TIMEOUT_S)
        except TimeoutError:
            return

    def _new_client(self, client_id: str) -> "mqtt5.Client":
        claim = self._claim
        return mqtt5.Client(
            mqtt5.ClientOptions(
                host_name=claim.host,
                port=claim.port,
                tls_ctx=tls_context(
                    port=claim.port,
                    certificate_file=claim.certificate_file,
                    key_file=claim.key_file,
                    ca_file=claim.ca_file,
                ),
                connect_options=mqtt5.ConnectPacket(client_id=client_id, keep_alive_interval_sec=30),
                session_behavior=mqtt5.ClientSessionBehaviorType.CLEAN,
                offline_queue_behavior=mqtt5.ClientOperationQueueBehaviorType.FAIL_ALL_ON_DISCONNECT,
                connack_timeout_ms=int(claim.timeout_s * 1000),
                on_publish_callback_fn=self._on_message,
                on_lifecycle_event_connection_success_fn=lambda _: self._news.put(_Connected()),
                on_lifecycle_event_connection_failure_fn=self._on_failed,
                on_lifecycle_event_disconnection_fn=self._on_ended,
                on_lifecycle_event_stopped_fn=lambda _: self._stopped.set_result(None),
            )
        )

    def _on_message(self, data: "mqtt5.PublishReceivedData") -> None:
        packet = data.publish_packet
        self._news.put(_Message(packet.topic, packet.payload or b""))

    def _on_failed(self, data: "mqtt5.LifecycleConnectFailureData") -> None:
        packet = data.connack_packet
        self._news.put(_ended(data.exception, packet.reason_code if packet else None))

    def _on_ended(self, data: "mqtt5.LifecycleDisconnectData") -> None:
        packet = data.disconnect_packet
        self._news.put(_ended(data.exception, packet.reason_code if packet else None))


def _ended(error: Exception, code: Any) -> _Ended:
    reason = getattr(error, "message", None) or str(error)
    return _Ended(reason, refused=code is not None and int(code) == ReasonCode.NOT_AUTHORIZED)


def _decoded(topic: str, payload: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(payload)
    except ValueError as error:
        raise RequestRejected(topic, "", "the answer is no JSON") from error
    if not isinstance(answer, dict):
        raise RequestRejected(topic, "", "the answer is no JSON object")
    return answer


def _rejection(topic: str, answer: Mapping[str, Any]) -> ProvisioningError:
    """AWS IoT's ErrorResponse: statusCode, errorCode, errorMessage."""
    code, message, status = answer.get("errorCode"), answer.get("errorMessage"), answer.get("statusCode")
    passing = code in _PASSING_CODES or (isinstance(status, int) and status >= _SERVER_ERROR)
    kind = RequestFailed if passing else RequestRejected
    return kind(topic, str(code or ""), str(message or ""))
