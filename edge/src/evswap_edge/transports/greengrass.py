"""AWS IoT Core through the nucleus that this component runs under (AWS IoT Greengrass, IPC).

The nucleus holds the connection and the certificate; its IPC has limits of its own, which are kept here so
that the nucleus never has to enforce them:

* a frame over ``MAX_FRAME_BYTES`` makes nucleus lite close the whole connection: refused before it is sent;
* more than ``MAX_UNACKNOWLEDGED`` publishes without an answer are errors: the eleventh waits for a place.

The strength of the acknowledgement: that the nucleus has taken the message over. Nucleus lite 2.6 keeps
nothing on disk and answers before the broker has: what it holds when the broker's link breaks is gone. So
samples leave the outbox by the cloud's own word (``confirmations``). A last will is not the component's to
leave, and nucleus lite retains nothing: the connection is the nucleus's.
"""

import asyncio
import json
import logging
from base64 import b64encode
from functools import partial
from typing import Annotated, Any, Final

from awsiot.greengrasscoreipc import model
from msgspec import Meta, Struct

from evswap_edge.clock import TimeSource
from evswap_edge.episode import Episode
from evswap_edge.eventstream import Frame, encode
from evswap_edge.message import Message
from evswap_edge.transports import (
    Assurance,
    Caller,
    NotAcknowledged,
    NotConnected,
    OnMessage,
    ReasonCode,
    Rejected,
    RestartRequired,
    Transport,
    TransportError,
    TransportKind,
)
from evswap_edge.transports.listening import Listening
from evswap_edge.transports.nucleus import Door, Nucleus, not_authorized

MAX_FRAME_BYTES: Final = 10_000
"""Of nucleus lite (``GGL_IPC_MAX_MSG_LEN`` when it is compiled); the other nucleus takes more."""

MAX_UNACKNOWLEDGED: Final = 10
"""QoS 1 publishes that nucleus lite has under way at once, for all components together."""

_OPERATION: Final = "PublishToIoTCore"

_log: Final = logging.getLogger(__name__)


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the nucleus is, the environment tells."""

    acknowledge_timeout_s: Annotated[float, Meta(ge=0.1, le=300)] = 20.0


class GreengrassTransport:
    """One component's publishes. It mends what the nucleus mends, and nothing else: when the nucleus is gone,
    ``RestartRequired`` ends the process."""

    assurance = Assurance.HANDED_OVER

    def __init__(self, settings: Settings, door: Door, caller: Caller) -> None:
        self._timeout_s = settings.acknowledge_timeout_s
        self._door = door
        self._time = caller.time
        self._on_link = caller.on_link
        self._linked: bool | None = None
        self._nucleus: Nucleus | None = None
        self._listening: dict[str, Listening] = {}
        self._places = asyncio.Semaphore(MAX_UNACKNOWLEDGED)
        self._uplink = Episode(_log, "the nucleus's way to AWS IoT Core", monotonic=self._time.monotonic)

    async def connect(self) -> None:
        if self._nucleus is None:
            self._nucleus = await Nucleus.reached(self._door, self._time)
            self._nucleus.on_lost = partial(self._note_link, False)
        nucleus = self._standing()
        for listening in self._listening.values():
            listening.begin(nucleus)
            await listening.answered.wait()
        self._standing()
        if self._linked is None:
            self._note_link(True)

    async def send(self, message: Message) -> None:
        nucleus = self._standing()
        _refuse_too_large(message)
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._published(nucleus, message)
        except TimeoutError as error:
            raise NotAcknowledged(timeout_s=self._timeout_s) from error
        try:
            await nucleus.result_of(answer)
        except model.GreengrassCoreIPCError as error:
            raise self._meaning(error, message) from error
        self._uplink.end()
        self._note_link(True)

    async def subscribe(self, topic_filter: str, on_message: OnMessage) -> None:
        if topic_filter not in self._listening:
            self._listening[topic_filter] = Listening(topic_filter, self._time)
        listening = self._listening[topic_filter]
        listening.add(on_message)
        if self._nucleus is None:
            return
        listening.begin(self._nucleus)
        await listening.tried.wait()
        if listening.refusal is not None:
            raise listening.refusal

    async def aclose(self) -> None:
        nucleus, self._nucleus = self._nucleus, None
        for listening in self._listening.values():
            await listening.aclose()
        if nucleus is not None:
            await nucleus.aclose()
            self._note_link(False)

    # --- sending ----------------------------------------------------------------------------------------

    def _standing(self) -> Nucleus:
        if self._nucleus is None:
            raise NotConnected("no connection to the nucleus yet")
        if self._nucleus.lost.is_set():
            raise RestartRequired(f"the connection to the nucleus has ended ({self._nucleus.reason})")
        return self._nucleus

    async def _published(
        self, nucleus: Nucleus, message: Message
    ) -> "asyncio.Future[model.PublishToIoTCoreResponse]":
        """The nucleus's answer. Whoever stops waiting for it leaves the place taken: the message is under way
        until the nucleus says otherwise."""
        await self._places.acquire()
        try:
            answer = nucleus.begin(
                lambda ipc: ipc.publish_to_iot_core_async(
                    topic_name=message.topic,
                    qos=model.QOS.AT_LEAST_ONCE,
                    payload=message.payload,
                    retain=message.retain or None,
                )
            )
        except RestartRequired:
            self._places.release()
            raise
        answer.add_done_callback(lambda _: self._places.release())
        await asyncio.wait({answer})
        return answer

    def _meaning(self, error: "model.GreengrassCoreIPCError", message: Message) -> TransportError:
        """Translate AWS's error. Those of nucleus lite have the right type and an empty text."""
        if isinstance(error, model.UnauthorizedError):
            return not_authorized(_OPERATION, message.topic)
        if isinstance(error, model.ServiceError):
            reason = "the nucleus cannot publish: its link to AWS IoT Core is down, or too much is under way"
            self._uplink.begin(reason)
            self._note_link(False)
            return NotConnected(reason)
        return Rejected(
            topic=message.topic, reason_code=None, reason=f"{type(error).__name__} {error}".strip()
        )

    def _note_link(self, up: bool) -> None:
        """The nucleus tells nobody about its link: its errors and successes do."""
        if up is not bool(self._linked):
            self._linked = up
            self._on_link(up)


def frame_bytes(message: Message) -> int:
    """How many bytes the request has on the socket: the payload grows by a third, being base64 in JSON."""
    request: dict[str, Any] = {
        "topicName": message.topic,
        "qos": "1",
        "payload": b64encode(message.payload).decode(),
    }
    if message.retain:
        request["retain"] = True
    headers: dict[str, int | str] = {
        ":content-type": "application/json",
        "service-model-type": f"aws.greengrass#{_OPERATION}Request",
        ":message-type": 0,
        ":message-flags": 0,
        ":stream-id": 1,
        "operation": f"aws.greengrass#{_OPERATION}",
    }
    return len(encode(Frame(headers, json.dumps(request).encode())))


def _refuse_too_large(message: Message) -> None:
    size = frame_bytes(message)
    if size > MAX_FRAME_BYTES:
        reason = f"{size} bytes on the nucleus's socket, which closes at more than {MAX_FRAME_BYTES}"
        raise Rejected(topic=message.topic, reason_code=ReasonCode.PACKET_TOO_LARGE, reason=reason)


async def _open(settings: Settings, caller: Caller) -> Transport:
    return GreengrassTransport(settings, Door.of_this_process(), caller)


def _check(settings: Settings, time: TimeSource) -> None:  # noqa: ARG001
    Door.of_this_process()


KIND: Final = TransportKind(
    settings=Settings,
    check=_check,
    open=_open,
    station_files=lambda directory, station_id: {},  # noqa: ARG005
    keeps_wills=False,
)
