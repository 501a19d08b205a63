"""One station's link to AWS IoT Core over MQTT 5 (awscrt).

awscrt keeps the link: it connects again by itself, with exponential backoff and full jitter. It is told to
fail what is under way when the link breaks (it would otherwise hold a refused message for ever, and those
behind it): keeping messages is the outbox's work. Its calls come from threads of its own and are brought
into the event loop here.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import copy_context
from typing import Any, Final, TypeVar

from awscrt import exceptions, io, mqtt5

from evswap_edge.episode import Episode
from evswap_edge.message import Message
from evswap_edge.stopping import first_of
from evswap_edge.transports import (
    ACCEPTED,
    Assurance,
    Caller,
    CredentialsError,
    NotAcknowledged,
    NotConnected,
    OnMessage,
    ReasonCode,
    Rejected,
    TransportError,
)
from evswap_edge.transports.aws_iot import Settings
from evswap_edge.transports.aws_tls import tls_context
from evswap_edge.transports.identity import Identity
from evswap_edge.transports.refusals import remedy
from evswap_edge.transports.subscriptions import Subscriptions

AnswerT = TypeVar("AnswerT")

MAX_PAYLOAD_BYTES: Final = 128 * 1024
"""AWS IoT Core's limit for a message; it closes the connection over a larger one."""

_PING_TIMEOUT_S: Final = 10.0
"""awscrt wants it to be shorter than the keep-alive."""
_STOP_TIMEOUT_S: Final = 5.0
_SURE_AFTER_S: Final = 60.0
"""A far side that does nothing but hang up for so long does so over the certificate. One that is being
restarted hangs up, too, and awscrt does not tell the alert by which TLS would tell the two apart."""
_NEWS_TIMEOUT_S: Final = 1.0
"""How long a failed publish waits to learn from the link's own events why it failed."""

_log = logging.getLogger(__name__)


class Session:
    """One connection, from its CONNACK to its end; then ``reason`` and perhaps ``reason_code`` say why it
    ended."""

    def __init__(self, client: "mqtt5.Client") -> None:
        self.client = client
        self.ended = asyncio.Event()
        self.reason = ""
        self.reason_code: int | None = None

    def end(self, reason: str, reason_code: int | None) -> None:
        self.reason, self.reason_code = reason, reason_code
        self.ended.set()


class AwsIotTransport:
    """One station's link. The client id is the station's id, as the policies for things require."""

    assurance = Assurance.DELIVERED

    def __init__(self, settings: Settings, caller: Caller) -> None:
        self._settings = settings
        self._caller = caller
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        monotonic = caller.time.monotonic
        self._link = Episode(_log, f"connection to {settings.host}:{settings.port}", monotonic=monotonic)
        self._monotonic = monotonic
        self._identity = Identity(settings, caller, tls_of)
        self._suspected_since: float | None = None
        self._subscriptions = Subscriptions(monotonic)
        self._keeper: asyncio.Task[None] | None = None
        self._client: mqtt5.Client | None = None
        self._session: Session | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()
        self._unlinked = asyncio.Event()
        self._unlinked.set()
        self._stopped = asyncio.Event()
        self._own = asyncio.Event()
        self._own.set()

    async def connect(self) -> None:
        while not self._connected.is_set():
            await self._own.wait()
            keeper = self._kept()
            await first_of(self._connected, ended=keeper)
            if keeper.cancelled() and self._own.is_set():
                raise NotConnected("closed meanwhile")
            if keeper.done() and not keeper.cancelled():
                keeper.result()

    async def send(self, message: Message) -> None:
        session = self._standing()
        if session is None:
            raise NotConnected(self._session.reason if self._session else "no connection yet")
        if len(message.payload) > MAX_PAYLOAD_BYTES:
            raise _too_large(message)
        try:
            completion = await self._answered(_published(session.client, message))
        except exceptions.AwsCrtError as error:
            if error.name == "AWS_ERROR_MQTT5_PACKET_VALIDATION":
                raise _too_large(message) from error
            raise await self._meaning(error, session) from error
        # An answer that awscrt does not know comes as None and is no success either.
        code = completion.puback.reason_code
        if code not in ACCEPTED:
            raise _refusal(message.topic, code, completion.puback.reason_string)

    async def subscribe(self, topic_filter: str, on_message: OnMessage) -> None:
        self._subscriptions.add(topic_filter, on_message)
        if session := self._standing():
            with suppress(NotConnected):  # the next link takes it up
                await self._take_up(topic_filter, session)

    async def aclose(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait({keeper})
        await self._end()
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait({self._renewal})

    @asynccontextmanager
    async def released(self) -> AsyncIterator[None]:
        """Have no connection meanwhile: somebody else needs the station's name, and the broker knows one of a
        name. The next connection reads certificate and key anew."""
        self._own.clear()
        await self.aclose()
        try:
            yield
        finally:
            self._own.set()
            self._kept()

    # --- asking -----------------------------------------------------------------------------------------

    def _standing(self) -> Session | None:
        """The connection, if there is one and nobody gave it up."""
        if self._client is None or self._session is None or self._session.ended.is_set():
            return None
        return self._session

    async def _answered(self, call: "Future[AnswerT]") -> AnswerT:
        """Wait for the answer without ever cancelling awscrt's future, which its callback must be able to
        fulfil."""
        answer = asyncio.wrap_future(call)
        answer.add_done_callback(lambda late: late.cancelled() or late.exception())
        timeout_s = self._settings.acknowledge_timeout_s + _NEWS_TIMEOUT_S
        await asyncio.wait({answer}, timeout=timeout_s)
        if not answer.done():
            raise NotAcknowledged(timeout_s=timeout_s)
        return answer.result()

    async def _meaning(self, error: "exceptions.AwsCrtError", session: Session) -> TransportError:
        """Translate awscrt's error (its names are listed in aws-c-mqtt's mqtt.h)."""
        if error.name == "AWS_ERROR_MQTT_TIMEOUT":
            return NotAcknowledged(timeout_s=self._settings.acknowledge_timeout_s)
        try:
            async with asyncio.timeout(_NEWS_TIMEOUT_S):
                await session.ended.wait()
        except TimeoutError:
            return NotConnected(error.message)
        return NotConnected(session.reason, reason_code=session.reason_code)

    # --- subscriptions ----------------------------------------------------------------------------------

    async def _renew(self, session: Session) -> None:
        """Take up every subscription on a new link. One that is refused holds up nobody."""
        for topic_filter in self._subscriptions.filters:
            with suppress(NotConnected, Rejected):
                await self._insist_on(topic_filter, session)
        if not session.ended.is_set():
            self._connected.set()
            self._caller.on_link(True)

    async def _insist_on(self, topic_filter: str, session: Session) -> None:
        while True:
            with suppress(NotAcknowledged):
                return await self._take_up(topic_filter, session)

    async def _take_up(self, topic_filter: str, session: Session) -> None:
        try:
            answer = await self._answered(_subscribed(session.client, topic_filter))
        except exceptions.AwsCrtError as error:
            raise await self._meaning(error, session) from error
        code = answer.reason_codes[0]
        if code >= ReasonCode.UNSPECIFIED_ERROR:
            refusal = _refusal(topic_filter, code, answer.reason_string)
            self._subscriptions.refused(refusal)
            raise refusal
        self._subscriptions.accepted(topic_filter)

    # --- the link ---------------------------------------------------------------------------------------

    def _kept(self) -> asyncio.Task[None]:
        """The task that sees to it that there is a link."""
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep(), name=f"link {self._caller.station_id}")
        return self._keeper

    async def _keep(self) -> None:
        """While there is no link, have a client that shows what the files hold by now, or none where that is
        of no use. awscrt reads them once for all of a client's connections."""
        while True:
            with suppress(CredentialsError):
                await self._show()
            await asyncio.sleep(self._identity.next_look_s())
            await self._unlinked.wait()

    async def _show(self) -> None:
        """Raises ``CredentialsError``; then there is no client."""
        try:
            if self._client is not None and not await self._identity.was_replaced():
                return
            context = await self._identity.context()
        except CredentialsError:
            await self._end()
            raise
        await self._end()
        self._start(context)

    def _start(self, context: "io.ClientTlsContext") -> None:
        self._stopped.clear()
        self._suspected_since = None
        self._client = self._new_client(context)
        self._client.start()

    async def _end(self) -> None:
        """Have no client any more. Safe to call when there is none."""
        client, self._client = self._client, None
        if client is None:
            return
        client.stop(mqtt5.DisconnectPacket())
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await self._stopped.wait()
        except TimeoutError:
            _log.warning("the connection did not close within %s s", _STOP_TIMEOUT_S)

    def _new_client(self, context: "io.ClientTlsContext") -> "mqtt5.Client":
        settings = self._settings
        flow = mqtt5.ExtendedValidationAndFlowControlOptions
        options = mqtt5.ClientOptions(
            host_name=settings.host,
            port=settings.port,
            tls_ctx=context,
            socket_options=_socket_options(settings),
            connect_options=_connect_packet(settings, self._caller),
            session_behavior=mqtt5.ClientSessionBehaviorType.CLEAN,
            offline_queue_behavior=mqtt5.ClientOperationQueueBehaviorType.FAIL_ALL_ON_DISCONNECT,
            extended_validation_and_flow_control_options=(
                flow.AWS_IOT_CORE_DEFAULTS if settings.aws_quotas else flow.NONE
            ),
            retry_jitter_mode=mqtt5.ExponentialBackoffJitterMode.FULL,
            min_reconnect_delay_ms=int(settings.reconnect_min_s * 1000),
            max_reconnect_delay_ms=int(max(settings.reconnect_min_s, settings.reconnect_max_s) * 1000),
            min_connected_time_to_reset_reconnect_delay_ms=int(settings.reconnect_max_s * 1000),
            ping_timeout_ms=int(min(_PING_TIMEOUT_S, settings.keep_alive_s / 2) * 1000),
            connack_timeout_ms=settings.connect_timeout_s * 1000,
            ack_timeout_sec=settings.acknowledge_timeout_s,
            on_publish_callback_fn=self._in_loop(self._on_publish),
            on_lifecycle_event_connection_success_fn=self._in_loop(self._on_connected),
            on_lifecycle_event_connection_failure_fn=self._in_loop(self._on_connect_failed),
            on_lifecycle_event_disconnection_fn=self._in_loop(self._on_disconnected),
            on_lifecycle_event_stopped_fn=self._in_loop(self._on_stopped),
        )
        return mqtt5.Client(options)

    def _in_loop(self, handle: Callable[[Any], None]) -> Callable[[Any], None]:
        """awscrt calls from its own threads; ``handle`` runs in the event loop, in the order of the
        events."""

        def hand_over(event: Any) -> None:
            self._loop.call_soon_threadsafe(handle, event, context=self._context)

        return hand_over

    def _on_publish(self, event: "mqtt5.PublishReceivedData") -> None:
        packet = event.publish_packet
        self._subscriptions.dispatch(packet.topic, bytes(packet.payload or b""), self._context)

    def _on_connected(self, event: "mqtt5.LifecycleConnectSuccessData") -> None:  # noqa: ARG002
        if self._client is None:
            return
        self._session = Session(self._client)
        self._unlinked.clear()
        self._suspected_since = None
        self._identity.accepted()
        if self._link.ongoing:
            self._link.end()
        else:
            _log.info("connected to %s:%d", self._settings.host, self._settings.port)
        self._renewal = self._loop.create_task(self._renew(self._session), name="renew subscriptions")

    def _on_connect_failed(self, event: "mqtt5.LifecycleConnectFailureData") -> None:
        code = event.connack_packet.reason_code if event.connack_packet else None
        advice = remedy(
            getattr(event.exception, "name", ""),
            None if code is None else int(code),
            certificate_file=self._settings.certificate_file,
            time=self._caller.time,
        )
        self._link.begin(f"{_why(event.exception, code)} {advice}".strip())
        self._suspect(advice)

    def _suspect(self, advice: str) -> None:
        """The last attempt failed; ``advice`` says how the certificate may be to blame, if it may."""
        now = self._monotonic()
        if not advice:
            self._suspected_since = None
        elif self._suspected_since is None:
            self._suspected_since = now
        elif now - self._suspected_since >= _SURE_AFTER_S:
            self._identity.refused(advice)

    def _on_disconnected(self, event: "mqtt5.LifecycleDisconnectData") -> None:
        packet = event.disconnect_packet
        code = packet.reason_code if packet else None
        reason = _why(event.exception, code)
        self._unlinked.set()
        if self._connected.is_set():
            self._connected.clear()
            self._caller.on_link(False)
        if self._session is not None:
            self._session.end(reason, None if code is None else int(code))
        if self._client is not None:
            self._link.begin(reason)

    def _on_stopped(self, event: "mqtt5.LifecycleStoppedData") -> None:  # noqa: ARG002
        self._stopped.set()


def _published(client: "mqtt5.Client", message: Message) -> "Future[mqtt5.PublishCompletionData]":
    """Raises ``Rejected`` for a topic that awscrt itself knows to be none."""
    with _looked_at(message.topic):
        answer: Future[mqtt5.PublishCompletionData] = client.publish(_publish_packet(message))
    return answer


def _subscribed(client: "mqtt5.Client", topic_filter: str) -> "Future[mqtt5.SubackPacket]":
    """Raises ``Rejected`` for a topic filter that awscrt itself knows to be none."""
    wanted = mqtt5.Subscription(topic_filter=topic_filter, qos=mqtt5.QoS.AT_LEAST_ONCE)
    with _looked_at(topic_filter):
        answer: Future[mqtt5.SubackPacket] = client.subscribe(mqtt5.SubscribePacket(subscriptions=[wanted]))
    return answer


@contextmanager
def _looked_at(topic: str) -> Iterator[None]:
    """awscrt looks at a packet itself; the text of its error is the only way in which it says so."""
    try:
        yield
    except RuntimeError as error:
        if "VALIDATION" not in str(error):
            raise
        code = ReasonCode.TOPIC_NAME_INVALID
        raise Rejected(topic=topic, reason_code=code, reason=str(error)) from error


def _publish_packet(message: Message) -> "mqtt5.PublishPacket":
    return mqtt5.PublishPacket(
        topic=message.topic, payload=message.payload, qos=mqtt5.QoS.AT_LEAST_ONCE, retain=message.retain
    )


def _connect_packet(settings: Settings, caller: Caller) -> "mqtt5.ConnectPacket":
    """The will waits for as long as the session lasts at most (MQTT 5, section 3.1.3.2.2), so the two are
    the same."""
    packet = mqtt5.ConnectPacket(client_id=caller.station_id, keep_alive_interval_sec=settings.keep_alive_s)
    if caller.will is not None:
        packet.will = _publish_packet(caller.will)
        packet.will_delay_interval_sec = packet.session_expiry_interval_sec = settings.will_delay_s
    return packet


def _refusal(topic: str, code: Any, reason: str | None) -> Rejected:
    return Rejected(topic=topic, reason_code=None if code is None else int(code), reason=reason or "")


def _too_large(message: Message) -> Rejected:
    reason = f"{len(message.payload)} bytes"
    return Rejected(topic=message.topic, reason_code=ReasonCode.PACKET_TOO_LARGE, reason=reason)


def _why(error: Exception, code: Any) -> str:
    """What awscrt knows, and what the far side said when it said something."""
    text = getattr(error, "message", None) or str(error)
    return text if code is None else f"{text} The far side said {code.name} ({int(code):#04x})."


def _socket_options(settings: Settings) -> "io.SocketOptions":
    options = io.SocketOptions()
    options.connect_timeout_ms = settings.connect_timeout_s * 1000
    return options


def tls_of(settings: Settings) -> "io.ClientTlsContext":
    """Raises ``CredentialsError``."""
    return tls_context(
        port=settings.port,
        certificate_file=settings.certificate_file,
        key_file=settings.key_file,
        ca_file=settings.ca_file,
    )
