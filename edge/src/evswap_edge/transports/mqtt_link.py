"""One connection to an MQTT 5 broker, from CONNACK to its end (aiomqtt, which drives paho).

What aiomqtt keeps to itself is taken from its hooks here: the reason code of a PUBACK (its ``publish``
returns normally when a broker refuses), why a link ended, and what the broker allows. It never connects
again: whoever wants another link makes another.
"""

import asyncio
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import aiomqtt
from paho.mqtt.client import (
    MQTT_ERR_SUCCESS,
    DisconnectFlags,
    MQTTMessage,
    error_string,
)
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode as PahoCode

from evswap_edge.message import Message
from evswap_edge.transports import (
    CertificateRefused,
    NotAcknowledged,
    NotConnected,
    OnMessage,
    ReasonCode,
    Rejected,
    TransportError,
)
from evswap_edge.transports.dialling import HUNG_UP, Line, lost

_QOS: Final = 1
_UNLIMITED: Final = 0
_MAX_PLACES: Final = 65_535
"""Packet identifiers, and so publishes under way, when the broker names no Receive Maximum (MQTT 5, section
3.1.2.11.3)."""
_UNSUPPORTED_PROTOCOL: Final = 0x84
_KEEP_ALIVE_TIMEOUT: Final = 0x8D
_PUBLISH_OVERHEAD: Final = 1 + 4 + 2 + 2 + 1
"""Bytes of a PUBLISH beside topic and payload, at most: header, length, topic's length, packet identifier,
no properties (MQTT 5, section 3.3)."""
_CLOSE_TIMEOUT_S: Final = 2.0

_quiet: Final = logging.getLogger(f"{__name__}.paho")
_quiet.setLevel(logging.CRITICAL)
"""What paho says of a link that breaks, the transport says once and with the reason."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a link begins with. ``will_delay_s`` is also how long the broker keeps the session: the will waits
    no longer than that (MQTT 5, section 3.1.3.2.2)."""

    client_id: str
    keep_alive_s: int
    will: Message | None
    will_delay_s: int


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the broker takes (the properties of its CONNACK)."""

    places: int = _MAX_PLACES
    packet_bytes: float = math.inf
    retains: bool = True
    acknowledges: bool = True

    @classmethod
    def of(cls, properties: Properties) -> "Allowance":
        return cls(
            places=getattr(properties, "ReceiveMaximum", _MAX_PLACES),
            packet_bytes=getattr(properties, "MaximumPacketSize", math.inf),
            retains=bool(getattr(properties, "RetainAvailable", 1)),
            acknowledges=getattr(properties, "MaximumQoS", _QOS) >= _QOS,
        )

    def refusal(self, message: Message) -> Rejected | None:
        """Why the broker would not take ``message``, if that is so; sent, it would end the link."""
        size = _PUBLISH_OVERHEAD + len(message.topic.encode()) + len(message.payload)
        if size > self.packet_bytes:
            reason = f"{size} bytes, and the broker takes {self.packet_bytes:g} at most"
            return Rejected(topic=message.topic, reason_code=ReasonCode.PACKET_TOO_LARGE, reason=reason)
        if message.retain and not self.retains:
            reason = "the broker retains nothing"
            return Rejected(topic=message.topic, reason_code=ReasonCode.RETAIN_NOT_SUPPORTED, reason=reason)
        return None


_ALREADY_DIALLED: Final = ("line", 1)
"""paho wants host and port, and connects to nothing: ``_create_socket`` gives it the line."""


class MqttLink(aiomqtt.Client):
    """One connection over a line that has been dialled. ``ended`` is set when it is over; ``lost`` says why.

    ``on_message`` is called for every message, before it is acknowledged.
    """

    def __init__(self, line: Line, greeting: Greeting, on_message: OnMessage, *, timeout_s: float) -> None:
        super().__init__(
            *_ALREADY_DIALLED,
            timeout=timeout_s,
            identifier=greeting.client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            will=_will(greeting),
            keepalive=greeting.keep_alive_s,
            max_inflight_messages=_UNLIMITED,
            logger=_quiet,
        )
        self.ended = asyncio.Event()
        self.lost = NotConnected("no connection yet")
        self.allowance = Allowance()
        self._session_s = greeting.will_delay_s if greeting.will else 0
        self._line = line
        self._deliver = on_message
        self._codes: dict[int, int] = {}
        self._answers: dict[int, asyncio.Future[tuple[int, str]]] = {}
        self._places = asyncio.Semaphore(0)
        self._read_puback = self._client._handle_pubackcomp
        paho = cast("Any", self._client)
        paho._handle_pubackcomp = self._note_code
        paho._create_socket = lambda: line
        self._disconnected.add_done_callback(self._on_trouble)

    # --- its life ---------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Return when the broker has taken the connection. Raises ``NotConnected`` or
        ``CertificateRefused``."""
        properties = _session_expiry(PacketTypes.CONNECT, self._session_s)
        self._client.connect(
            self._hostname, self._port, self._keepalive, clean_start=False, properties=properties
        )
        try:
            await self._wait_for(self._connected, timeout=None)
        except aiomqtt.MqttError as error:
            if isinstance(self.lost, CertificateRefused):
                raise self.lost from error
            raise NotConnected(_of_connack(error)) from error
        if not self.allowance.acknowledges:
            raise NotConnected("this broker takes QoS 0 only, and so acknowledges nothing")
        self._places = asyncio.Semaphore(self.allowance.places)

    async def farewell(self) -> None:
        """Tell the broker that this end is wanted: it drops session and will."""
        if not self.ended.is_set():
            self._client.disconnect(properties=_session_expiry(PacketTypes.DISCONNECT, 0))
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await self.ended.wait()

    async def abandon(self) -> None:
        """Leave nothing behind: no socket, no task. Safe to call at any time, and twice."""
        self._client._sock_close()
        self._line.close()
        self._end(self.lost)
        if self._misc_task is not None:
            self._misc_task.cancel()
            await asyncio.wait({self._misc_task})

    # --- asking -----------------------------------------------------------------------------------------

    async def publish_answered(self, message: Message) -> tuple[int, str]:
        """The reason code of the broker's PUBACK, and its words if it has any; waits for a place as the
        broker's Receive Maximum wants it.

        Raises ``NotConnected`` when the link ends before that, ``Rejected`` for what cannot be sent. Whoever
        stops waiting leaves the place taken until the broker answers.
        """
        if refusal := self.allowance.refusal(message):
            raise refusal
        await self._places.acquire()
        try:
            answer = self._publish(message)
        except TransportError:
            self._places.release()
            raise
        answer.add_done_callback(self._on_answer)
        await asyncio.wait({answer})
        return answer.result()

    def _publish(self, message: Message) -> "asyncio.Future[tuple[int, str]]":
        if self.ended.is_set():
            raise self.lost
        with _as_topic(message.topic):
            sent = self._client.publish(message.topic, message.payload, _QOS, message.retain)
        if sent.rc != MQTT_ERR_SUCCESS:
            raise NotConnected(error_string(sent.rc))
        return self._answers.setdefault(sent.mid, self._loop.create_future())

    def _on_answer(self, answer: "asyncio.Future[tuple[int, str]]") -> None:
        answer.exception()  # it may be that nobody waits any more
        self._places.release()

    async def subscribe_answered(self, topic_filter: str) -> int:
        """The reason code of the broker's SUBACK. Raises ``NotConnected``, ``NotAcknowledged``, or
        ``Rejected`` for what is no topic filter."""
        with _as_topic(topic_filter):
            asking = self._loop.create_task(self.subscribe(topic_filter, _QOS), name="subscribe")
            ending = self._loop.create_task(self.ended.wait(), name="end of link")
            try:
                await asyncio.wait({asking, ending}, return_when=asyncio.FIRST_COMPLETED)
                if not asking.done():
                    raise self.lost
                return _code(asking.result()[0])
            except aiomqtt.MqttCodeError as error:
                raise self.lost from error
            except aiomqtt.MqttError as error:
                raise NotAcknowledged(timeout_s=self.timeout) from error
            finally:
                for task in (asking, ending):
                    task.cancel()
                await asyncio.wait({asking, ending})

    # --- what paho and aiomqtt tell -----------------------------------------------------------------------

    def _note_code(self, packet_kind: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        """Read the reason code from the packet. paho knows those that MQTT 5 allows in a PUBACK and takes any
        other for the end of the connection: mosquitto answers 0x95 to a message that is too large."""
        packet = self._client._in_packet["packet"]
        packet_id = int.from_bytes(packet[:2])
        if len(packet) > 2 and packet_id in self._answers:
            self._codes[packet_id] = packet[2]
            packet[2] = ReasonCode.UNSPECIFIED_ERROR if packet[2] >= ReasonCode.UNSPECIFIED_ERROR else 0
        return self._read_puback(packet_kind)

    def _on_publish(
        self, client: Any, userdata: Any, mid: int, reason_code: PahoCode, properties: Properties
    ) -> None:
        super()._on_publish(client, userdata, mid, reason_code, properties)
        code = self._codes.pop(mid, ReasonCode.SUCCESS)
        if answer := self._answers.pop(mid, None):
            answer.set_result((code, getattr(properties, "ReasonString", "")))

    def _on_connect(
        self, client: Any, userdata: Any, flags: Any, reason_code: PahoCode, properties: Any = None
    ) -> None:
        if not reason_code.is_failure:
            self.allowance = Allowance.of(properties)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_message(self, client: Any, userdata: Any, message: MQTTMessage) -> None:  # noqa: ARG002
        self._deliver(message.topic, bytes(message.payload))

    def _on_disconnect(
        self,
        client: Any,
        userdata: Any,
        flags: DisconnectFlags,
        reason_code: PahoCode,
        properties: Any = None,
    ) -> None:
        self._end(self._why(flags, reason_code))
        if self._connected.done() and not self._connected.cancelled():
            super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_trouble(self, disconnected: "asyncio.Future[None]") -> None:
        """aiomqtt ends a connection like this when paho raised; else its end is known already."""
        error = disconnected.exception()
        self._end(lost(error) if isinstance(error, Exception) else NotConnected("closed"))

    def _why(self, flags: DisconnectFlags, reason_code: PahoCode) -> NotConnected:
        if flags.is_disconnect_packet_from_server:
            return NotConnected(f"the broker said {reason_code}", reason_code=reason_code.value)
        if reason_code.value == _KEEP_ALIVE_TIMEOUT:
            return NotConnected(f"no sign of life within {2 * self._keepalive} s")
        if failure := self._line.alert():
            return lost(failure)
        return NotConnected(HUNG_UP)

    def _end(self, lost: NotConnected) -> None:
        if self.ended.is_set():
            return
        self.lost = lost
        self.ended.set()
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError(lost.reason))
            self._connected.exception()
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            answer.set_exception(lost)


def _will(greeting: Greeting) -> aiomqtt.Will | None:
    if greeting.will is None:
        return None
    properties = _properties(PacketTypes.WILLMESSAGE)
    properties.WillDelayInterval = greeting.will_delay_s
    will = greeting.will
    return aiomqtt.Will(will.topic, will.payload, qos=_QOS, retain=will.retain, properties=properties)


def _session_expiry(packet_kind: int, seconds: int) -> Properties:
    properties = _properties(packet_kind)
    properties.SessionExpiryInterval = seconds
    return properties


def _properties(packet_kind: int) -> Properties:
    return Properties(packet_kind)  # type: ignore[no-untyped-call]


def _code(code: "int | PahoCode") -> int:
    return code if isinstance(code, int) else int(code.value)


@contextmanager
def _as_topic(topic: str) -> Iterator[None]:
    """What paho raises for a topic, or a filter, that is none."""
    if not topic:
        raise Rejected(topic=topic, reason_code=ReasonCode.TOPIC_NAME_INVALID, reason="it is empty")
    try:
        yield
    except ValueError as error:
        code = ReasonCode.TOPIC_NAME_INVALID
        raise Rejected(topic=topic, reason_code=code, reason=str(error)) from error


def _of_connack(error: aiomqtt.MqttError) -> str:
    """The reason for people, when a broker did not take a connection."""
    if not isinstance(error, aiomqtt.MqttCodeError):
        return f"no CONNACK: {error}"
    code = _code(error.rc or ReasonCode.UNSPECIFIED_ERROR)
    if code == _UNSUPPORTED_PROTOCOL:
        return (
            "this broker does not speak MQTT 5; an older one may drop a message that it has acknowledged,"
            " so none is sent to it"
        )
    return f"the broker refuses this station: {error.rc} ({code:#04x})"
